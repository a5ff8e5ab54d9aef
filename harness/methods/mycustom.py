"""``mycustom``: the INC strategy that the published tutorial sketches, in this project's own form.

Most operators survive quantisation; few ruin the result for all that follow. So: quantise
everything, compare every operator's output with fp32, and walk from front to back giving fp32 back
to those whose error is large *and* whose exclusion calms the operators behind them. What remains
is a choice of calibration algorithm per operator, searched by Bayesian optimisation.
"""

from __future__ import annotations

import contextlib
import copy
import csv
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from neural_compressor.strategy.bayesian import BayesianOptimization
from neural_compressor.strategy.strategy import TuneStrategy

from harness.methods.inc_formats import Operator, TuneConfig
from harness.methods.inspection import visit_outputs
from harness.methods.operator_choices import by_minmax, can_be_fp32, in_fp32
from harness.methods.operator_facts import OperatorFacts
from harness.render.escape import csv_cell
from harness.storage.stage_facts import OperatorPlace

Errors = dict[str, float]
Outputs = Mapping[str, npt.NDArray[Any]]  # an operator's, by name
PLACE = OperatorPlace.__struct_fields__  # columns that say what the operator of a line is


def relative_error(expected: npt.NDArray[Any], observed: npt.NDArray[Any]) -> float:
    """Return mean(abs(observed - expected)) / mean(abs(expected)) of two tensors of one shape.

    An operator whose fp32 output is all zero has error 0 if it stays zero and infinity otherwise.
    """
    difference = float(np.abs(observed - expected).mean())
    scale = float(np.abs(expected).mean())
    if scale == 0:
        return 0.0 if difference == 0 else float("inf")
    return difference / scale


def summed_reduction(before: Errors, after: Errors) -> float:
    """Return how much the error of all operators in ``after`` fell, summed over them."""
    return sum(before[name] - error for name, error in after.items())


class MyCustomTuneStrategy(TuneStrategy):  # type: ignore[misc]
    """Exclude the operators whose quantisation hurts those behind them, then tune calibration.

    ``options`` (set from configuration): ``error_threshold``, ``reduction_per_operator``,
    ``save_influence``.
    """

    options: Mapping[str, float] = {
        "error_threshold": 0.06,
        "reduction_per_operator": 0.007,
        "save_influence": False,
    }

    def next_tune_cfg(self) -> Iterator[TuneConfig]:
        """Yield all operators by min-max, then without the harmful ones, then calibration choices."""
        config: TuneConfig = {
            "calib_iteration": int(self.calib_iter[0]),
            "calib_sampling_size": int(self.calib_sampling_size[0]),
            "op": OrderedDict((op, by_minmax(self, op)) for op in self.opwise_tune_cfgs),
        }
        yield config
        excluded = self._exclude_harmful(config)
        if excluded:
            yield config
        yield from self._calibrations(config, excluded)

    def _exclude_harmful(self, config: TuneConfig) -> set[Operator]:
        """Set harmful operators of ``config`` to fp32, front to back; return them."""
        names = [name for name, _ in config["op"]]
        expected = self.adaptor.inspect_tensor(self.model, self.calib_dataloader, names, [1])
        expected = expected["activation"][0]
        errors = self._errors(expected, config)
        influence: list[tuple[str, str, float, float, bool]] = []
        excluded: set[Operator] = set()
        for operator in config["op"]:
            name = operator[0]
            is_small = errors.get(name, 0.0) <= self.options["error_threshold"]
            if is_small or not can_be_fp32(self, operator):
                continue
            quantised = config["op"][operator]
            config["op"][operator] = in_fp32(self, operator)
            after = self._errors(expected, config)
            needed = self.options["reduction_per_operator"] * len(after)
            kept = summed_reduction(errors, after) >= needed
            influence += [(name, other, errors[other], after[other], kept) for other in after]
            if kept:
                errors.update(after)
                excluded.add(operator)
            else:
                config["op"][operator] = quantised
        if self.options["save_influence"]:
            self._save_influence(influence)
        return excluded

    def _errors(self, expected: Mapping[str, Outputs], config: TuneConfig) -> Errors:
        """Return every operator's error on the first calibration batch, quantised as ``config`` says."""
        quantised = self.adaptor.quantize(
            copy.deepcopy(config), self.model, self.calib_dataloader, self.q_func
        )
        errors: Errors = {}

        def compare(name: str, observed: npt.NDArray[Any]) -> None:
            errors[name] = relative_error(expected[name][name], observed)

        visit_outputs(self.adaptor, quantised, self.calib_dataloader, list(expected), compare)
        return errors

    def _save_influence(self, rows: list[tuple[str, str, float, float, bool]]) -> None:
        path = Path(self.cfg.tuning.workspace.path) / "operator_influence.csv"
        described = OperatorFacts.seen_by(self).of({operator for _, operator, *_ in rows})
        with path.open("w", newline="") as handle:
            writer = csv.writer(handle)
            writer.writerow(["excluded", "operator", "error_before", "error_after", "kept", *PLACE])
            for row in rows:
                place = described.get(row[1], {})
                cells = [*row, *(_cell(place.get(key, "")) for key in PLACE)]
                writer.writerow([csv_cell(cell) for cell in cells])

    def _calibrations(self, config: TuneConfig, excluded: set[Operator]) -> Iterator[TuneConfig]:
        """Yield choices of min-max or KL for the operators that stay quantised, without end."""
        choices = {
            operator: configurations
            for operator, configurations in self.opwise_quant_cfgs.items()
            if operator not in excluded and len(configurations) > 1
        }
        if not choices:
            return
        bounds = {operator[0]: (0, len(listed)) for operator, listed in choices.items()}
        search = BayesianOptimization(pbounds=bounds, random_seed=self.cfg.tuning.random_seed)
        start = {
            operator[0]: listed.index(config["op"][operator])
            for operator, listed in choices.items()
        }
        self._register(search, start)
        while True:
            point = search.gen_next_params()
            proposal = copy.deepcopy(config)
            for operator, listed in choices.items():
                number = min(int(point[operator[0]]), len(listed) - 1)
                proposal["op"][operator] = copy.deepcopy(listed[number])
            yield proposal
            self._register(search, point)

    def _register(self, search: BayesianOptimization, point: Mapping[str, float]) -> None:
        with contextlib.suppress(KeyError):  # this point was evaluated before
            search.space.register(search.space.params_to_array(point), self.last_tune_result[0])


def _cell(fact: str | list[str]) -> str:
    return fact if isinstance(fact, str) else "; ".join(fact)
