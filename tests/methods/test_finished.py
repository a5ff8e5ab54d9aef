"""A pair that was made elsewhere and does not fit the workload is refused, with the reason."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mxnet as mx
import pytest

from harness.errors import InputError
from harness.methods.finished import Finished

Exported = Callable[[int, int], tuple[Path, Path]]
CLASSES = 5


def network(channels: int, classes: int) -> Any:
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.Conv2D(4, 3, in_channels=channels), mx.gluon.nn.GlobalAvgPool2D())
    net.add(mx.gluon.nn.Dense(classes, in_units=4))
    net.initialize()
    net.hybridize()
    net(mx.np.zeros((2, channels, 8, 8))).wait_to_read()
    return net


@pytest.fixture
def exported(tmp_path: Path) -> Exported:
    def export(channels: int, classes: int) -> tuple[Path, Path]:
        stem = str(tmp_path / f"of_{channels}_{classes}")
        symbol, params = network(channels, classes).export(stem)
        return Path(symbol), Path(params)

    return export


def optimize(symbol: Path, params: Path) -> Any:
    images = [(mx.np.ones((4, 3, 8, 8)), None)]
    context: Any = SimpleNamespace(tuning=images, net=network(3, CLASSES))
    return Finished(str(symbol), str(params)).optimize(context)


def test_a_pair_that_fits_is_taken(exported: Exported) -> None:
    assert optimize(*exported(3, CLASSES)).net is not None


def test_a_pair_that_does_not_fit_the_images_is_refused(exported: Exported) -> None:
    with pytest.raises(InputError, match=r"does not run on .* \(3, 8, 8\): MXNet says .*hape"):
        optimize(*exported(1, CLASSES))


def test_a_pair_of_other_classes_is_refused(exported: Exported) -> None:
    with pytest.raises(InputError, match=r"gives \(4, 7\) for 4 images, and \(4, 5\) is needed"):
        optimize(*exported(3, 7))


def test_weights_without_names_are_refused(exported: Exported, tmp_path: Path) -> None:
    symbol, _ = exported(3, CLASSES)
    mx.nd.save(str(tmp_path / "list.params"), [mx.nd.zeros((2, 2))])
    with pytest.raises(InputError, match=r"list\.params holds arrays without names"):
        optimize(symbol, tmp_path / "list.params")
