"""INC strategies that do by themselves what INC's base class does otherwise, or go wrong."""

from __future__ import annotations

import copy
import sys
import time
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from neural_compressor.contrib.strategy.sigopt import SigOptTuneStrategy
from neural_compressor.strategy.strategy import TuneStrategy


class Proposing(TuneStrategy):
    """Proposes all int8, then each time one operator less."""

    def proposal(self, excluded: int) -> dict[str, Any]:
        chosen = OrderedDict(
            (operator, copy.deepcopy(found[0]))
            for operator, found in self.opwise_quant_cfgs.items()
        )
        can_be_fp32 = {
            operator: choice
            for operator, choices in self.opwise_tune_cfgs.items()
            for choice in choices
            if choice["activation"]["dtype"] == "fp32"
        }
        for operator in list(can_be_fp32)[:excluded]:
            chosen[operator] = copy.deepcopy(can_be_fp32[operator])
        return {
            "calib_iteration": int(self.calib_iter[0]),
            "calib_sampling_size": int(self.calib_sampling_size[0]),
            "op": chosen,
        }

    def next_tune_cfg(self) -> Iterator[dict[str, Any]]:
        for excluded in range(9):
            yield self.proposal(excluded)

    def quantised(self, excluded: int) -> Any:
        return self.adaptor.quantize(self.proposal(excluded), self.model, self.calib_dataloader)


class TraversingTuneStrategy(Proposing):
    """Has a traversal of its own, without an end, that asks nothing of INC but to quantise."""

    def traverse(self) -> None:
        self.baseline = self._evaluate(self.model)
        number = 0
        while True:
            self.last_qmodel = self.quantised(number % 9)
            self.last_tune_result = self._evaluate(self.last_qmodel)
            if self.objectives.compare(self.best_tune_result, self.baseline):
                self.best_qmodel, self.best_tune_result = self.last_qmodel, self.last_tune_result
            number += 1


class WithoutBaselineTuneStrategy(Proposing):
    """Never evaluates fp32, and takes the one model that it makes, which nobody has evaluated."""

    def traverse(self) -> None:
        self.best_qmodel = self.quantised(2)


class EvaluatingTuneStrategy(Proposing):
    """Evaluates by a measure of its own that no network is asked for."""

    def _evaluate(self, model: Any) -> Any:
        self.objectives.val = 0.875, [1.0]
        return self.objectives.val


class StoppingTuneStrategy(Proposing):
    """Never wants to stop."""

    def stop(self, timeout: float, trials_count: int) -> bool:
        super().stop(timeout, trials_count)
        return False


class HastyTuneStrategy(Proposing):
    """Stops after its second trial."""

    def stop(self, timeout: float, trials_count: int) -> bool:
        super().stop(timeout, trials_count)
        return trials_count == 2


class TwiceTuneStrategy(Proposing):
    """Evaluates every model twice, and fp32 in between."""

    def _evaluate(self, model: Any) -> Any:
        super()._evaluate(model)
        super()._evaluate(self.model)
        return super()._evaluate(model)


class RepeatingTuneStrategy(Proposing):
    """Proposes the same again and again."""

    def next_tune_cfg(self) -> Iterator[dict[str, Any]]:
        while True:
            yield self.proposal(0)


class RaisingTuneStrategy(Proposing):
    """Raises after its second trial."""

    def next_tune_cfg(self) -> Iterator[dict[str, Any]]:
        yield self.proposal(0)
        yield self.proposal(1)
        raise LookupError("the strategy lost its way")


class ExitingTuneStrategy(Proposing):
    """Ends the process after a trial, as INC's own do where something is missing."""

    def next_tune_cfg(self) -> Iterator[dict[str, Any]]:
        yield self.proposal(0)
        sys.exit(0)


class BoastingTuneStrategy(Proposing):
    """Says itself how good its models are."""

    def next_tune_cfg(self) -> Iterator[dict[str, Any]]:
        for proposal in super().next_tune_cfg():
            yield proposal
            self.last_tune_result = self.best_tune_result = (0.99, [0.001])


class GivingUpTuneStrategy(Proposing):
    """Returns before it has tried anything."""

    def traverse(self) -> None:
        self.baseline = self._evaluate(self.model)


class Fp32TuneStrategy(Proposing):
    """Takes fp32 for its best model."""

    def traverse(self) -> None:
        self.baseline = self._evaluate(self.model)
        self._evaluate(self.quantised(0))
        self.best_qmodel, self.best_tune_result = self.model, self.baseline


class SleepingTuneStrategy(Proposing):
    """Has a traversal of its own that never ends and evaluates one model."""

    def traverse(self) -> None:
        self.baseline = self._evaluate(self.model)
        self._evaluate(self.quantised(0))
        while True:
            time.sleep(0.1)


class MySigOptTuneStrategy(SigOptTuneStrategy):
    """Needs what sigopt needs."""


class EmptyTuneStrategy(TuneStrategy):
    """Proposes nothing."""


class NoSuchBaseTuneStrategy:
    """Is called like a strategy and is none."""
