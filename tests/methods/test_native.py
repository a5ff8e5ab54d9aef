"""``quantize_net`` as the harness calls it: shown one image, it makes what it makes by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np
import pytest
from mxnet.contrib.quantization import quantize_net

from harness.errors import InputError, Refused
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


def quantised(tuning: Batches, folder: Path, **options: Any) -> Any:
    usual = {"quantize_mode": "smart", "calib_mode": "naive", "quantize_granularity": "tensor-wise"}
    context = Context(clean(), tuning, folder, None, lambda done, total, what: None)
    return Quantized(**{**usual, **options}).optimize(context)


def in_int8(made: Any, data: Any, folder: Path) -> set[str]:
    """Return the fused operators that a network runs in int8, by the names that INC's rows print."""
    symbol, _ = made.net.export(None)
    nodes = json.loads(symbol.tojson())["nodes"]
    prefix = "quantized_"
    return {node["name"][len(prefix) :] for node in nodes if node["name"].startswith(prefix)}


@pytest.mark.parametrize(
    ("options", "excluded"),
    [
        ({"exclude_layers": ["node_10"]}, ["node_10"]),
        ({"exclude_layers_match": ["conv_add"]}, ["sg_onednn_conv_add_2", "sg_onednn_conv_add_5"]),
        ({"exclude_operators": ["Activation", "Pooling"]}, ["node_11", "node_19", "node_20"]),
        (
            {"exclude_layers": ["node_10"], "exclude_operators": ["_sg_onednn_fully_connected"]},
            ["node_10", "sg_onednn_fully_connected_0"],
        ),
    ],
)
def test_what_is_excluded_stays_in_fp32_and_is_recorded_with_its_layer(
    tuning: Batches, tmp_path: Path, options: dict[str, list[str]], excluded: list[str]
) -> None:
    clean()(next(iter(tuning))[0])  # MXNet counts on, and names do not
    data = next(iter(tuning))[0]
    made = quantised(tuning, tmp_path, **options)
    assert made.quantization["excluded_operators"] == excluded
    assert list(made.quantization["excluded_are"]) == excluded
    assert not in_int8(made, data, tmp_path) & set(excluded)
    assert "sg_onednn_conv_bn_act_0" in in_int8(made, data, tmp_path)
    if "node_10" in excluded:
        assert made.quantization["excluded_are"]["node_10"] == {
            "kind": "BatchNorm",
            "layer": "features.3.0.bn1",
            "behind": ["sg_onednn_conv_add_2 (features.2.0.conv2)"],
            "feeds": ["node_11 (features.3.0)"],
        }


def test_fewer_batches_to_calibrate_on_are_another_model_and_are_recorded(
    tuning: Batches, tmp_path: Path
) -> None:
    data = next(iter(tuning))[0]
    scores = {
        batches: quantised(tuning, tmp_path, num_calib_batches=batches) for batches in (1, 2, 9)
    }
    images = [made.quantization["calibration_images"] for made in scores.values()]
    assert images == [16, 32, 32]
    one, two, nine = (made.net(data).asnumpy() for made in scores.values())
    np.testing.assert_array_equal(two, nine)
    assert (one != two).any()


def test_channel_wise_scales_are_another_model_and_are_recorded(
    tuning: Batches, tmp_path: Path
) -> None:
    data = next(iter(tuning))[0]
    granularities = ("tensor-wise", "channel-wise")
    models = [quantised(tuning, tmp_path, quantize_granularity=one) for one in granularities]
    assert [made.quantization["quantize_granularity"] for made in models] == list(granularities)
    by_tensor, by_channel = (made.net(data).asnumpy() for made in models)
    assert (by_tensor != by_channel).any()


def test_a_type_that_mxnet_cannot_run_here_is_refused(tuning: Batches, tmp_path: Path) -> None:
    assert quantised(tuning, tmp_path, quantized_dtype="int8").quantization["quantized_dtype"] == (
        "int8"
    )
    with pytest.raises(Refused, match=r"quantized_dtype=uint8 .*Expect int8 when data_min < 0.0"):
        quantised(tuning, tmp_path, quantized_dtype="uint8")
    with pytest.raises(Refused, match=r"calib_mode=none: .*Quantized BN currently don't support"):
        quantised(tuning, tmp_path, calib_mode="none")


def test_without_calibration_ranges_are_measured_in_every_batch(
    tuning: Batches, tmp_path: Path
) -> None:
    made = quantised(tuning, tmp_path, calib_mode="none", exclude_operators=["BatchNorm"])
    data = next(iter(tuning))[0]
    expected = clean()(data).asnumpy()
    assert np.abs(made.net(data).asnumpy() - expected).max() < np.abs(expected).max()
    assert made.quantization["calib_mode"] == "none"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"exclude_layers": ["node_9"]}, r"exclude_layers: 'node_9' is no .*\(did you mean node_"),
        ({"exclude_layers_match": ["conv9"]}, "exclude_layers_match: 'conv9' is no operator"),
        (
            {"exclude_operators": ["Poolin"]},
            r"exclude_operators: 'Poolin' is no operator of this network \(did you mean Pooling\?\)"
            ": it has Activation, BatchNorm, Flatten, Pooling, _sg_onednn_conv, ",
        ),
    ],
)
def test_names_that_the_network_lacks_are_refused(
    tuning: Batches, tmp_path: Path, options: dict[str, list[str]], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        quantised(tuning, tmp_path, **options)
