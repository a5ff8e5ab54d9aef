"""``quantize_net`` as the harness calls it: shown one image, it makes what it makes by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np
import pytest
from mxnet.contrib.quantization import quantize_net

from harness.images.batches import Batches
from harness.images.prepared import Prepared
from harness.methods.base import Context
from harness.methods.native import Quantized
from harness.storage.configuration import Transform
from helpers.command_line import OWN

assert OWN  # it is on the path now
from my_network import network  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture
def tuning(tmp_path: Path) -> Batches:
    rng = np.random.default_rng(0)
    prepared = Prepared(tmp_path / "images.u8", 32, 28)
    prepared.path.write_bytes(rng.integers(0, 256, prepared.bytes, dtype=np.uint8).tobytes())
    transform = Transform(resize=64, crop=56, keep_ratio=False, mean=(0.5,) * 3, std=(0.25,) * 3)
    return Batches(prepared, rng.integers(0, 10, 32), 16, transform)


def clean() -> Any:
    mx.random.seed(0)
    return network(10)


def described(net: Any, data: Any, stem: Path) -> tuple[list[Any], list[np.ndarray]]:
    """Return a saved network's operators with what calibration gave them, and its weights."""
    net.hybridize(static_alloc=True, static_shape=True)
    net(data).wait_to_read()
    symbol, params = net.export(str(stem))
    nodes = json.loads(Path(symbol).read_text())["nodes"]
    operators = [(node["op"], node.get("attrs")) for node in nodes if node["op"] != "null"]
    values = (value.asnumpy() for value in mx.npx.load(params).values())
    return operators, sorted(values, key=lambda each: each.tobytes())  # names are numbered anew


@pytest.mark.parametrize("calib_mode", ["naive", "entropy"])
@pytest.mark.parametrize("quantize_mode", ["full", "smart"])
def test_one_image_shows_the_graph_as_two_batches_do(
    tuning: Batches, tmp_path: Path, quantize_mode: str, calib_mode: str
) -> None:
    data = next(iter(tuning))[0]
    context = Context(clean(), tuning, tmp_path, None, lambda done, total, what: None)
    ours = Quantized(quantize_mode, calib_mode, "tensor-wise").optimize(context).net
    theirs = quantize_net(
        clean(),
        quantize_mode=quantize_mode,
        calib_mode=calib_mode,
        quantize_granularity="tensor-wise",
        calib_data=tuning,
    )
    operators, weights = described(ours, data, tmp_path / "ours")
    expected_operators, expected_weights = described(theirs, data, tmp_path / "theirs")
    assert operators == expected_operators
    assert any("quantized" in str(attributes) for _, attributes in operators)
    for mine, other in zip(weights, expected_weights, strict=True):
        np.testing.assert_array_equal(mine, other)
    np.testing.assert_array_equal(ours(data).asnumpy(), theirs(data).asnumpy())
