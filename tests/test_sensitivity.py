"""The strategy's parts against what they model: real noise, MXNet's own pass, a known culprit."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np
import pytest

from harness.methods.base import Context
from harness.methods.inc import Tuned
from harness.workloads.data import Batches
from harness.workloads.prepared import Prepared
from runs import OWN

assert OWN  # it is on the path now
from harness.methods.exclusion import Excluded, Exclusion, Network  # noqa: E402
from harness.methods.graph import Graph, with_own_numbers  # noqa: E402
from harness.methods.noise import Noise, Source, operators  # noqa: E402
from harness.methods.probe import Probe  # noqa: E402
from my_network import network  # noqa: E402

# INC's search has a time limit of its own by SIGALRM, which pytest-timeout uses otherwise
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600, method="thread")]
SENSITIVITY = "harness.methods.sensitivity.SensitivityTuneStrategy"
OPTIONS = {
    "criterion": "relative",
    "tolerance": 0.015,
    "timeout_s": 0,
    "max_trials": 20,
    "seed": 1,
    "sampling_size": 32,
    "objective": "performance",
}
SHAPE = (1, 3, 28, 28)


@pytest.fixture(scope="module")
def tuning(tmp_path_factory: pytest.TempPathFactory) -> Batches:
    rng = np.random.default_rng(0)
    prepared = Prepared(tmp_path_factory.mktemp("tuning") / "images.u8", 64, 28)
    prepared.path.write_bytes(rng.integers(0, 256, prepared.bytes, dtype=np.uint8).tobytes())
    transform = {"mean": [0.5] * 3, "std": [0.25] * 3}
    return Batches(prepared, rng.integers(0, 10, 64), 32, transform, keep=True)


@pytest.fixture(scope="module")
def probed(tuning: Batches) -> tuple[Network, Probe, Noise]:
    """Return the tiny network as INC's adaptor has it, with its probe and the noise found."""
    from neural_compressor.adaptor.mxnet import MxNetAdaptor
    from neural_compressor.model.model import MXNetModel

    net = with_own_numbers(network(10), SHAPE)
    net.hybridize()
    info = {"device": "cpu", "q_dataloader": tuning}
    asked = Network(MXNetModel(net), MxNetAdaptor(info), tuning)
    probe = Probe(asked.graph, asked.operators, asked.calibrate(2), SHAPE)
    return asked, probe, probe.measure(iter(tuning), 64)


def margins(probe: Probe, data: Any, openings: dict[Source, float]) -> np.ndarray:
    """Return the fp32 winners' leads over the seconds with some gates open."""
    closed, found = _scores(probe, data, {}), _scores(probe, data, openings)
    second, first = np.argsort(closed, axis=1)[:, -2:].T
    rows = np.arange(len(data))
    return np.asarray(found[rows, first] - found[rows, second])


def _scores(probe: Probe, data: Any, openings: dict[Source, float]) -> np.ndarray:
    given = {
        f"{source.kind}:{source.name}:gate": mx.np.full(
            (len(data), *probe._gate_shape(source)), openings.get(source, 0.0), dtype="float32"
        )
        for source in probe.sources
    }
    with mx.autograd.record(train_mode=False):  # as it is measured
        found = probe._net(*({**given, probe._data: data}[name] for name in probe._inputs))
        return np.asarray(found.asnumpy())


def test_closed_gates_leave_fp32(probed: Any, tuning: Batches) -> None:
    _, _, noise = probed
    data = next(iter(tuning))[0]
    expected = np.sort(network(10)(data).asnumpy(), axis=1)
    np.testing.assert_allclose(noise.margins[:32], expected[:, -1] - expected[:, -2], atol=1e-4)


def test_shifts_are_what_opening_a_gate_does(probed: Any, tuning: Batches) -> None:
    _, probe, noise = probed
    data = next(iter(tuning))[0]
    before = margins(probe, data, {})
    power = noise.power()
    assert len(power) > 15
    for source in sorted(power, key=lambda each: -power[each])[:8]:
        found = (margins(probe, data, {source: 0.1}) - before) / 0.1
        predicted = noise.shifts[:32, noise.sources.index(source)]
        assert np.corrcoef(found, predicted)[0, 1] > 0.98, source


def test_all_gates_open_is_the_int8_network(probed: Any, tuning: Batches, tmp_path: Path) -> None:
    """The fake noise and the real one are of the same size."""
    asked, probe, _ = probed
    data = next(iter(tuning))[0]
    present = asked.quantised(Excluded())[0]
    fake = _scores(probe, data, dict.fromkeys(present, 1.0)) - _scores(probe, data, {})
    options = {**OPTIONS, "tolerance": 0.99, "max_trials": 1}
    context = Context(network(10), tuning, tmp_path, None, lambda *_: None)
    made = Tuned("basic", options).optimize(context)
    real = made.net(data).asnumpy() - network(10)(data).asnumpy()
    assert 0.6 < np.sqrt((fake**2).mean() / (real**2).mean()) < 1.7


def test_mxnet_says_where_a_configuration_rounds(probed: Any) -> None:
    asked, _, _ = probed
    everything, fastest = asked.quantised(Excluded())
    assert Source("tensor", "data") in everything or len(everything) > 15
    weighted = [name for name, each in asked.operators.items() if each.weighted]
    for name in weighted:
        left, cost = asked.quantised(Excluded({name}))
        assert Source("weights", name) in everything
        assert Source("weights", name) not in left
        assert cost > fastest, "fp32 takes longer"
    nothing, slowest = asked.quantised(Excluded(asked.operators))
    assert not nothing
    assert slowest == max(cost for _, cost in asked._quantised.values())


def test_less_noise_flips_fewer_images(probed: Any) -> None:
    _, _, noise = probed
    flips = [noise.flips(noise.sources[:count]) for count in range(len(noise.sources) + 1)]
    assert flips[0] == 0
    assert all(a <= b for a, b in itertools.pairwise(flips))


def test_the_search_excludes_more_the_less_it_may_lose(probed: Any) -> None:
    asked, _, noise = probed
    candidates = Excluded(asked.operators)
    search = Exclusion(asked, noise, candidates, worth=1e9)
    full = search.flips(Excluded())
    chosen = [search.within(1.0, share * full, Excluded()) for share in (1.0, 0.7, 0.1)]
    assert chosen[0] == Excluded()
    assert search.flips(chosen[1]) <= 0.7 * full
    assert search.flips(chosen[2]) <= 0.1 * full
    assert search.time(chosen[0]) < search.time(chosen[1]) <= search.time(chosen[2])
    assert search.flips(search.within(1.0, 0.0, Excluded())) == 0
    eager = Exclusion(asked, noise, candidates, worth=0.0)
    assert eager.flips(eager.within(1.0, 1.0, Excluded())) < 0.5 * full


def wide(decades: float) -> Any:
    """Return the tiny network with its first batch norm's channels far apart, the same in fp32."""
    net = network(10)
    scale = np.logspace(-decades, decades, 8).astype(np.float32)
    block = net.features[2][0]
    block.bn2.gamma.set_data(block.bn2.gamma.data() * mx.np.array(scale))
    block.bn2.beta.set_data(block.bn2.beta.data() * mx.np.array(scale))
    weight = block.conv2.weight
    weight.set_data(weight.data() / mx.np.array(scale).reshape(1, -1, 1, 1))
    return net


def test_the_culprit_is_excluded_with_one_evaluation(tuning: Batches, tmp_path: Path) -> None:
    data = next(iter(tuning))[0]
    labels = np.concatenate([network(10)(each).asnumpy().argmax(1) for each, _ in tuning])
    right = Batches(tuning._prepared, labels, 32, tuning._transform, keep=True)
    assert np.allclose(wide(2.0)(data).asnumpy(), network(10)(data).asnumpy(), atol=1e-3)
    context = Context(wide(2.0), right, tmp_path, None, lambda *_: None)
    made = Tuned(SENSITIVITY, {**OPTIONS, "tolerance": 0.02}).optimize(context)
    assert made.quantization["evaluations"] <= 2
    told = json.loads((tmp_path / "sensitivity.json").read_text())
    assert told["excluded"] == sorted(made.quantization["excluded_operators"])
    assert told["expected_flips"] < told["expected_flips_of_all_int8"]
    kind, name, _ = told["places"][0]
    graph = Graph.of(with_own_numbers(wide(0.0), SHAPE), SHAPE)
    fused = operators(
        json.loads(graph.as_symbol().optimize_for("ONEDNN_QUANTIZE").tojson())["nodes"]
    )
    readers = {each for each, operator in fused.items() if name in operator.reads}
    assert kind == "tensor"
    assert set(told["excluded"]) & readers, (name, told["excluded"])


def test_no_model_in_the_end_where_none_will_do(tuning: Batches, tmp_path: Path) -> None:
    from harness.errors import NoSolution

    context = Context(network(10), tuning, tmp_path, None, lambda *_: None)
    with pytest.raises(NoSolution, match="nothing more to try"):
        Tuned(SENSITIVITY, {**OPTIONS, "criterion": "absolute", "tolerance": -2.0}).optimize(
            context
        )
