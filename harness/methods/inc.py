"""The rows that Intel Neural Compressor (INC) tunes: a strategy's search for an accurate int8 model.

INC's ``fit()`` catches every exception, logs it and returns None, so an error, a timeout and an
exhausted search look alike. ``_Search`` runs the same traversal without the catch-all.
"""

from __future__ import annotations

import importlib
import json
import math
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from harness.compat import import_inc
from harness.config_form import OBJECTIVE
from harness.errors import InputError, NoSolution, TuningTimeout
from harness.methods.base import Context, Optimized

import_inc()

import neural_compressor.adaptor.mxnet as inc_adaptor  # noqa: E402
from neural_compressor.adaptor import FRAMEWORKS  # noqa: E402
from neural_compressor.adaptor.mxnet_utils.util import DataLoaderWrap  # noqa: E402
from neural_compressor.experimental import Quantization  # noqa: E402
from neural_compressor.experimental.common import Model  # noqa: E402
from neural_compressor.strategy import STRATEGIES  # noqa: E402
from neural_compressor.strategy.strategy import strategy_registry  # noqa: E402

from harness.methods.graph import with_own_numbers  # noqa: E402
from harness.methods.inspection import inspect_on_disk  # noqa: E402
from harness.methods.long_search import (  # noqa: E402
    dynamic_shapes_asked_once,
    share_operator_configurations,
)
from harness.methods.snapshot import read_history  # noqa: E402

TRIALS = "trials.npz"
CANNOT_RUN = {  # of INC's own, by their names for it, with the reason
    "automixedprecision": "it mixes bf16 and fp32 by a configuration without quantisation",
    "sigopt": "it needs an account with SigOpt, and workers have no network",
}
SHARED_CACHE = "calibration.json"
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
        """Search; the trajectory and the snapshot are kept in the workspace.

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
        journal = _Journal(context)
        search = _Search(str(config))
        search.model = context.net
        search.calib_dataloader = context.tuning
        search.eval_func = journal.evaluate
        cache = _SharedCalibration(context.shared, search.model.calib_cache)
        cache.load()
        try:
            with _exported_once(search.model), dynamic_shapes_asked_once():
                search.pre_process()
                inspect_on_disk(search.strategy.adaptor, context.workspace)
                journal.watch(search.strategy)
                share_operator_configurations(search.strategy)
                with _time_limit(float(self.options["timeout_s"])) as limit:
                    search.strategy.traverse()
        finally:
            journal.save()
            cache.save()
        best = search.strategy.best_qmodel
        if best is None:
            self._explain(journal, limit.expired)
        chosen = best.q_config["quant_cfg"]
        configured = {
            "strategy": self.strategy,
            "quantize_mode": chosen["quantize_mode"],
            "quantize_granularity": chosen["quantize_granularity"],
            "excluded_operators": chosen["excluded_symbols"],
            "kl_operators": sorted(best.q_config["calib_cfg"]["calib_kl_nodes"]),
            "baseline_accuracy": journal.baseline,
            "tuned_accuracy": float(search.strategy.best_tune_result[0]),
            "trials": journal.proposed,
            "evaluations": len(journal.trials),
        }
        return Optimized(best.model, configured, journal.trials)

    def _register(self) -> str:
        """Return the name INC knows the strategy by, importing and registering one given by path."""
        known = ", ".join(sorted(set(STRATEGIES) - set(CANNOT_RUN)))
        if "." not in self.strategy:
            if self.strategy not in STRATEGIES:
                raise InputError(
                    f"INC has no strategy {self.strategy!r}: use one of {known}, or a path"
                )
            return _runnable(self.strategy, self.strategy, known)
        module, _, cls_name = self.strategy.rpartition(".")
        try:
            cls = getattr(importlib.import_module(module), cls_name)
        except (ImportError, AttributeError) as error:
            raise InputError(f"strategy {self.strategy} cannot be imported: {error}") from None
        if not cls_name.endswith("TuneStrategy"):
            raise InputError(
                f"strategy {self.strategy}: INC wants class names ending in TuneStrategy"
            )
        name = cls_name[: -len("TuneStrategy")].lower()
        if STRATEGIES.get(name) is cls:
            _runnable(name, self.strategy, known)
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
            raise InputError(f"tuning.objective={options['objective']}: use one of {OBJECTIVE}")
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

    def _explain(self, journal: _Journal, expired: bool) -> None:
        best = max((trial["accuracy"] for trial in journal.trials), default=float("nan"))
        reached = f"best {best:.4f} against fp32's {journal.baseline:.4f} on the tuning batches"
        if expired:
            raise TuningTimeout(
                f"{self.options['timeout_s']} s ended after {journal.proposed} trials ({reached})"
            )
        exhausted = journal.proposed < int(self.options["max_trials"])
        why = "the strategy has nothing more to try" if exhausted else reached
        raise NoSolution(why, journal.proposed)


def _runnable(name: str, asked: str, known: str) -> str:
    """Return the name of one of INC's strategies, unless it cannot run here."""
    if name in CANNOT_RUN:
        raise InputError(
            f"strategy {asked} cannot run here: {CANNOT_RUN[name]}; use one of {known}"
        )
    return name


def recover(net: Any, snapshot: Path, trial: int) -> Any:
    """Return the quantised network of tuning trial ``trial`` (from 1) of a snapshot.

    Raises:
        InputError: there is no such trial, or the snapshot is damaged or names what none does.
    """
    history = read_history(snapshot)
    if not 1 <= trial <= len(history):
        raise InputError(f"trial={trial}: {snapshot} holds trials 1 .. {len(history)}")
    quantised = history[trial - 1]["q_config"]
    (data,) = quantised["input_desc"]
    net = with_own_numbers(net, (1, *data.shape[1:]))
    net.hybridize()
    # as INC's own recover does, which would unpickle the file without any restriction
    adaptor = FRAMEWORKS["mxnet"](quantised["framework_specific_info"])
    return adaptor.recover_tuned_model(Model(net), quantised).model


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


class _Journal:
    """Evaluates models for INC and keeps what each trial was and gave."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._began = time.perf_counter()
        self._operators: dict[str, str] = {}  # of the proposal that is evaluated next
        self._before: dict[str, str] = {}  # of the trial before; INC skips what it knows
        self._predictions: list[npt.NDArray[np.uint16]] = []
        self.baseline: float = float("nan")
        self.trials: list[dict[str, Any]] = []
        self.proposed = 0

    def watch(self, strategy: Any) -> None:
        """Note every configuration that the strategy proposes from now on."""
        proposals = strategy.next_tune_cfg

        def noted() -> Iterator[Any]:
            for proposal in proposals():
                self._note(proposal["op"])
                yield proposal

        strategy.next_tune_cfg = noted

    def _note(self, operators: Mapping[Any, Any]) -> None:
        self._operators = {
            key[0]: _described(configuration) for key, configuration in operators.items()
        }
        self.proposed += 1
        self._context.progress(self.proposed, 0, "trials")  # where it ends is not known

    def evaluate(self, model: Any) -> float:
        """Return top-1 on the tuning batches; INC calls it once for fp32, then once per trial."""
        began = time.perf_counter()
        chosen = [model(data).argmax(axis=1).asnumpy() for data, _ in self._context.tuning]
        predictions = np.concatenate(chosen).astype(np.uint16)
        accuracy = float((predictions == self._context.tuning.labels).mean())
        self._predictions.append(predictions)
        now = time.perf_counter()
        if self.proposed == 0:
            self.baseline = accuracy
        else:
            self.trials.append(
                {
                    "trial": len(self.trials) + 1,
                    "proposal": self.proposed,
                    "accuracy": accuracy,
                    "seconds": now - self._began,
                    "evaluation_seconds": now - began,
                    "changed": self._changed(),
                }
            )
            self._before = self._operators
        self._began = now
        return accuracy

    def _changed(self) -> dict[str, str]:
        if not self.trials:
            return {"all": _summary(self._operators)}
        return {name: to for name, to in self._operators.items() if self._before.get(name) != to}

    def save(self) -> None:
        """Write the top-1 predictions: row 0 is fp32, row K trial K; (trials + 1, images) uint16."""
        if self._predictions:
            stacked = np.stack(self._predictions)
            np.savez_compressed(self._context.workspace / TRIALS, top1=stacked)
        trajectory = self._context.workspace / "trajectory.json"
        trajectory.write_text(json.dumps(self.trials, indent=1) + "\n")


def _described(configuration: Mapping[str, Any]) -> str:
    activation = configuration["activation"]
    if activation["dtype"] != "int8":
        return str(activation["dtype"])
    halvings = activation.get("halvings")  # of ``sensitivity``
    return f"int8 {activation['algorithm']}" + (f" / {2**halvings}" if halvings else "")


def _summary(operators: Mapping[str, str]) -> str:
    kinds = sorted(set(operators.values()))
    return ", ".join(f"{list(operators.values()).count(kind)} x {kind}" for kind in kinds)


class _SharedCalibration:
    """Carries INC's calibration cache from one row's process to the next when sharing is on."""

    def __init__(self, folder: Path | None, cache: dict[str, Any]) -> None:
        self._path = folder / SHARED_CACHE if folder else None
        self._cache = cache

    def load(self) -> None:
        if self._path and self._path.is_file():
            stored = json.loads(self._path.read_text())
            for kind in ("kl", "minmax"):
                stored[kind] = {
                    name: tuple(np.float32(value) for value in limits)
                    for name, limits in stored[kind].items()
                }
            self._cache.update(stored)

    def save(self) -> None:
        if self._path and "batches" in self._cache:
            found = {
                "kl": self._cache["kl"],
                "minmax": {**self._cache["minmax"], **self._cache.get(MEASURED, {})},
            }
            plain = {
                kind: {name: [float(value) for value in limits] for name, limits in each.items()}
                for kind, each in found.items()
            }
            part = self._path.with_suffix(".part")
            part.write_text(json.dumps({"batches": self._cache["batches"], **plain}))
            part.replace(self._path)


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
