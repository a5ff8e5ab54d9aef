"""What workers do, done in this process: models are saved whole, looked at, and validated."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from harness import PROJECT
from harness.config import compose_config
from harness.errors import HarnessError, InputError
from harness.facts.typed import decode
from harness.images.prepared import Prepared
from harness.process.jobs import ImageSet, InspectJob, SavedModel, ValidateJob, WorkerWorkload
from harness.process.own_modules import VARIABLE
from harness.storage.recorded_files import digest_of
from harness.storage.stage_facts import Inspection
from helpers.command_line import OWN

pytestmark = pytest.mark.slow

FUSED_NORM = "_contrib_BatchNormWithReLU"


def network(classes: int = 10) -> Any:
    from my_network import network

    return network(classes)


@pytest.fixture(scope="module")
def data() -> Any:
    import mxnet as mx

    return mx.np.array(np.random.default_rng(0).normal(size=(8, 3, 28, 28)), dtype="float32")


@pytest.fixture
def fused(data: Any) -> Any:
    """Return the tiny network as the row fp32_fused makes it."""
    net = network()
    net.optimize_for(data, backend="ONEDNN", static_alloc=True, static_shape=True)
    return net


def fused_norms(symbol: Path) -> list[dict[str, Any]]:
    nodes = json.loads(symbol.read_text())["nodes"]
    return [node.get("attrs", {}) for node in nodes if node["op"] == FUSED_NORM]


# --- saved models


def test_fusing_changes_no_score(fused: Any, data: Any) -> None:
    assert np.allclose(fused(data).asnumpy(), network()(data).asnumpy(), rtol=1e-3, atol=1e-4)


def test_mxnet_loses_attributes_that_the_repair_restores(
    fused: Any, data: Any, tmp_path: Path
) -> None:
    """The day that the first half fails, MXNet has been mended and the repair can go."""
    from harness.workloads.saved import (
        TOLERANCE,
        _attributes_by_gamma,
        load_exported,
        repair,
    )

    expected = fused(data).asnumpy()
    largest = np.abs(expected).max()
    symbol, params = (Path(name) for name in fused.export(str(tmp_path / "bare")))
    assert fused_norms(symbol)
    assert not any({"eps", "fix_gamma"} & set(attributes) for attributes in fused_norms(symbol))
    bare = load_exported(symbol, params)(data).asnumpy()
    assert np.abs(bare - expected).max() > 10 * TOLERANCE * largest

    repair(symbol, lambda: _attributes_by_gamma(network(), data))
    assert all({"eps", "fix_gamma"} <= set(attributes) for attributes in fused_norms(symbol))
    restored = load_exported(symbol, params)(data).asnumpy()
    assert np.abs(restored - expected).max() <= TOLERANCE * largest


def test_saved_model_predicts_as_in_memory(fused: Any, data: Any, tmp_path: Path) -> None:
    from harness.workloads.saved import load_exported, save

    expected = fused(data).asnumpy()
    symbol, params = save(fused, data, tmp_path / "model", network)
    assert (symbol.name, params.name) == ("model-symbol.json", "model-0000.params")
    loaded = load_exported(symbol, params)(data).asnumpy()
    assert np.abs(loaded - expected).max() <= 1e-3 * np.abs(expected).max()
    assert (loaded.argmax(axis=1) == expected.argmax(axis=1)).all()


def test_nothing_random_is_saved(fused: Any, data: Any, tmp_path: Path) -> None:
    """MXNet names what is inside a fused operator by UUIDs, each time others."""
    from harness.workloads.saved import RANDOM, save

    bare = Path(fused.export(str(tmp_path / "bare"))[0]).read_text()
    symbol, _ = save(fused, data, tmp_path / "model", network)
    assert len(set(RANDOM.findall(bare))) > 10
    written = symbol.read_text()
    assert not RANDOM.search(written)
    numbers = {f"parameter_{number}" for number in range(len(set(RANDOM.findall(bare))))}
    assert set(re.findall(r"parameter_\d+", written)) == numbers


def test_symbol_without_fused_operators_stays_as_it_is(data: Any, tmp_path: Path) -> None:
    from harness.workloads.saved import repair

    net = network()
    net.hybridize()
    net(data).wait_to_read()
    symbol = Path(net.export(str(tmp_path / "plain"))[0])
    before = json.loads(symbol.read_text())
    repair(symbol, lambda: pytest.fail("there is nothing to restore"))
    assert json.loads(symbol.read_text()) == before


def test_model_that_would_load_as_another_is_refused(fused: Any, data: Any, tmp_path: Path) -> None:
    from harness.workloads.saved import save

    def other_epsilon() -> Any:
        from mxnet.gluon.nn import BatchNorm

        def change(block: Any) -> None:
            if isinstance(block, BatchNorm):
                block._kwargs["eps"] = 0.5

        return network().apply(change)

    with pytest.raises(HarnessError, match="differs from the one in memory"):
        save(fused, data, tmp_path / "model", other_epsilon)


def test_model_that_gives_nan_is_saved_as_it_is(data: Any, tmp_path: Path) -> None:
    """Its validation says so; that it cannot be compared is no reason to lose it."""
    from harness.workloads.saved import load_exported, save

    net = network()
    bias = net.output.bias.data().asnumpy()
    bias[3] = np.nan
    net.output.bias.set_data(bias)
    net.hybridize()
    scores = load_exported(*save(net, data, tmp_path / "model", network))(data).asnumpy()
    assert (np.isnan(scores) == (np.arange(10) == 3)).all()


# --- inspect


@pytest.fixture
def job() -> dict[str, Any]:
    values = compose_config(["workload=tiny", "method=[fp32,mine]"], [OWN]).config.stored
    return {"workload": values["workload"], "methods": values["method"]}


def inspected(job: dict[str, Any], crop: int | None = None) -> Inspection:
    """Inspect a job; with images of a side that no configuration may have, where one is given."""
    from harness.stages import inspect

    typed = decode({"stage": "inspect", **job}, InspectJob)
    if crop is not None:
        transform = replace(typed.workload.transform, crop=crop)
        typed = replace(typed, workload=replace(typed.workload, transform=transform))
    return inspect.run(typed, lambda *_: None)


def test_inspect_tells_versions_and_size(job: dict[str, Any]) -> None:
    seen = inspected(job)
    assert seen.versions.mxnet == "2.0.0b1"
    assert seen.parameters == sum(
        int(np.prod(p.shape)) for p in network().collect_params().values()
    )
    assert decode(json.loads(json.dumps(seen.stored)), Inspection) == seen


def test_inspect_refuses_other_classes(job: dict[str, Any]) -> None:
    job["workload"]["classes"] = 12  # the model's own argument is resolved already
    with pytest.raises(InputError, match=r"gives 10 classes and workload\.classes is 12"):
        inspected(job)


def test_inspect_refuses_a_model_for_other_images(job: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"3 x 0 x 0 \(workload\.transform\.crop=0\)"):
        inspected(job, crop=0)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"images": [2, 3, 64, 64]}, r"blank images of 3 x 28 x 28 .*workload\.transform\.crop=64"),
        ({"images": [2, 1, 28, 28]}, r"It runs on images of 1 channel \(28 x 28\)"),
        ({"images": [2, 4, 64, 64]}, r"It runs on images of 4 channels \(64 x 64\)"),
        (
            {"images": [2, 28, 28, 3], "before": ["transpose", [0, 3, 1, 2]]},
            r"channels last \(28 x 28 x 3\)",
        ),
        ({"images": [1, 3, 28, 28], "before": ["reshape", [1, 3, 28, 28]]}, "on one image alone"),
        ({"images": [2, 2, 28, 28]}, "No other usual size and number of channels runs either"),
        ({"images": [2, 3, 28, 28], "outputs": 3}, "gives 3 outputs"),
        (
            {"images": [2, 3, 28, 28], "after": [2, 10, 1, 1]},
            "an array of 2 x 10 x 1 x 1 for 2 images",
        ),
        ({"images": [2, 3, 28, 28], "after": [4, 5]}, "an array of 4 x 5 for 2 images"),
    ],
)
def test_inspect_names_a_cause_that_it_tried(
    job: dict[str, Any], model: dict[str, Any], said: str
) -> None:
    job["workload"]["model"] = {"_target_": "my_network.shaped", "classes": 10, **model}
    with pytest.raises(InputError, match=said):
        inspected(job)


def test_inspect_tells_what_was_cast(job: dict[str, Any]) -> None:
    files = PROJECT / "tests" / "data" / "mxnet1" / "gluon16-1.9.1"
    job["workload"]["model"] = {
        "_target_": "harness.workloads.models.custom",
        "symbol": f"{files}-symbol.json",
        "params": f"{files}-0003.params",
        "network": None,
        "classes": 10,
        "random_weights": False,
    }
    job["methods"] = {}
    (warning,) = inspected(job).warnings
    assert "4 of 8 arrays are float16" in warning


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ({"_target_": "my_missing.network"}, "my_missing"),
        ({"_target_": "my_network.missing"}, "missing"),
        ({"_target_": "my_network.network", "colours": 3}, "colours"),
        ({"_target_": "my_network.network"}, "classes"),
    ],
)
def test_inspect_refuses_a_model_that_cannot_be_made(
    job: dict[str, Any], model: dict[str, Any], said: str
) -> None:
    job["workload"]["model"] = model
    with pytest.raises(InputError, match=said) as caught:
        inspected(job)
    assert str(caught.value).startswith("workload.model: ")


def test_inspect_refuses_weights_that_are_not_finite(
    job: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nan_network.py").write_text(
        "import my_network, numpy as np\n"
        "def network(classes):\n"
        "    net = my_network.network(classes)\n"
        "    net.output.bias.set_data(np.full(classes, np.nan, dtype='float32'))\n"
        "    return net\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv(VARIABLE, json.dumps([str(tmp_path), str(OWN)]))
    job["workload"]["model"]["_target_"] = "nan_network.network"
    with pytest.raises(InputError, match=r"output\.bias and 0 more of .* NaN"):
        inspected(job)


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ({"label": "odd row", "_target_": "my_missing.Rounded"}, "my_missing"),
        ({"label": "odd row", "_target_": "my_method.Rounded", "digits": 2}, "digits"),
        ({"label": "odd row", "_target_": "my_network.network", "classes": 2}, "has no optimize"),
    ],
)
def test_inspect_refuses_a_method_that_cannot_be_made(
    job: dict[str, Any], method: dict[str, Any], said: str
) -> None:
    job["methods"]["mine"] = method
    with pytest.raises(InputError, match=said) as caught:
        inspected(job)
    assert "'odd row'" in str(caught.value)


# --- validate


def test_validate_keeps_the_best_classes_of_every_image(
    job: dict[str, Any], tmp_path: Path
) -> None:
    from harness.images.batches import Batches
    from harness.stages import validate
    from harness.workloads.saved import save

    images, workload = 37, decode(job["workload"], WorkerWorkload)  # batches of 16, 16 and 5
    rng = np.random.default_rng(0)
    prepared = Prepared(tmp_path / "images.u8", images, 28)
    prepared.path.write_bytes(rng.integers(0, 256, prepared.bytes, dtype=np.uint8).tobytes())
    labels = rng.integers(0, 10, images)
    np.save(tmp_path / "labels.npy", labels)
    net = network()
    net.hybridize()
    batches = Batches(prepared, labels, 16, workload.transform)
    expected = np.concatenate([net(data).asnumpy() for data, _ in batches])
    symbol, params = save(net, next(iter(batches))[0], tmp_path / "model", network)

    said: list[tuple[int, int, str]] = []
    facts = validate.run(
        ValidateJob(
            model=SavedModel(
                workload=workload,
                images=ImageSet(
                    prepared=str(prepared.path),
                    stored=images,
                    labels=str(tmp_path / "labels.npy"),
                    images=images,
                ),
                workspace=str(tmp_path),
                symbol=digest_of(symbol, tmp_path),
                params=digest_of(params, tmp_path),
            ),
            cpus=sorted(os.sched_getaffinity(0)),
            predictions="predictions.npz",
        ),
        lambda *message: said.append(message),
    )
    assert (facts.images, facts.batches, len(facts.forward_s)) == (37, 3, 3)
    assert sum(facts.forward_s) <= facts.validation_s
    assert facts.non_finite == 0
    assert said[-1] == (37, 37, "images")
    assert facts.predictions == digest_of(tmp_path / "predictions.npz", tmp_path)
    best = np.load(tmp_path / "predictions.npz")["top"]
    assert (best.shape, best.dtype) == ((37, 5), np.uint16)
    assert (best == np.argsort(-expected, axis=1)[:, :5]).all()
