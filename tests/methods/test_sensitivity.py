"""The strategy's parts against what they model: real noise, MXNet's own pass, a known culprit."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mxnet.gluon import HybridBlock, nn

from harness.errors import Refused
from harness.images.batches import Batches
from harness.images.prepared import Prepared
from harness.methods.base import Context
from harness.methods.inc import Tuned
from harness.methods.recovery import recover
from harness.methods.shared_calibration import SHARED_CACHE
from harness.storage.configuration import Transform
from harness.storage.method_options import SENSITIVITY
from helpers.command_line import OWN
from helpers.tuning import kept_trials

assert OWN  # it is on the path now
from harness.methods.backend import RANKING, Choice, Network  # noqa: E402
from harness.methods.graph import VARIABLE, Builder, Graph, with_own_numbers  # noqa: E402
from harness.methods.noise import Noise, Source, operators  # noqa: E402
from harness.methods.operator_facts import FUSED_BACKEND, OperatorFacts  # noqa: E402
from harness.methods.probe import Place, Probe  # noqa: E402
from harness.methods.rounding import halved  # noqa: E402
from harness.methods.search import Search  # noqa: E402
from my_network import network  # noqa: E402

# INC's search has a time limit of its own by SIGALRM, which pytest-timeout uses otherwise
pytestmark = [pytest.mark.slow, pytest.mark.timeout(method="thread")]
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
    transform = Transform(resize=64, crop=56, keep_ratio=False, mean=(0.5,) * 3, std=(0.25,) * 3)
    return Batches(prepared, rng.integers(0, 10, 64), 32, transform, keep=True)


def in_adaptor(net: Any, tuning: Batches) -> Network:
    from neural_compressor.adaptor.mxnet import MxNetAdaptor
    from neural_compressor.model.model import MXNetModel

    net = with_own_numbers(net, SHAPE)
    net.hybridize()
    info = {"device": "cpu", "q_dataloader": tuning}
    return Network(MXNetModel(net), MxNetAdaptor(info), tuning)


@pytest.fixture(scope="module")
def probed(tuning: Batches) -> tuple[Network, Probe, Noise]:
    """Return the tiny network as INC's adaptor has it, with its probe and the noise found."""
    asked = in_adaptor(network(10), tuning)
    ranges, noise = asked.calibrate(2)
    probe = Probe(asked.graph, asked.operators, ranges, SHAPE)
    return asked, probe, asked.with_places(noise, ranges, 64)


def margins(probe: Probe, data: Any, openings: dict[Source, float]) -> np.ndarray:
    """Return the fp32 winners' leads over the seconds with a share of some places' noise."""
    closed, found = _scores(probe, data, {}), _scores(probe, data, openings)
    second, first = np.argsort(closed, axis=1)[:, -2:].T
    rows = np.arange(len(data))
    return np.asarray(found[rows, first] - found[rows, second])


def _scores(probe: Probe, data: Any, openings: dict[Source, float]) -> np.ndarray:
    tensors = probe.differentiated(data)
    noise: dict[str, np.ndarray] = {}
    for place in probe.places:
        if place.source in openings:
            added = openings[place.source] * _noise(probe, place, tensors)
            noise[place.output] = noise.get(place.output, 0) + added

    def visit(builder: Builder, node: dict[str, Any], at: list[int]) -> list[int]:
        if node["name"] not in noise:
            return at
        name = f"{node['name']}:noise"
        builder.params[f"arg:{name}"] = mx.np.array(noise[node["name"]], dtype="float32")
        return builder.add("elemwise_add", f"{name}:sum", at, builder.add(VARIABLE, name))

    return np.asarray(probe.graph.rewritten(visit).network()(data).asnumpy())


def _noise(probe: Probe, place: Place, tensors: dict[str, Any]) -> np.ndarray:
    if place.source.kind == "weights":
        return np.asarray(probe.weight_noise(place, tensors))
    values = tensors[place.output].asnumpy().astype(np.float64)
    low, high = probe.ranges[place.source.name]
    if low >= 0 and place.source.name not in probe.norms_read:
        step, least, most = high / 255, 0, 255
    else:
        step, least, most = max(-low, high) / 127, -127, 127
    return np.asarray(np.clip(np.rint(values / step), least, most) * step - values)


def test_the_probe_is_the_fp32_network(probed: Any, tuning: Batches) -> None:
    _, probe, noise = probed
    data = next(iter(tuning))[0]
    expected = np.sort(network(10)(data).asnumpy(), axis=1)
    np.testing.assert_allclose(noise.margins[:32], expected[:, -1] - expected[:, -2], atol=1e-4)
    own = np.sort(_scores(probe, data, {}), axis=1)
    np.testing.assert_allclose(own, expected, atol=1e-4)


def test_shifts_are_what_a_little_noise_does(probed: Any, tuning: Batches) -> None:
    _, probe, noise = probed
    data = next(iter(tuning))[0]
    before = margins(probe, data, {})
    power = {each: value for each, value in noise.power().items() if not each.halvings}
    assert len(power) > 15
    for source in sorted(power, key=lambda each: -power[each])[:8]:
        found = (margins(probe, data, {source: 0.1}) - before) / 0.1
        predicted = noise.shifts[:32, noise.sources.index(source)]
        assert np.corrcoef(found, predicted)[0, 1] > 0.98, source


def test_all_noise_is_that_of_the_int8_network(
    probed: Any, tuning: Batches, tmp_path: Path
) -> None:
    """The fake noise and the real one are of the same size."""
    asked, probe, _ = probed
    data = next(iter(tuning))[0]
    present = asked.present(Choice())
    fake = _scores(probe, data, dict.fromkeys(present, 1.0)) - _scores(probe, data, {})
    options = {**OPTIONS, "tolerance": 0.99, "max_trials": 1}
    context = Context(network(10), tuning, tmp_path, None, lambda *_: None)
    made = Tuned("basic", options).optimize(context)
    real = made.net(data).asnumpy() - network(10)(data).asnumpy()
    assert 0.6 < np.sqrt((fake**2).mean() / (real**2).mean()) < 1.7


def test_mxnet_says_where_a_configuration_rounds(probed: Any) -> None:
    asked, _, _ = probed
    everything, fastest = asked.quantised(frozenset())
    assert Source("tensor", "data") in everything or len(everything) > 15
    weighted = [name for name, each in asked.operators.items() if each.weighted]
    for name in weighted:
        left, cost = asked.quantised(frozenset({name}))
        assert Source("weights", name) in everything
        assert Source("weights", name) not in left
        assert cost > fastest, "fp32 takes longer"
    nothing, slowest = asked.quantised(frozenset(asked.operators))
    assert not nothing
    assert slowest == max(cost for _, cost in asked._quantised.values())


def test_less_noise_flips_fewer_images(probed: Any) -> None:
    _, _, noise = probed
    flips = [noise.flips(noise.sources[:count]) for count in range(len(noise.sources) + 1)]
    assert flips[0] == 0
    assert all(a <= b for a, b in itertools.pairwise(flips))


def test_flips_are_those_of_random_shifts() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(300, 5))
    labels = np.where(rng.random(300) < 0.8, scores.argmax(1), rng.integers(0, 5, 300))
    places = (Source("tensor", "a"), Source("weights", "b"))
    shifts = rng.normal(size=(40, 2)) * (0.3, 0.1)
    noise = Noise.of(scores, labels).joined(places, shifts)
    order = np.argsort(scores, axis=1)
    first, second = order[:, -1], order[:, -2]
    lead = np.take_along_axis(scores, order, 1)
    size = shifts[rng.integers(0, 40, (300, 4000))]  # of another image, drawn
    moved = (rng.normal(size=size.shape) * size).sum(axis=2)
    flipped = moved < -(lead[:, -1] - lead[:, -2])[:, None]
    lost = (first == labels)[:, None] * flipped - 1.0 * (second == labels)[:, None] * flipped
    assert noise.flips(places) == pytest.approx(flipped.mean(), rel=0.02)
    assert noise.loss(places) == pytest.approx(lost.mean(), rel=0.04)


def test_the_first_images_alone_say_which_ranges_are_looked_at(
    probed: Any, tuning: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, _, _ = probed
    measured: list[tuple[int, int]] = []  # images, and columns of each

    def noted(self: Probe, passes: Any, halved: Any = ()) -> np.ndarray:
        count = sum(map(len, passes))
        measured.append((count, len(self.sources(halved))))
        return np.ones((count, len(self.sources(halved))))

    monkeypatch.setattr(Probe, "measure", noted)
    ranges, noise = asked.calibrate(2)
    assert len(asked.with_places(noise, ranges, 64).shifts) == 64
    (ranking, every), (others, columns) = measured
    assert (ranking, others) == (RANKING, 64 - RANKING)
    assert columns < every


class Unnamed(HybridBlock):
    """Calibration has names of its own for its input, its activation, its sum and its scores."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2D(8, 3), nn.Conv2D(8, 3, padding=1)
        self.last, self.flat = nn.Conv2D(10, 26), nn.Flatten()

    def forward(self, data: Any) -> Any:
        before = mx.npx.relu(self.first(data))
        return self.flat(self.last(before + mx.npx.relu(self.second(before))))


def test_every_place_is_measured_whatever_calibration_calls_it(tuning: Batches) -> None:
    net = Unnamed()
    net.initialize(mx.init.Xavier())
    asked = in_adaptor(net, tuning)
    ranges, noise = asked.calibrate(2)
    present = asked.present(Choice())
    assert Source("tensor", "data") in present
    assert present <= set(asked.with_places(noise, ranges, 8).sources)
    (added,) = (name for name, kind in kinds(asked).items() if kind == "_npi_add")
    asked.set_ranges(Choice().halved(f"{added}_output", 2))
    cache = asked._model.calib_cache["minmax"]
    np.testing.assert_allclose(cache[f"{added}_0"], halved(ranges[f"{added}_output"], 2))
    np.testing.assert_allclose(cache["sg_onednn_conv_0_data"], ranges["data"])


class Halved(HybridBlock):
    """Two halves of the channels, which are added again."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.scores = nn.Conv2D(8, 3), nn.Dense(10)

    def forward(self, data: Any) -> Any:
        first, second = mx.np.split(self.convolution(data), 2, axis=1)
        return self.scores(first + second)


def test_an_operator_with_several_outputs_is_refused_by_its_name(tuning: Batches) -> None:
    net = Halved()
    net.initialize()
    with pytest.raises(Refused, match=r"operator \S+ \(\S*split\S*\) has several outputs"):
        in_adaptor(net, tuning)


def kinds(asked: Network) -> dict[str, str]:
    return {name: operator.node["op"] for name, operator in asked.operators.items()}


def test_passes_have_each_image_once(
    probed: Any, tuning: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, probe, _ = probed
    images = np.concatenate([data.asnumpy() for data, _ in tuning])
    for most, end, start in ((100, 64, 0), (7, 50, 0), (7, 50, 8), (3, 64, 35), (5, 90, 60)):
        monkeypatch.setattr(probe, "images", most)
        found = [data.asnumpy() for data in probe.passes(tuning, end, start)]
        assert max(map(len, found)) <= most
        np.testing.assert_array_equal(np.concatenate(found), images[start:end])


def test_a_pass_has_no_fewer_images_for_larger_weights() -> None:
    def images(outputs: int) -> int:
        net = nn.Dense(outputs, in_units=100)
        net.initialize()
        graph = Graph.of(net, (1, 100))
        return Probe(graph, {}, {}, (1, 100)).images

    assert images(100) > images(101) > 0.9 * images(100)


def test_halved_ranges_are_measured_as_they_round(probed: Any, tuning: Batches) -> None:
    """A clipped range's shift, with the gradient that the plain one has, is that of its own rounding."""
    asked, _, noise = probed
    measured = {source for source in noise.sources if source.halvings}
    assert len({source.name for source in measured}) > 3
    ranges, _ = asked.calibrate(2)
    alone = {tensor: halved(limits, 3) for tensor, limits in ranges.items()}
    other = Probe(asked.graph, asked.operators, alone, SHAPE)
    shifts = other.measure(other.passes(tuning, 64))
    for name in {source.name for source in measured}:
        found = noise.shifts[:, noise.sources.index(Source("tensor", name, 3))]
        expected = shifts[:, other.sources(()).index(Source("tensor", name))]
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6), st.integers(0, 9))
def test_halving_a_range_keeps_its_side_of_zero(low: float, width: float, times: int) -> None:
    limits = (low, low + width)
    found = halved(limits, times)
    most = max(abs(low), abs(limits[1]))
    if limits[1] >= 0 >= low:
        assert max(map(abs, found)) == most / 2**times
    assert (found[0] >= 0) >= (low >= 0), "what has no negative values stays unsigned"
    assert max(map(abs, found)) <= most


def test_the_search_does_more_the_less_it_may_lose(probed: Any) -> None:
    asked, _, noise = probed
    candidates = frozenset(asked.operators)
    search = Search(asked, noise, candidates, worth=1e9)
    full = search.flips(Choice())
    chosen = [search.within(1.0, share * full, Choice()) for share in (1.0, 0.7, 0.1)]
    assert chosen[0] == Choice()
    assert search.flips(chosen[1]) <= 0.7 * full
    assert search.flips(chosen[2]) <= 0.1 * full
    assert search.time(chosen[0]) <= search.time(chosen[1]) <= search.time(chosen[2])
    assert search.flips(search.within(1.0, 0.0, Choice())) == 0
    eager = Search(asked, noise, candidates, worth=0.0)
    assert eager.flips(eager.within(1.0, 1.0, Choice())) < 0.5 * full


def test_a_range_is_cut_before_an_operator_is_excluded(probed: Any) -> None:
    """Another range costs no time, so what it silences is not excluded."""
    asked, _, noise = probed
    tensor = next(source for source in noise.sources if source.halvings).name
    margins, gains = np.full(64, 1.0), np.ones(64)
    loud, quiet = np.full((64, 1), 3.0), np.full((64, 1), 1e-3)
    made = Noise(margins, gains).joined((Source("tensor", tensor),), loud)
    made = made.joined((Source("tensor", tensor, 2),), quiet)
    search = Search(asked, made, frozenset(asked.operators), worth=10.0)
    assert search.within(0.01, 0.01, Choice()) == Choice().halved(tensor, 2)
    without = Search(asked, Noise(margins, gains, made.sources[:1], loud), search.candidates, 10.0)
    assert without.within(0.01, 0.01, Choice()).excluded


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


def test_the_culprit_is_found_with_one_evaluation(tuning: Batches, tmp_path: Path) -> None:
    data = next(iter(tuning))[0]
    labels = np.concatenate([network(10)(each).asnumpy().argmax(1) for each, _ in tuning])
    right = Batches(tuning._prepared, labels, 32, tuning._transform, keep=True)
    assert np.allclose(wide(2.0)(data).asnumpy(), network(10)(data).asnumpy(), atol=1e-3)
    context = Context(wide(2.0), right, tmp_path, None, lambda *_: None)
    made = Tuned(SENSITIVITY, {**OPTIONS, "tolerance": 0.02}).optimize(context)
    assert made.quantization["trials"] <= 2
    told = json.loads((tmp_path / "sensitivity.json").read_text())
    assert told["excluded"] == sorted(made.quantization["excluded_operators"])
    assert told["expected_flips"] < told["expected_flips_of_all_int8"]
    kind, name, _ = told["places"][0]
    graph = Graph.of(with_own_numbers(wide(0.0), SHAPE), SHAPE)
    fused = operators(
        json.loads(graph.as_symbol().optimize_for("ONEDNN_QUANTIZE").tojson())["nodes"]
    )
    assert set(told["names_are"]) >= {*told["excluded"], *told["halvings"]} - {"data"}
    facts = OperatorFacts(graph.as_symbol().optimize_for(FUSED_BACKEND), graph.layers)
    assert told["names_are"] == facts.of(sorted(told["names_are"]))
    readers = {each for each, operator in fused.items() if name in operator.reads}
    assert kind == "tensor"
    assert set(told["excluded"]) & readers or name in told["halvings"], (name, told)


def test_no_model_in_the_end_where_none_will_do(tuning: Batches, tmp_path: Path) -> None:
    from harness.errors import NoSolution

    context = Context(network(10), tuning, tmp_path, None, lambda *_: None)
    with pytest.raises(NoSolution, match="nothing more to try"):
        Tuned(SENSITIVITY, {**OPTIONS, "criterion": "absolute", "tolerance": -2.0}).optimize(
            context
        )


def rare(high: float) -> Any:
    """Return the tiny network with a channel that fires rarely and high, and is hardly read."""
    net = network(10)
    block = net.features[2][0]
    gamma, beta = (each.data().asnumpy() for each in (block.bn2.gamma, block.bn2.beta))
    gamma[0], beta[0] = high, -2.0 * high
    block.bn2.gamma.set_data(mx.np.array(gamma))
    block.bn2.beta.set_data(mx.np.array(beta))
    weight = block.conv2.weight.data().asnumpy()
    weight[:, 0] /= 100 * high
    block.conv2.weight.set_data(mx.np.array(weight))
    return net


def test_a_rare_outlier_is_cut_off_and_nothing_excluded(tuning: Batches, tmp_path: Path) -> None:
    labels = np.concatenate([rare(300.0)(each).asnumpy().argmax(1) for each, _ in tuning])
    right = Batches(tuning._prepared, labels, 32, tuning._transform, keep=True)
    context = Context(rare(300.0), right, tmp_path, tmp_path, lambda *_: None)
    made = Tuned(SENSITIVITY, {**OPTIONS, "tolerance": 0.05}).optimize(context)
    told = json.loads((tmp_path / "sensitivity.json").read_text())
    assert told["halvings"] and max(told["halvings"].values()) >= 4
    assert not made.quantization["excluded_operators"]
    changed = made.trajectory[-1]["changed"]
    assert any("/" in each for each in changed.values()) or "/" in changed["all"]
    shared = json.loads((tmp_path / SHARED_CACHE).read_text())["minmax"]
    tensor = max(told["halvings"], key=told["halvings"].__getitem__)
    assert max(map(abs, shared[tensor])) > 100, "other rows get the ranges as they are"
    data = next(iter(tuning))[0]
    configuration = kept_trials(tmp_path)[len(made.trajectory) - 1]["q_config"]
    again = recover(rare(300.0), configuration, data)
    np.testing.assert_array_equal(again(data).asnumpy(), made.net(data).asnumpy())


def test_cut_ranges_leave_the_graph(tuning: Batches, tmp_path: Path) -> None:
    """So that models without the same operators run the same kernels: in no more time."""
    nodes = []
    for name, strategy, options in (("all", "basic", {"max_trials": 1}), ("cut", SENSITIVITY, {})):
        (tmp_path / name).mkdir()
        context = Context(rare(300.0), tuning, tmp_path / name, None, lambda *_: None)
        made = Tuned(strategy, {**OPTIONS, "tolerance": 0.9, **options}).optimize(context)
        assert not made.quantization["excluded_operators"]
        nodes.append(Graph.of(made.net, SHAPE).nodes)
    assert json.loads((tmp_path / "cut" / "sensitivity.json").read_text())["halvings"]
    differ = set[str]()
    for ours, theirs in zip(*nodes, strict=True):
        assert (ours["op"], ours["inputs"]) == (theirs["op"], theirs["inputs"])
        attributes = ours.get("attrs", {}), theirs.get("attrs", {})
        differ |= {key for key in attributes[0] if attributes[0][key] != attributes[1][key]}
    assert differ and differ <= {"min_calib_range", "max_calib_range"}


def test_a_refused_model_of_which_nothing_is_expected_ends_in_fp32(
    tuning: Batches, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.errors import NoSolution

    monkeypatch.setattr(Noise, "flips", lambda *_: 0.0)
    monkeypatch.setattr(Noise, "loss", lambda *_: -3.0)
    context = Context(network(10), tuning, tmp_path, None, lambda *_: None)
    with pytest.raises(NoSolution, match="nothing more to try") as caught:
        Tuned(SENSITIVITY, {**OPTIONS, "criterion": "absolute", "tolerance": -2.0}).optimize(
            context
        )
    assert caught.value.trials == 2, "all int8, then all fp32"
