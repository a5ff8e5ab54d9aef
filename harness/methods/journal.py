"""What an INC search evaluates: each model once, with its own configuration, accuracy and time.

A strategy may propose configurations and leave the rest to INC, or run a traversal of its own. What
all of them do is to have the adaptor quantise a network and to have a network evaluated, so that is
where the journal looks on.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypedDict
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from neural_compressor.adaptor import FRAMEWORKS

from harness.files.whole_files import json_sha256
from harness.methods.base import Context
from harness.methods.inc_formats import OperatorConfig, TuneConfig
from harness.methods.resumption import Evaluated, Resumption
from harness.storage import tuning_history
from harness.storage.store import HISTORY, TRAJECTORY, TRIALS
from harness.storage.tuning_history import IncQuantised

NOT_BY_INC = "a model that the strategy made without INC's adaptor"

Operators = dict[str, str]


class JournalTrial(TypedDict):
    """A trial; ``changed`` says for each operator what it became."""

    trial: int
    accuracy: float
    seconds: float
    evaluation_seconds: float
    changed: Operators


class Enough(BaseException):
    """A strategy wants to evaluate more than max_trials models; passes through ``except Exception``."""


class Journal:
    """Evaluates models for INC and keeps what each was and gave.

    A trial is a network that was evaluated. Evaluating the same one again is not another trial, nor
    is evaluating the fp32 network.

    Attributes:
        trials: the trajectory.
        stopped: the search was ended by max_trials or by the strategy's own ``stop``.
        best: INC's model of the most accurate trial that its strategy evaluated, if it is to be kept.
    """

    def __init__(
        self,
        context: Context,
        max_trials: int,
        keep_best: bool = False,
        resumption: Resumption | None = None,
    ) -> None:
        self._context, self._max_trials, self._keep_best = context, max_trials, keep_best
        self._resumption = resumption
        self._resumed: WeakKeyDictionary[Any, Evaluated] = WeakKeyDictionary()  # by network
        self._began = time.perf_counter()
        self._configured: WeakKeyDictionary[Any, Operators] = WeakKeyDictionary()  # by network
        self._quantised: WeakKeyDictionary[Any, IncQuantised] = WeakKeyDictionary()
        self._tried: WeakKeyDictionary[Any, JournalTrial] = WeakKeyDictionary()
        self._before: Operators = {}  # of the trial before
        self._fp32: npt.NDArray[np.uint16] | None = None
        self._predictions: list[npt.NDArray[np.uint16]] = []
        self.trials: list[JournalTrial] = []
        self.stopped = False
        self.best: Any = None
        self._best_accuracy = -1.0
        self._history = context.workspace / HISTORY
        tuning_history.begin(self._history)

    @property
    def baseline(self) -> float:
        """Top-1 of the fp32 network on the tuning batches; NaN before it was evaluated."""
        return float("nan") if self._fp32 is None else self._accuracy(self._fp32)

    @contextmanager
    def quantising(self) -> Iterator[None]:
        """Note how every network is configured that INC's adaptor quantises."""
        adaptor = FRAMEWORKS["mxnet"]
        quantize = adaptor.quantize

        def noted(self_: Any, tune_cfg: TuneConfig, *arguments: Any, **named: Any) -> Any:
            self._context.progress(len(self.trials) + 1, 0, "trials")  # the end is not known
            operators = {key[0]: _described(chosen) for key, chosen in tune_cfg["op"].items()}
            quantised = quantize(self_, tune_cfg, *arguments, **named)
            self._configured[quantised.model] = operators
            self._quantised[quantised.model] = quantised.q_config
            return quantised

        adaptor.quantize = noted
        try:
            yield
        finally:
            adaptor.quantize = quantize

    def watch(self, strategy: Any) -> None:
        """Look on where a strategy evaluates and where it decides, whatever it overrides."""
        evaluate, stop = strategy._evaluate, strategy.stop

        def evaluated(model: Any, *arguments: Any, **named: Any) -> Any:
            self._hold_to_limit(model.model)
            is_new = model.model is not self._context.net and model.model not in self._tried
            value = evaluate(model, *arguments, **named)
            if is_new:
                value = strategy.objectives.val = self._resumable(model.model, value)
            # measured here if the strategy has a measure of its own
            accuracy = self.network_accuracy(model.model)
            is_trial = self._keep_best and model.model in self._tried
            if is_trial and accuracy > self._best_accuracy:
                self.best, self._best_accuracy = model, accuracy
            return value

        def decided(*arguments: Any, **named: Any) -> Any:
            # a time limit that ended between taking the old best and setting the new would lose both
            with _without_alarm():
                ends = stop(*arguments, **named)
            self.stopped = self.stopped or bool(ends)
            return ends

        strategy._evaluate, strategy.stop = evaluated, decided

    def evaluate(self, network: Any) -> float:
        """Return top-1 on the tuning batches; INC calls it for fp32 and for each trial.

        Raises:
            Enough: there were max_trials others.
        """
        self._hold_to_limit(network)
        return self._measure(network)

    def network_accuracy(self, network: Any) -> float:
        """Return the top-1 that was measured for a network; measure it if nobody has."""
        if network is self._context.net and self._fp32 is not None:
            return self.baseline
        if network in self._tried:
            return self._tried[network]["accuracy"]
        return self._measure(network)

    def _resumable(self, network: Any, value: Any) -> Any:
        """Return what INC measured of a new trial, or had measured before it was stopped; write it."""
        trial, earlier = self._tried.get(network), self._resumed.get(network)
        if earlier is not None:
            return value[0], list(earlier.objectives)
        if self._resumption is not None and trial is not None:
            evaluated = Evaluated(
                self._identity(network),
                trial["accuracy"],
                value[1],
                trial["seconds"],
                trial["evaluation_seconds"],
                self._predictions[trial["trial"] - 1],
            )
            self._resumption.add(evaluated)
        return value

    def _identity(self, network: Any) -> str:
        """Return a digest of how INC's adaptor made a network."""
        quantised = self._quantised.get(network)
        batches = quantised["calib_cfg"]["batches"] if quantised else None
        return json_sha256([sorted(self._configured.get(network, {}).items()), batches])

    def adopt(self, model: Any, number: int) -> None:
        """Take a model for that of a trial, from 0, whose configuration it was made of again."""
        self._tried[model.model] = self.trials[number]
        self._quantised[model.model] = model.q_config

    def _hold_to_limit(self, network: Any) -> None:
        known = network is self._context.net or network in self._tried
        if not known and len(self.trials) >= self._max_trials:
            self.stopped = True
            raise Enough

    def _take_resumed(self, network: Any) -> float | None:
        """Return the accuracy that the stopped search measured of a new network, if it did."""
        is_new = network is not self._context.net and network not in self._tried
        if self._resumption is None or not is_new or network not in self._configured:
            return None
        earlier = self._resumption.take(self._identity(network))
        if earlier is None:
            return None
        with _without_alarm():
            self._add(network, earlier.accuracy, earlier.predictions)
            trial = self._tried[network]
            trial["seconds"], trial["evaluation_seconds"] = (
                earlier.seconds,
                earlier.evaluation_seconds,
            )
            self._resumed[network] = earlier
            self._began = time.perf_counter()
        return earlier.accuracy

    def _measure(self, network: Any) -> float:
        resumed = self._take_resumed(network)
        if resumed is not None:
            return resumed
        began = time.perf_counter()
        chosen = [network(data).argmax(axis=1).asnumpy() for data, _ in self._context.tuning]
        predictions = np.concatenate(chosen).astype(np.uint16)
        accuracy = self._accuracy(predictions)
        now = time.perf_counter()
        if network is self._context.net:
            if self._fp32 is None:
                self._fp32 = predictions
                self._began = now
            return accuracy
        with _without_alarm():  # a trial is in all that is kept of it, or in nothing
            if network not in self._tried:
                self._add(network, accuracy, predictions)
            trial = self._tried[network]
            trial["seconds"] += now - self._began
            trial["evaluation_seconds"] += now - began
            self._began = now
        return accuracy

    def _add(self, network: Any, accuracy: float, predictions: npt.NDArray[np.uint16]) -> None:
        number = len(self.trials) + 1
        trial: JournalTrial = {
            "trial": number,
            "accuracy": accuracy,
            "seconds": 0.0,
            "evaluation_seconds": 0.0,
            "changed": self._changed(self._configured.get(network, {})),
        }
        quantised = self._quantised.get(network)
        tuning_history.append(self._history, tuning_history.described(number, quantised))
        self._tried[network] = trial
        self.trials.append(trial)
        self._predictions.append(predictions)

    def _accuracy(self, predictions: npt.NDArray[np.uint16]) -> float:
        return float((predictions == self._context.tuning.labels).mean())

    def _changed(self, operators: Operators) -> Operators:
        before, self._before = self._before, operators
        if not operators:
            return {"all": NOT_BY_INC}
        if not self.trials:
            return {"all": _summary(operators)}
        return {name: to for name, to in operators.items() if before.get(name) != to}

    def save(self) -> None:
        """Write the top-1 predictions: row 0 is fp32, row K trial K; (trials + 1, images) uint16."""
        if self._fp32 is not None:
            stacked = np.stack([self._fp32, *self._predictions])
            np.savez_compressed(self._context.workspace / TRIALS, top1=stacked)
        trajectory = self._context.workspace / TRAJECTORY
        trajectory.write_text(json.dumps(self.trials, indent=1) + "\n")


@contextmanager
def _without_alarm() -> Iterator[None]:
    """Let a time limit that ends meanwhile be heard afterwards."""
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def _described(configuration: OperatorConfig) -> str:
    activation = configuration["activation"]
    if activation["dtype"] != "int8":
        return activation["dtype"]
    halvings = activation.get("halvings")  # of ``sensitivity``
    return f"int8 {activation['algorithm']}" + (f" / {2**halvings}" if halvings else "")


def _summary(operators: Mapping[str, str]) -> str:
    kinds = sorted(set(operators.values()))
    return ", ".join(f"{list(operators.values()).count(kind)} x {kind}" for kind in kinds)
