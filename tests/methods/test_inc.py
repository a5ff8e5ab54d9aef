"""INC under this harness: what it is told, what it proposes, and that nothing is swallowed."""

from __future__ import annotations

import contextlib
import csv
import ctypes
import dataclasses
import json
import math
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from harness.config import compose_config
from harness.errors import HarnessError, InputError, NoSolution, Refused, TuningTimeout
from harness.facts.machine_facts import Versions
from harness.facts.typed import decode
from harness.process import compat
from harness.storage.method_options import MYCUSTOM
from harness.storage.store import TRIALS
from helpers.command_line import PATIENCE_S, TINY, Ended, load
from helpers.tuning import (
    ALL_TRIALS,
    EXCLUDE_ALL,
    IMPOSSIBLE,
    OPTIONS,
    THRESHOLDS,
    Search,
    kept_trials,
    tuned,
)

# INC's search has a time limit of its own by SIGALRM, which pytest-timeout uses otherwise
pytestmark = [pytest.mark.slow, pytest.mark.timeout(method="thread")]


# --- mycustom's measures

TENSORS = arrays.arrays(
    np.float32, arrays.array_shapes(max_dims=4, max_side=4), elements=st.floats(-100, 100, width=32)
)
ERRORS = st.dictionaries(st.sampled_from("abcdefgh"), st.floats(0, 10), min_size=1)


@given(TENSORS)
def test_relative_error_of_a_tensor_with_itself_is_zero(tensor: Any) -> None:
    from harness.methods.mycustom import relative_error

    assert relative_error(tensor, tensor.copy()) == 0


@given(TENSORS, st.floats(0.1, 2))
def test_relative_error_of_a_scaled_tensor_is_the_scale_less_one(tensor: Any, scale: float) -> None:
    from harness.methods.mycustom import relative_error

    tensor = tensor.astype(np.float64)
    if np.abs(tensor).mean() < 1e-6:
        return
    assert relative_error(tensor, tensor * scale) == pytest.approx(abs(scale - 1))


@given(TENSORS, st.floats(0.5, 50), st.sampled_from([2.0**k for k in (-8, -1, 1, 10)]))
def test_relative_error_has_no_unit(tensor: Any, noise: float, unit: float) -> None:
    from harness.methods.mycustom import relative_error

    tensor = tensor.astype(np.float64)
    other = tensor + noise
    error = relative_error(tensor, other)
    assert error > 0
    assert relative_error(tensor * unit, other * unit) == pytest.approx(error)


def test_relative_error_of_known_tensors_and_of_zeros() -> None:
    from harness.methods.mycustom import relative_error

    assert relative_error(np.array([1.0, -3.0]), np.array([2.0, -3.0])) == pytest.approx(0.25)
    assert relative_error(np.zeros(3), np.zeros(3)) == 0
    assert relative_error(np.zeros(3), np.array([0, 0, 1e-9])) == math.inf


@given(ERRORS)
def test_nothing_is_reduced_where_nothing_changed(errors: dict[str, float]) -> None:
    from harness.methods.mycustom import summed_reduction

    assert summed_reduction(errors, errors) == 0


@given(ERRORS, st.data())
def test_reduction_is_a_sum_over_the_operators_still_there(
    before: dict[str, float], data: st.DataObject
) -> None:
    from harness.methods.mycustom import summed_reduction

    names = data.draw(st.lists(st.sampled_from(sorted(before)), unique=True))
    after = {name: data.draw(st.floats(0, 10)) for name in names}
    total = summed_reduction(before, after)
    assert total == pytest.approx(sum(summed_reduction(before, {n: after[n]}) for n in names))
    assert total <= sum(before[name] for name in names) + 1e-9
    kept = {name: before[name] for name in names}
    assert summed_reduction(kept, after) == pytest.approx(-summed_reduction(after, kept))


# --- mycustom's search


def test_mycustom_tries_large_errors_and_keeps_what_calms_the_rest(
    search: Search, tmp_path: Path
) -> None:
    made = search(MYCUSTOM, strategy_options=THRESHOLDS, max_trials=2, **ALL_TRIALS)
    with (tmp_path / "operator_influence.csv").open() as handle:
        influence = list(csv.DictReader(handle))
    tried, kept = {row["excluded"] for row in influence}, set()
    for name in tried:
        rows = [row for row in influence if row["excluded"] == name]
        (own,) = (row for row in rows if row["operator"] == name)
        assert float(own["error_before"]) > THRESHOLDS["error_threshold"]
        reduction = sum(float(row["error_before"]) - float(row["error_after"]) for row in rows)
        calms = reduction >= THRESHOLDS["reduction_per_operator"] * len(rows)
        assert {row["kept"] for row in rows} == {str(calms)}
        if calms:
            kept.add(name)
    assert kept and tried - kept, "the choice was one"
    assert made.trajectory[1]["changed"] == dict.fromkeys(kept, "fp32")


def test_mycustom_proposes_all_then_the_excluded_then_calibrations(
    search: Search, tmp_path: Path
) -> None:
    made = search(MYCUSTOM, strategy_options=EXCLUDE_ALL, **ALL_TRIALS)
    first, second, *others = made.trajectory
    assert first["changed"] == {"all": "11 x int8 minmax"}
    excluded = set(second["changed"])
    assert set(second["changed"].values()) == {"fp32"}
    assert len(excluded) >= 5
    assert others
    for trial in others:
        assert set(trial["changed"].values()) <= {"int8 kl", "int8 minmax"}
        assert not excluded & set(trial["changed"]), "what is excluded stays excluded"

    header, *rows = (tmp_path / "operator_influence.csv").read_text().splitlines()
    assert header == "excluded,operator,error_before,error_after,kept,kind,layer,behind,feeds"
    assert {row.split(",")[0] for row in rows} == excluded
    assert all(row.split(",")[4] == "True" for row in rows)
    assert all(row["kind"] for row in csv.DictReader([header, *rows]))
    known = made.quantization["excluded_are"]
    for row in csv.DictReader([header, *rows]):
        if row["operator"] in known:
            place = known[row["operator"]]
            assert (row["kind"], row["layer"]) == (place["kind"], place["layer"])
            assert row["behind"] == "; ".join(place["behind"])
            assert row["feeds"] == "; ".join(place["feeds"])


def test_mycustom_excludes_nothing_where_errors_are_small(search: Search) -> None:
    options = {**THRESHOLDS, "error_threshold": math.inf}
    made = search(MYCUSTOM, strategy_options=options, max_trials=3, **ALL_TRIALS)
    changes = [change for trial in made.trajectory[1:] for change in trial["changed"].values()]
    assert changes
    assert "fp32" not in changes
    assert made.quantization["excluded_operators"] == []


# --- what INC is told


def test_options_reach_inc(search: Search, tmp_path: Path) -> None:
    search(
        "basic",
        criterion="absolute",
        tolerance=0.875,
        timeout_s=3600.5,
        max_trials=1,
        seed=11,
        sampling_size=16,
        objective="footprint",
    )
    told = yaml.safe_load((tmp_path / "inc.yaml").read_text())
    assert told["tuning"] == {
        "strategy": {"name": "basic"},
        "objective": "footprint",
        "accuracy_criterion": {"absolute": 0.875},
        "exit_policy": {"timeout": 3601, "max_trials": 1},
        "random_seed": 11,
        "workspace": {"path": str(tmp_path)},
    }
    assert told["quantization"]["calibration"] == {"sampling_size": 16}
    (trial,) = kept_trials(tmp_path)
    assert trial["q_config"]["calib_cfg"]["batches"] == 1  # 16 images in batches of 16


@pytest.mark.parametrize(
    ("sampling_size", "images"), [(16, 16), (20, 32), (32, 32), (5000, 32)]
)  # of 32 tuning images in batches of 16
def test_the_images_that_inc_calibrated_on_are_recorded(
    search: Search, sampling_size: int, images: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    compat.import_inc()
    from neural_compressor.adaptor import mxnet as adaptor

    run_forward, batches = adaptor.run_forward, []

    def counted(*arguments: Any) -> int:
        batches.append(run_forward(*arguments))
        return int(batches[-1])

    monkeypatch.setattr(adaptor, "run_forward", counted)
    made = search("basic", sampling_size=sampling_size)
    assert made.quantization["calibration_images"] == images
    assert set(batches) == {images // 16}  # as INC counted them


def test_options_of_the_configuration_reach_inc(smoke_run: Ended) -> None:
    inc = smoke_run.folder.method("int8_inc_mse")
    told = yaml.safe_load((inc / "inc.yaml").read_text())
    assert told["tuning"]["strategy"] == {"name": "mse"}
    assert told["tuning"]["accuracy_criterion"] == {"absolute": 1.0}
    assert told["tuning"]["exit_policy"] == {"timeout": 3600, "max_trials": 2}
    assert told["tuning"]["random_seed"] == 9527
    assert told["quantization"]["calibration"] == {"sampling_size": 32}


def test_options_of_a_strategy_are_its_own(own_run: Ended) -> None:
    plan = load(own_run.folder.path / "plan.json")
    assert plan["config"]["method"]["int8_kl"]["strategy_options"] == {"algorithm": "kl"}
    record = own_run.records["int8_kl"]
    assert record.optimize is not None
    assert record.optimize.trajectory[0].changed == {"all": "11 x int8 kl"}


@pytest.mark.parametrize(
    ("strategy", "options", "said"),
    [
        ("nosuch", {}, "INC has no strategy 'nosuch': use one of .*basic.*mse"),
        ("mse_v2", {}, "INC has no strategy 'mse_v2': use one of .*basic.*mse"),
        ("no_such_module.ATuneStrategy", {}, "no_such_module"),
        ("neural_compressor.contrib.strategy.sigopt.SigOptTuneStrategy", {}, "give --conf DIR"),
        ("basic", {"objective": "modelsize"}, "needs TensorFlow"),
        ("my_strategy.NoSuchTuneStrategy", {}, "NoSuchTuneStrategy"),
        ("my_method.Rounded", {}, "names ending in TuneStrategy"),
        ("my_strategy.BasicTuneStrategy", {}, "another is called basic: rename"),
        ("basic", {"criterion": "both"}, "use relative or absolute"),
        ("basic", {"criterion": "relative", "tolerance": 1.0}, "below 1"),
        ("basic", {"objective": "speed"}, "use accuracy, footprint or performance"),
        ("basic", {"max_trials": "many"}, "many"),
        ("basic", {"timeout_s": math.nan}, "timeout_s=nan: use a number of at least 0"),
    ],
)
def test_what_inc_could_not_begin_with_is_refused_at_once(
    strategy: str, options: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import my_strategy
    from harness.methods.inc import Tuned

    namesake = type(
        "BasicTuneStrategy", (my_strategy.MyKLTuneStrategy,), {"__module__": "my_strategy"}
    )
    monkeypatch.setattr(my_strategy, "BasicTuneStrategy", namesake, raising=False)
    with pytest.raises(InputError, match=said):
        Tuned(strategy, {**OPTIONS, **options})


def test_objectives_on_offer_are_those_of_inc_that_run_here() -> None:
    from neural_compressor.objective import OBJECTIVES

    from harness.methods import inc  # noqa: F401 - it imports INC as INC must be imported
    from harness.storage.method_options import OBJECTIVES as OFFERED

    can_run = set()
    for name, cls in OBJECTIVES.items():
        objective = cls()
        objective.model = object()
        with contextlib.suppress(ImportError):
            objective.start()
            objective.end(*([0.5] if name == "accuracy" else []))
            can_run.add(name)
    assert can_run == set(OFFERED)


def test_missing_option_is_refused() -> None:
    from harness.methods.inc import Tuned

    options = {name: value for name, value in OPTIONS.items() if name != "seed"}
    with pytest.raises(InputError, match="seed"):
        Tuned("basic", options)


# --- how a search ends


@pytest.mark.parametrize("reads", [0, 1, 2, 3])
def test_exception_in_inc_is_not_swallowed(search: Search, reads: int) -> None:
    """The batches are read for the baseline, for calibration and for the first trial."""
    from my_method import TunedOnUnreadable

    with pytest.raises(ValueError, match="the tuning images are gone"):
        search("basic", cls=TunedOnUnreadable, reads=reads, **IMPOSSIBLE)


def test_the_network_is_exported_once_and_the_search_is_the_same(
    tuning: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.methods import inc

    prepare, asked = inc.inc_adaptor.prepare_model_data, []
    monkeypatch.setattr(
        inc.inc_adaptor,
        "prepare_model_data",
        lambda model, *rest: (asked.append(model), prepare(model, *rest))[1],
    )
    found = []
    for name, once in (("once", inc.exported_once), ("always", contextlib.nullcontext)):
        monkeypatch.setattr(inc, "exported_once", once)
        asked.clear()
        folder = tmp_path / name
        folder.mkdir()
        tuned(folder, tuning, "basic", max_trials=4, **ALL_TRIALS)
        thresholds = [trial["q_config"]["th_dict"] for trial in kept_trials(folder)]
        found.append((thresholds, np.load(folder / TRIALS)["top1"].tolist()))
        assert len(asked) == (1 if name == "once" else 5)  # for the operators, and for each trial
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("strategy", "options"), [("bayesian", {}), (MYCUSTOM, {"strategy_options": THRESHOLDS})]
)
def test_a_search_does_not_depend_on_what_the_process_did_before(
    strategy: str, options: dict[str, Any], tuning: Any, tmp_path: Path
) -> None:
    """MXNet numbers the operators of all networks of a process, and strategies draw by name."""
    found = []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        made = tuned(folder, tuning, strategy, max_trials=6, **options, **ALL_TRIALS)
        trials = [(trial["accuracy"], trial["changed"]) for trial in made.trajectory]
        found.append((trials, kept_trials(folder)))
    assert found[0] == found[1]
    assert len({str(changed) for _, changed in found[0][0]}) > 3


def test_no_solution_tells_the_trials(search: Search, tmp_path: Path) -> None:
    with pytest.raises(NoSolution, match=r"best 0\.\d+ against fp32's 0\.\d+") as caught:
        search("basic", max_trials=3, **IMPOSSIBLE)
    assert caught.value.trials == 3
    kept = np.load(tmp_path / "trials.npz")["top1"]
    assert kept.shape == (4, 32)  # fp32 and each trial
    assert [t["trial"] for t in load(tmp_path / "trajectory.json")] == [1, 2, 3]


def test_exhausted_search_tells_so(search: Search) -> None:
    with pytest.raises(NoSolution, match="nothing more to try") as caught:
        search(
            "my_strategy.MyKLTuneStrategy", strategy_options={"algorithm": "minmax"}, **IMPOSSIBLE
        )
    assert caught.value.trials == 1


def test_time_limit_without_a_model(search: Search) -> None:
    with pytest.raises(TuningTimeout, match=r"0\.001 s ended after 0 trials"):
        search("basic", timeout_s=0.001, **IMPOSSIBLE)


def test_time_limit_keeps_a_model_found_before_it(search: Search) -> None:
    from harness.methods.inc import Tuned

    class Ringing(Tuned):
        """Has the alarm of its time limit ring once there is a model."""

        def optimize(self, context: Any) -> Any:
            def ring(done: int, total: int, what: str) -> None:
                if done == 2:
                    signal.raise_signal(signal.SIGALRM)

            return super().optimize(dataclasses.replace(context, progress=ring))

    made = search("basic", cls=Ringing, timeout_s=3600, max_trials=9)
    assert made.quantization["trials"] == len(made.trajectory) == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_time_limit_holds_where_a_callback_loses_its_exception() -> None:
    """MXNet calls INC's collector through ctypes, which prints an exception and goes on."""
    from harness.time_limit import time_limit

    callback = ctypes.CFUNCTYPE(None)(lambda: time.sleep(1))
    with time_limit(0.2) as limit:
        callback()
        time.sleep(PATIENCE_S)
    assert limit.expired


def test_time_limit_that_does_not_expire_leaves_nothing_behind() -> None:
    from harness.time_limit import time_limit

    with time_limit(0.3) as limit:
        pass
    time.sleep(0.5)
    assert not limit.expired


# --- the trajectory


@pytest.fixture
def bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make INC believe that this CPU has bf16, as many have."""
    monkeypatch.setenv("FORCE_BF16", "1")


@pytest.fixture(scope="module")
def long_search(tmp_path_factory: pytest.TempPathFactory, tuning: Any) -> tuple[Any, Path]:
    """Return what a long search by ``basic`` on a CPU with bf16 made, and its folder."""
    folder = tmp_path_factory.mktemp("long")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FORCE_BF16", "1")
        return tuned(folder, tuning, "basic", max_trials=30, sampling_size=16, **ALL_TRIALS), folder


def test_trajectory_says_what_each_trial_was(long_search: tuple[Any, Path]) -> None:
    """Applying the changes one after the other gives the tuning history of each trial."""
    made, folder = long_search
    history = kept_trials(folder)
    assert len(history) == len(made.trajectory) == made.quantization["trials"]
    assert len(history) < 30, "INC counts some proposals that it knew already"
    now: dict[str, str] = {}
    for trial, entry in zip(made.trajectory, history, strict=True):
        quantising, calibration = (entry["q_config"][key] for key in ("quant_cfg", "calib_cfg"))
        said = {name: "int8 kl" for name in calibration["calib_kl_nodes"]}
        said |= {name: "int8 minmax" for name in calibration["calib_minmax_nodes"]}
        said |= {name: "fp32" for name in quantising["excluded_symbols"]}
        now = now or dict.fromkeys(said, "int8 minmax")
        now.update({name: to for name, to in trial["changed"].items() if name != "all"})
        assert now == said


def test_trials_share_what_is_equal_in_their_configurations(
    search: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    """INC copies all of it for each trial; 500 trials of a large network would be many megabytes."""
    from harness.methods import inc

    share, seen = inc.share_operator_configurations, []
    monkeypatch.setattr(
        inc, "share_operator_configurations", lambda each: (seen.append(each), share(each))
    )
    search("basic", max_trials=12, sampling_size=16, **ALL_TRIALS)
    (searched,) = seen[0].tuning_history
    trials = searched["history"]
    configurations = [each for entry in trials for each in entry["tune_cfg"]["op"].values()]
    kept = {id(each): repr(each) for each in configurations}
    assert len(kept) == len(set(kept.values())) < len(configurations) / 3


def test_mxnet_looks_for_dynamic_shapes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import mxnet as mx

    from harness.methods.long_search import dynamic_shapes_asked_once

    real, looked = mx.symbol.Symbol.has_dynamic_shape_op, []
    monkeypatch.setattr(
        mx.symbol.Symbol, "has_dynamic_shape_op", lambda self: looked.append(0) or real(self)
    )
    data = mx.sym.var("data").as_np_ndarray()
    with dynamic_shapes_asked_once():
        for _ in range(3):
            net = mx.gluon.SymbolBlock(data + 1, data)
            assert net(mx.np.zeros((2,))).asnumpy().tolist() == [1, 1]
    assert len(looked) == 1
    mx.gluon.SymbolBlock(data + 1, data)(mx.np.zeros((2,)))
    assert len(looked) == 2


def kinds_of(trajectory: list[dict[str, Any]]) -> set[str]:
    """Return what operators were set to in any trial."""
    first, *others = (trial["changed"] for trial in trajectory)
    counted = {part.split(" x ")[1] for part in first["all"].split(", ")}
    return counted | {kind for changed in others for kind in changed.values()}


def test_bf16_is_never_proposed_by_basic(long_search: tuple[Any, Path]) -> None:
    made, folder = long_search
    assert kinds_of(made.trajectory) == {"int8 minmax", "int8 kl", "fp32"}
    symbol, _ = made.net.export(str(folder / "model"))
    assert "bfloat16" not in Path(symbol).read_text()


@pytest.mark.parametrize(
    ("strategy", "options"),
    [("mse", {}), ("bayesian", {}), (MYCUSTOM, {"strategy_options": EXCLUDE_ALL})],
)
def test_bf16_is_never_proposed(
    search: Search, bf16: None, strategy: str, options: dict[str, Any]
) -> None:
    made = search(strategy, max_trials=3, sampling_size=16, **options, **ALL_TRIALS)
    assert kinds_of(made.trajectory) <= {"int8 minmax", "int8 kl", "fp32"}


def test_bf16_is_refused_where_inc_may_choose_it(search: Search, bf16: None) -> None:
    """INC falls back to bf16 then, and MXNet 2.0.0b1 does not even take the call."""
    with pytest.raises(Refused, match=r"INC falls back to bf16 .*target_dtype.*int8_fp32"):
        search("basic", dtypes="inc", max_trials=30, sampling_size=16, **ALL_TRIALS)


# --- the shared calibration cache


@pytest.fixture(scope="session")
def shared_run(session_run: Callable[..., Ended]) -> Ended:
    """Return a run as ``own_run`` of two INC rows that share one calibration cache."""
    return session_run("method=[int8_kl,int8_kl_again]", "methods.shared_calibration=true", *TINY)


def calibrated(run: Ended, name: str) -> bool:
    """Say whether the row ran calibration batches itself."""
    log = (run.folder.method(name) / "optimize.log").read_text()
    return "Start to collect tensors of the FP32 model" in log


def test_shared_calibration_changes_the_cost_and_not_the_model(
    own_run: Ended, shared_run: Ended
) -> None:
    assert shared_run.code == 0, shared_run.err
    assert calibrated(own_run, "int8_kl") and calibrated(own_run, "int8_kl_again")
    assert calibrated(shared_run, "int8_kl") and not calibrated(shared_run, "int8_kl_again")
    for name in ("int8_kl", "int8_kl_again"):
        alone, shared = own_run.records[name].optimize, shared_run.records[name].optimize
        assert alone is not None and shared is not None
        assert shared.stored["quantization"] == alone.stored["quantization"]
        # thresholds are written in the symbol, quantised weights in the params
        assert [file.sha256 for file in shared.model] == [file.sha256 for file in alone.model]


def test_shared_calibration_is_recorded(own_run: Ended, shared_run: Ended) -> None:
    kept = load(shared_run.folder.path / "calibration.json")
    assert kept["batches"] > 0
    assert len(kept["kl"]) > 5
    assert all(low <= high for low, high in kept["kl"].values())
    assert not (own_run.folder.path / "calibration.json").exists()
    assert "INC rows shared one calibration cache" in shared_run.out
    assert "INC rows shared one calibration cache" not in own_run.out


def test_shared_thresholds_come_back_exactly(tmp_path: Path) -> None:
    from harness.methods.shared_calibration import SharedCalibration

    values = np.sort(np.random.default_rng(0).normal(size=(20, 2)).astype(np.float32))
    limits = {f"tensor{n}": (low, high) for n, (low, high) in enumerate(values)}
    SharedCalibration(tmp_path, {"batches": 3, "kl": limits, "minmax": {}}).save()
    read: dict[str, Any] = {}
    SharedCalibration(tmp_path, read).load()
    assert read == {"batches": 3, "kl": limits, "minmax": {}}
    assert {type(v) for pair in read["kl"].values() for v in pair} == {np.float32}


# --- versions


def test_inc_sees_a_plain_version_and_records_keep_the_true_one() -> None:
    compat.import_inc()
    import mxnet
    from neural_compressor.adaptor.mxnet_utils import util

    assert mxnet.__version__ == "2.0.0"
    assert util.check_mx_version("2.0.0")
    true = compat.true_versions()
    assert (true.mxnet, true.neural_compressor) == ("2.0.0b1", "1.13.1")
    assert decode(json.loads(json.dumps(true.stored)), Versions) == true


GOOD = {"numpy": "1.23.5", "scipy": "1.10.1", "setuptools": "80.9.0", "neural-compressor": "1.13.1"}


def test_locked_versions_are_within_the_limits() -> None:
    compat.check_limits(GOOD)


@pytest.mark.parametrize(
    ("name", "version", "said"),
    [
        ("numpy", "1.24", "numpy 1.24 is installed, needed is < 1.24"),
        ("numpy", "2.0.1", "numpy 2.0.1 is installed, needed is < 1.24"),
        ("scipy", "1.11.0", "scipy 1.11.0 is installed, needed is < 1.11"),
        ("scipy", "1.11.0rc1", "scipy 1.11.0rc1 is installed, needed is < 1.11"),
        ("setuptools", "81.0.0", "setuptools 81.0.0 is installed, needed is < 81"),
        ("neural-compressor", "1.14.1", "neural-compressor 1.14.1 is installed, not 1.13.1"),
    ],
)
def test_versions_that_do_not_work_together_are_named(name: str, version: str, said: str) -> None:
    with pytest.raises(HarnessError) as caught:
        compat.check_limits({**GOOD, name: version})
    assert said in str(caught.value)
    assert "delete .venv" in str(caught.value)


def test_inc_leaves_yaml_as_it_is() -> None:
    compat.import_inc()
    assert yaml.safe_load("{nothing: null, empty: }") == {"nothing": None, "empty": None}
    assert compose_config([]).config.run.id is None
