"""The fp32 row without reference kernels computes what fp32 computes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from harness.storage.configuration import Transform

pytestmark = pytest.mark.slow

LABELS = np.zeros(4, dtype=np.int64)


def test_additions_are_replaced_and_the_scores_stay(tmp_path: Path) -> None:
    import mxnet as mx

    from harness.images.batches import Batches
    from harness.images.prepared import Prepared
    from harness.methods.base import Context
    from harness.methods.graph import PLAIN
    from harness.methods.summed import Summed
    from harness.workloads.models import custom

    pixels = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    (tmp_path / "images.u8").write_bytes(pixels.tobytes())
    transform = Transform(resize=64, crop=56, keep_ratio=False, mean=(0.5,) * 3, std=(0.2,) * 3)
    tuning = Batches(Prepared(tmp_path / "images.u8", 4, 64), LABELS, 4, transform, keep=True)
    data, _ = next(iter(tuning))
    net = custom("resnet18_v2", None, None, 10, random_weights=True)
    expected = net(data).asnumpy()
    context = Context(net, tuning, tmp_path, None, lambda done, total, what: None)
    made = Summed().optimize(context)
    found = made.net(data)
    assert np.abs(found.asnumpy() - expected).max() <= 1e-5 * np.abs(expected).max()
    symbol, _ = made.net.export(None)
    operators = [node["op"] for node in json.loads(symbol.tojson())["nodes"]]
    assert operators.count(PLAIN) == 8  # resnet18_v2 has eight residual additions
    assert "_npi_add" not in operators
    assert made.warnings == []
    mx.npx.waitall()
