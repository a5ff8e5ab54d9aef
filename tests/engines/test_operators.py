"""Networks as ONNX against MXNet's own scores: operators one by one, and the Gluon zoo's families."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np
import numpy.typing as npt
import pytest
from mxnet.gluon import nn
from mxnet.gluon.model_zoo.vision import get_model

from helpers.engine_python import in_engine, require_engine

pytestmark = pytest.mark.slow

SIDE = 9
RUN = """
import json, sys
import numpy as np, onnxruntime
from pathlib import Path
from harness.engines.network import write_network
from harness.errors import Refused
said = {}
for folder in map(Path, sys.argv[1:]):
    images = np.load(folder / "x.npy")
    files = folder / "m-symbol.json", folder / "m-0000.params", folder / "n.onnx"
    try:
        session = onnxruntime.InferenceSession(str(write_network(*files, images.shape[2])))
    except Refused as error:
        said[folder.name] = str(error)
        continue
    np.save(folder / "scores.npy", session.run(None, {"data": images})[0])
print(json.dumps(said))
"""
Function = Callable[[Any], Any]


class Calling(nn.HybridBlock):  # type: ignore[misc]
    """A network of one function, behind a convolution if it is to have negative inputs and channels."""

    def __init__(self, function: Function, *blocks: Any) -> None:
        super().__init__()
        self.first = nn.Conv2D(4, 3, in_channels=3)
        self.rest = nn.HybridSequential()
        self.rest.add(*blocks)
        self._function = function

    def forward(self, images: Any) -> Any:
        return mx.npx.batch_flatten(self._function(self.rest(self.first(images))))


def unchanged(data: Any) -> Any:
    return data


def pooled(**options: Any) -> Function:
    return lambda data: mx.npx.pooling(data, **options)


def relu_of(data: Any) -> Any:
    return mx.npx.relu(data)


FUNCTIONS: Mapping[str, Callable[[], Any]] = {
    "leaky": lambda: Calling(unchanged, nn.LeakyReLU(0.1)),
    "prelu": lambda: Calling(unchanged, nn.PReLU(in_channels=4)),
    "prelu of one slope": lambda: Calling(unchanged, nn.PReLU()),
    "elu": lambda: Calling(unchanged, nn.ELU(0.7)),
    "selu": lambda: Calling(unchanged, nn.SELU()),
    "swish": lambda: Calling(unchanged, nn.Swish()),
    "relu6": lambda: Calling(lambda data: mx.np.clip(9 * data, 0, 6)),
    "concat": lambda: Calling(
        lambda data: mx.np.concatenate([data, relu_of(data), -1 * data], axis=1)
    ),
    "dropout": lambda: Calling(unchanged, nn.Dropout(0.5)),
    "pad": lambda: Calling(lambda data: mx.np.pad(data, ((0, 0), (0, 0), (1, 2), (0, 3)))),
    "pad by edge": lambda: Calling(
        lambda data: mx.np.pad(data, ((0, 0), (0, 0), (1, 2), (0, 3)), "edge")
    ),
    "scalars": lambda: Calling(lambda data: (3 - (2 * data + 1 - 0.25) / 4) * data),
    "divided": lambda: Calling(lambda data: 2 / (relu_of(data) + 1)),
    "tensors": lambda: Calling(
        lambda data: data * mx.npx.sigmoid(data) - data / (relu_of(data) + 1)
    ),
    "mean": lambda: Calling(lambda data: data.mean(axis=(2, 3))),
    "mean kept": lambda: Calling(lambda data: data * data.mean(axis=(2, 3), keepdims=True)),
    "softmax": lambda: Calling(lambda data: mx.npx.softmax(data, axis=1)),
    "reshape": lambda: Calling(lambda data: mx.npx.reshape(data, (-2, -1))),
    "global average": lambda: Calling(unchanged, nn.GlobalAvgPool2D()),
    "global max": lambda: Calling(unchanged, nn.GlobalMaxPool2D()),
    "full max": lambda: Calling(unchanged, nn.MaxPool2D(3, 2, ceil_mode=True)),
    "full max of the padded": lambda: Calling(unchanged, nn.MaxPool2D(3, 2, 1, ceil_mode=True)),
    "full average": lambda: Calling(unchanged, nn.AvgPool2D(2, 2, ceil_mode=True)),
    "average of the padded": lambda: Calling(unchanged, nn.AvgPool2D(3, 2, 1)),
    "average without padding": lambda: Calling(
        unchanged, nn.AvgPool2D(3, 2, 1, count_include_pad=False)
    ),
}
REFUSED: Mapping[str, tuple[Callable[[], Any], str]] = {
    "gelu": (lambda: Calling(unchanged, nn.GELU()), "act_type=gelu"),
    "stretched": (
        lambda: Calling(unchanged, nn.MaxPool2D(2, 3, ceil_mode=True)),
        "pooling_convention=full",
    ),
    "full average of the padded": (
        lambda: Calling(unchanged, nn.AvgPool2D(3, 2, 1, ceil_mode=True)),
        "count_include_pad=1",
    ),
    "dropout that stays": (
        lambda: Calling(lambda data: mx.npx.dropout(data, mode="always")),
        "mode=always",
    ),
    "reshape of images": (
        lambda: Calling(lambda data: mx.npx.reshape(data, (-1, 7))),
        "makes the shape (-1, 7)",
    ),
    "temperature": (
        lambda: Calling(lambda data: mx.npx.softmax(data, temperature=2)),
        "temperature=2",
    ),
    "power": (lambda: Calling(lambda data: data**2), "_npi_power_scalar"),
    "sum": (lambda: Calling(pooled(kernel=(2, 2), pool_type="sum")), "pool_type=sum"),
}
NETWORKS = {  # the smallest of each family, and the side of its images
    "resnet18_v1": 64,
    "resnet50_v1": 64,
    "resnet18_v2": 64,
    "resnet50_v2": 64,
    "mobilenet0.25": 64,
    "mobilenetv2_0.25": 64,
    "vgg11": 32,
    "vgg11_bn": 32,
    "alexnet": 64,
    "densenet121": 224,
    "squeezenet1.0": 224,
    "squeezenet1.1": 224,
    "inceptionv3": 299,
}


def exported(net: Any, folder: Path, side: int) -> npt.NDArray[np.float32]:
    """Write a network with weights and statistics at random; return its scores of two images."""
    rng = np.random.default_rng(0)
    mx.random.seed(0)
    images = rng.normal(size=(2, 3, side, side)).astype("float32")
    net.initialize(mx.init.Xavier(magnitude=2))
    net.hybridize()
    data = mx.np.array(images, dtype="float32")
    net(data).wait_to_read()
    for name, parameter in net.collect_params().items():
        if name.endswith(("running_mean", "running_var", "alpha", "beta")):
            values = rng.uniform(0.1, 0.5, parameter.shape)
            parameter.set_data(mx.np.array(values, dtype="float32"))
    folder.mkdir()
    net.export(str(folder / "m"))
    np.save(folder / "x.npy", images)
    return np.asarray(net(data).asnumpy())


def said_of(folders: list[Path]) -> dict[str, str]:
    """Write networks as ONNX and run them; return why some were refused, by folder."""
    said = in_engine("onnxruntime", RUN, *map(str, folders))
    return dict(json.loads(said.splitlines()[-1]))


def test_operators_compute_what_they_compute_in_mxnet(tmp_path: Path) -> None:
    require_engine("onnxruntime")
    expected = {name: exported(make(), tmp_path / name, SIDE) for name, make in FUNCTIONS.items()}
    assert said_of([tmp_path / name for name in expected]) == {}
    apart = {
        name: float(np.abs(np.load(tmp_path / name / "scores.npy") - scores).max())
        for name, scores in expected.items()
        if np.load(tmp_path / name / "scores.npy").shape == scores.shape
    }
    assert apart.keys() == expected.keys(), "shapes differ"
    assert max(apart.values()) < 1e-4, apart


def test_what_engines_would_compute_otherwise_is_refused_by_name(tmp_path: Path) -> None:
    require_engine("onnxruntime")
    for name, (make, _) in REFUSED.items():
        exported(make(), tmp_path / name, SIDE)
    said = said_of([tmp_path / name for name in REFUSED])
    assert {name: words in said.get(name, "") for name, (_, words) in REFUSED.items()} == (
        dict.fromkeys(REFUSED, True)
    ), said


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_of_the_zoo_has_the_same_scores(tmp_path: Path, name: str) -> None:
    require_engine("onnxruntime")
    expected = exported(get_model(name, classes=10), tmp_path / name, NETWORKS[name])
    assert said_of([tmp_path / name]) == {}
    scores = np.load(tmp_path / name / "scores.npy")
    assert scores.shape == expected.shape
    assert np.abs(scores - expected).max() <= 1e-3 * np.abs(expected).max() > 0
