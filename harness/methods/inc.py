"""The rows that Intel Neural Compressor (INC) tunes: a strategy's search for an accurate int8 model.

INC's ``fit()`` catches every exception, logs it and returns None, so an error, a timeout and an
exhausted search look alike. ``_Search`` runs the same traversal without the catch-all. What a search
evaluates is counted in ``journal``.
"""

from __future__ import annotations

import json
import math
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import mxnet as mx
import numpy as np
import yaml

from harness.errors import InputError, NoSolution, TuningTimeout, one_line
from harness.methods.base import Context, Optimized
from harness.process.compat import import_inc
from harness.storage import form
from harness.storage.config_form import OBJECTIVE
from harness.storage.reading import read_json
from harness.storage.tuning_history import RANGES, limits

import_inc()

import neural_compressor.adaptor.mxnet as inc_adaptor  # noqa: E402
from neural_compressor.adaptor import FRAMEWORKS  # noqa: E402
from neural_compressor.adaptor.mxnet_utils.util import DataLoaderWrap, prepare_model  # noqa: E402
from neural_compressor.experimental import Quantization  # noqa: E402
from neural_compressor.experimental.common import Model  # noqa: E402
from neural_compressor.strategy import STRATEGIES  # noqa: E402
from neural_compressor.strategy.strategy import TuneStrategy, strategy_registry  # noqa: E402

from harness.methods.graph import with_own_numbers  # noqa: E402
from harness.methods.inspection import inspect_on_disk  # noqa: E402
from harness.methods.journal import Enough, Journal  # noqa: E402
from harness.methods.long_search import (  # noqa: E402
    dynamic_shapes_asked_once,
    share_operator_configurations,
)
from harness.methods.pickles import close  # noqa: E402
from harness.targets import find  # noqa: E402

close()

UNFIT = {  # strategies of INC that cannot tune here, by the name that INC knows them by
    "sigopt": "it needs an account at sigopt.com, and a worker has no network",
    "automixedprecision": "it looks for bf16, not for int8; the method bf16 makes that",
}
SHARED_CACHE = "calibration.json"
SHARED = {"batches": form.some, "kl": RANGES, "minmax": RANGES}  # the form of what is in it
MEASURED = "measured"  # in INC's cache: the ranges as they are, where a strategy proposes others


@dataclass
class Tuned:
    """int8 by an INC strategy.

    Attributes:
        strategy: one of INC's own (basic, mse, bayesian, ...) or the dotted path of a
            ``TuneStrategy`` subclass.
        options: criterion, tolerance, timeout_s, max_trials, seed, sampling_size, objective; see
            ``conf/config.yaml``.
        strategy_options: set as the class attribute ``options`` of a strategy given by path.
    """

    strategy: str
    options: Mapping[str, Any]
    strategy_options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what the search could not begin with, before anything is measured.

        Raises:
            InputError: there is no such strategy, or an option is missing or of the wrong form.
        """
        try:
            self._inc_config(self._register(), Path())
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"options: {type(error).__name__}: {error}") from None

    def optimize(self, context: Context) -> Optimized:
        """Search; the trajectory and the tuning history are kept in the workspace.

        Raises:
            NoSolution: max_trials or the search space ended without a model.
            TuningTimeout: timeout_s ended without a model.
        """
        name = self._register()
        config = context.workspace / "inc.yaml"
        config.write_text(
            yaml.safe_dump(self._inc_config(name, context.workspace), sort_keys=False)
        )
        tuning = context.tuning.kept()
        net = with_own_numbers(context.net, next(iter(tuning))[0][:1].shape)
        net.hybridize()
        context = replace(context, net=net, tuning=tuning)
        journal = Journal(context, int(self.options["max_trials"]))
        search = _Search(str(config))
        search.model = context.net
        search.calib_dataloader = context.tuning
        search.eval_func = journal.evaluate
        cache = _SharedCalibration(context.shared, search.model.calib_cache)
        cache.load()
        try:
            with _exported_once(search.model), dynamic_shapes_asked_once(), journal.quantising():
                search.pre_process()
                inspect_on_disk(search.strategy.adaptor, context.workspace)
                journal.watch(search.strategy)
                share_operator_configurations(search.strategy)
                with _time_limit(float(self.options["timeout_s"])) as limit, suppress(Enough):
                    search.strategy.traverse()
                best: Any = getattr(search.strategy, "best_qmodel", None)
                if best is None or best.model is context.net:
                    self._explain(journal, limit.expired)
            found = {
                "baseline_accuracy": journal.accuracy_of(context.net),
                "tuned_accuracy": journal.accuracy_of(best.model),
                "trials": len(journal.trials),
            }
        except SystemExit as error:  # the worker would end without an answer
            raise RuntimeError(f"the strategy ended its process: {error!r}") from error
        finally:
            journal.save()
            cache.save()
        return Optimized(
            best.model,
            {"strategy": self.strategy, **_configured(best.q_config, tuning), **found},
            journal.trials,
        )

    def _register(self) -> str:
        """Return the name INC knows the strategy by, importing and registering one given by path."""
        known = ", ".join(sorted(set(STRATEGIES) - set(UNFIT)))
        if "." not in self.strategy:
            if self.strategy not in STRATEGIES:
                raise InputError(
                    f"INC has no strategy {self.strategy!r}: use one of {known}, or a path"
                )
            if self.strategy in UNFIT:
                raise InputError(
                    f"strategy {self.strategy} cannot run here, {UNFIT[self.strategy]}: use one of "
                    f"{known}, or a path"
                )
            return self.strategy
        cls_name = self.strategy.rpartition(".")[2]
        try:
            cls: Any = find(self.strategy)
        except InputError as error:
            raise InputError(f"strategy {error}") from None
        if not cls_name.endswith("TuneStrategy"):
            raise InputError(
                f"strategy {self.strategy}: INC wants class names ending in TuneStrategy"
            )
        if not (isinstance(cls, type) and issubclass(cls, TuneStrategy)):
            raise InputError(f"strategy {self.strategy} is no subclass of INC's TuneStrategy")
        steps = ("next_tune_cfg", "traverse")
        if all(getattr(cls, step) is getattr(TuneStrategy, step) for step in steps):
            raise InputError(f"strategy {self.strategy} has neither next_tune_cfg nor traverse")
        for unfit, why in UNFIT.items():
            if issubclass(cls, STRATEGIES[unfit]):
                raise InputError(
                    f"strategy {self.strategy} is a {unfit}, which cannot run here, {why}: derive it "
                    f"from another of {known}"
                )
        name = cls_name[: -len("TuneStrategy")].lower()
        if name not in STRATEGIES:
            strategy_registry(cls)
        if STRATEGIES[name] is not cls:
            raise InputError(
                f"strategy {self.strategy}: another is called {name}: rename the class"
            )
        cls.options = dict(self.strategy_options)
        return str(name)

    def _inc_config(self, name: str, workspace: Path) -> dict[str, Any]:
        """Return what INC reads.

        The data types are limited to the published int8 and fp32: INC adds bf16 by itself on CPUs
        that have it, and the same table must not mean different things on different machines.
        """
        options = self.options
        if options["criterion"] not in ("relative", "absolute"):
            raise InputError(f"tuning.criterion={options['criterion']}: use relative or absolute")
        if options["criterion"] == "relative" and not -1 < options["tolerance"] < 1:
            raise InputError(f"tuning.tolerance={options['tolerance']}: use a number below 1")
        if not OBJECTIVE(options["objective"]):
            raise InputError(f"tuning.objective={options['objective']}: use {OBJECTIVE}")
        return {
            "model": {"name": "network", "framework": "mxnet"},
            "quantization": {
                "approach": "post_training_static_quant",
                "calibration": {"sampling_size": int(options["sampling_size"])},
                "model_wise": {
                    "weight": {"dtype": ["int8", "fp32"]},
                    "activation": {"dtype": ["int8", "fp32"], "algorithm": ["minmax", "kl"]},
                },
            },
            "tuning": {
                "strategy": {"name": name},
                "objective": options["objective"],
                "accuracy_criterion": {options["criterion"]: float(options["tolerance"])},
                "exit_policy": {
                    "timeout": math.ceil(options["timeout_s"]),  # 0: stop at the first good model
                    "max_trials": int(options["max_trials"]),
                },
                "random_seed": int(options["seed"]),
                "workspace": {"path": str(workspace)},
            },
        }

    def _explain(self, journal: Journal, expired: bool) -> NoReturn:
        """Raise why the search ended without a model."""
        trials, limit = len(journal.trials), int(self.options["max_trials"])
        best = max((trial["accuracy"] for trial in journal.trials), default=float("nan"))
        reached = f"best {best:.4f} against fp32's {journal.baseline:.4f} on the tuning batches"
        if expired:
            raise TuningTimeout(
                f"{self.options['timeout_s']} s ended after {trials} trials ({reached})"
            )
        if not journal.stopped:
            reached = "the strategy has nothing more to try"
        elif trials < limit:
            reached += f"; the strategy stopped by its own count before max_trials={limit} models"
        raise NoSolution(reached, trials)


def _configured(quantised: Mapping[str, Any] | None, tuning: Any) -> dict[str, Any]:
    """Return how INC's adaptor made a model; nothing of one that a strategy made without it."""
    if not quantised:
        return {}
    chosen = quantised["quant_cfg"]
    return {
        "quantize_mode": chosen["quantize_mode"],
        "quantize_granularity": chosen["quantize_granularity"],
        "excluded_operators": chosen["excluded_symbols"],
        "kl_operators": sorted(quantised["calib_cfg"]["calib_kl_nodes"]),
        # INC's loop over the loader ends with whichever has fewer batches
        "calibration_images": min(
            quantised["calib_cfg"]["batches"] * tuning.batch_size, len(tuning.labels)
        ),
    }


def recover(net: Any, configuration: Mapping[str, Any], data: Any) -> Any:
    """Return the quantised network of a tuning trial.

    Args:
        net: the clean fp32 network.
        configuration: ``q_config`` of the trial's entry in the tuning history.
        data: the first tuning batch.

    Raises:
        InputError: it was made for another network or other batches.
    """
    described = configuration["input"]
    shape, dtype = tuple(described["shape"]), np.dtype(described["dtype"])
    if (shape, dtype) != (data.shape, data.dtype):
        raise InputError(
            f"the tuning history is of batches {shape} of {dtype}, and this workload has "
            f"{data.shape} of {data.dtype}: restore it, or measure the row again"
        )
    net = with_own_numbers(net, (1, *shape[1:]))
    net.hybridize()
    inputs = [mx.io.DataDesc(described["name"], shape, dtype, described["layout"])]
    adaptor = FRAMEWORKS["mxnet"](configuration["framework_specific_info"])
    _hold_to_network(configuration, prepare_model(Model(net), adaptor.ctx, inputs))
    try:
        made = adaptor.recover_tuned_model(
            Model(net), {**configuration, "input_desc": inputs}
        ).model
        made(data).wait_to_read()  # what does not go together is found out only now
    except (AssertionError, ValueError, mx.base.MXNetError) as error:
        said = one_line(error) or "it lacks the range of a tensor"  # INC's assertion says nothing
        raise InputError(
            f"INC makes no model of what the tuning history says ({said}): restore it, or measure the "
            "row again"
        ) from None
    return made


def _hold_to_network(configuration: Mapping[str, Any], model: Any) -> None:
    symbol, *weights = model
    internals = symbol.get_internals()
    known = {
        "operator": {*(each.name for each in internals), *internals.list_outputs()},
        "input": set(symbol.list_inputs()).difference(*weights),
    }
    calibration = configuration["calib_cfg"]
    asked = {
        "operator": {
            *configuration["quant_cfg"]["excluded_symbols"],
            *calibration["calib_kl_nodes"],
            *calibration["calib_minmax_nodes"],
        },
        "input": {configuration["input"]["name"]},
    }
    for kind, names in asked.items():
        strange = sorted(names - known[kind])
        if strange:
            raise InputError(
                f"the tuning history names the {kind} {strange[0][:80]!r}, which this network does not "
                "have: restore it, or measure the row again"
            )


class _Search(Quantization):  # type: ignore[misc]
    """INC's quantisation, used step by step; never called, since calling swallows exceptions."""


@contextmanager
def _exported_once(model: Any) -> Iterator[None]:
    """Have INC's adaptor make ``model``'s symbol and weights once, not for every configuration.

    INC runs two batches through the fp32 network and writes and reads it for each trial, always with
    the same result: half of a trial's time for the bundled network, and more of it the larger it is.
    """
    prepare = inc_adaptor.prepare_model_data
    kept: list[Any] = []

    def prepare_once(asked: Any, device: Any, data: Any) -> tuple[Any, Any]:
        if asked is not model:
            return tuple(prepare(asked, device, data))
        if not kept:
            (symbol, arguments, states), loader = prepare(asked, device, data)
            kept.extend((symbol, arguments, states, loader.input_desc))
        symbol, arguments, states, inputs = kept
        loader = data if isinstance(data, DataLoaderWrap) else DataLoaderWrap(data, inputs)
        # INC puts the states among the arguments; the arrays themselves it only copies
        return (symbol, dict(arguments), dict(states)), loader

    inc_adaptor.prepare_model_data = prepare_once
    try:
        yield
    finally:
        inc_adaptor.prepare_model_data = prepare


class _SharedCalibration:
    """Carries INC's calibration cache from one row's process to the next when sharing is on."""

    def __init__(self, folder: Path | None, cache: dict[str, Any]) -> None:
        self._path = folder / SHARED_CACHE if folder else None
        self._cache = cache

    def load(self) -> None:
        if self._path and self._path.is_file():
            stored = self._stored(self._path)
            for kind in ("kl", "minmax"):
                stored[kind] = {
                    name: tuple(np.float32(value) for value in found)
                    for name, found in stored[kind].items()
                }
            self._cache.update(stored)

    @staticmethod
    def _stored(path: Path) -> dict[str, Any]:
        try:
            stored = read_json(path)
            wrong = form.wrong(stored, SHARED)
        except (OSError, ValueError) as error:
            wrong = str(error)
        if wrong is not None:
            raise InputError(
                f"the shared calibration {path} cannot be read ({wrong}): delete it, and it is made "
                "again"
            )
        return {key: stored[key] for key in SHARED}

    def save(self) -> None:
        if self._path and "batches" in self._cache:
            found = {
                "kl": self._cache["kl"],
                "minmax": {**self._cache["minmax"], **self._cache.get(MEASURED, {})},
            }
            plain = {kind: _with_ends(each) for kind, each in found.items()}
            part = self._path.with_suffix(".part")
            part.write_text(json.dumps({"batches": self._cache["batches"], **plain}))
            part.replace(self._path)


def _with_ends(ranges: Mapping[str, Any]) -> dict[str, list[float]]:
    """Return ranges as JSON has them, without those that are infinite or no numbers."""
    plain = {name: [float(value) for value in found] for name, found in ranges.items()}
    return {name: found for name, found in plain.items() if limits(found)}


class _Expired(BaseException):
    """Passes through INC's and MXNet's ``except Exception``."""


@dataclass
class _Limit:
    expired: bool = False
    over: bool = False


@contextmanager
def _time_limit(seconds: float) -> Iterator[_Limit]:
    """Interrupt the block after ``seconds`` (0: never); INC keeps the best model found by then."""
    limit = _Limit()

    def expire(number: int, frame: FrameType | None) -> None:
        if not limit.over:
            limit.expired = True
            raise _Expired

    before = signal.signal(signal.SIGALRM, expire)
    # again every second: an exception in a callback that MXNet calls during calibration is lost
    signal.setitimer(signal.ITIMER_REAL, seconds, 1.0)
    try:
        yield limit
        limit.over = True
    except _Expired:
        pass
    finally:
        limit.over = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
