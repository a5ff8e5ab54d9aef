"""A small network of the zoo, saved in every format in which people keep weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.mxnet1_weights import old_weights

NETWORK = "mobilenet0.25"  # the zoo's smallest
CLASSES = 10


@dataclass
class Saved:
    """A network as MXNet saved it, and the scores of two images."""

    folder: Path
    images: Any
    scores: np.ndarray
    weights: dict[str, Any]

    def gives_the_same(self, net: Any) -> bool:
        return np.array_equal(net(self.images).asnumpy(), self.scores)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Saved:
    import mxnet as mx
    from mxnet.gluon.model_zoo.vision import get_model

    folder = tmp_path_factory.mktemp("saved")
    mx.random.seed(1)
    net = get_model(NETWORK, classes=CLASSES)
    net.initialize()
    net.hybridize()
    images = mx.np.random.uniform(size=(2, 3, 32, 32))
    scores = net(images).asnumpy()
    assert len(np.unique(scores)) == 2 * CLASSES
    net.save_parameters(str(folder / "own.params"))
    net.export(str(folder / "pair"))
    weights = dict(mx.npx.load(str(folder / "own.params")))
    legacy = {name: value.asnumpy() for name, value in weights.items()}
    (folder / "legacy.params").write_bytes(old_weights(legacy))
    prefixed = {("aux:" if "running" in k else "arg:") + k: v for k, v in legacy.items()}
    (folder / "legacy_pair.params").write_bytes(old_weights(prefixed))
    return Saved(folder, images, scores, weights)
