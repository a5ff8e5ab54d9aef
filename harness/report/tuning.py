"""What a search tried: the accuracy of each trial and the least that it had to reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from harness.storage.plan import RunPlan
from harness.storage.record import MethodRecord
from harness.storage.stage_facts import Trial as Recorded

LONGEST = 100  # characters of what a trial changed


@dataclass(frozen=True)
class Trial:
    """One evaluated model; ``changed`` says what differs from the trial before."""

    number: int
    accuracy: float
    best: float
    seconds: float
    changed: str


@dataclass(frozen=True)
class Trajectory:
    """A row's search, accuracies on the tuning batches.

    Attributes:
        baseline: fp32's accuracy, None where no row of the run kept it.
        target: the least that was accepted, None without a baseline.
        outcome: how the row ended.
    """

    label: str
    trials: tuple[Trial, ...]
    baseline: float | None
    target: float | None
    outcome: str


def least_accepted(baseline: float, criterion: str, tolerance: float) -> float:
    """Return the accuracy that INC accepts: ``Objective.compare`` of neural-compressor 1.13.1."""
    return baseline * (1 - tolerance) if criterion == "relative" else baseline - tolerance


def trajectories(
    plan: RunPlan,
    records: Sequence[MethodRecord],
    stored: Mapping[str, tuple[Trial, ...]],
    fp32: float | None = None,
) -> list[Trajectory]:
    """Return the searches of a run, in the table's order.

    Args:
        stored: by method, the trials of a row whose record holds none, since it ended without a
            model.
        fp32: its accuracy on the tuning batches, for a run of which no record has it.
    """
    baselines = [
        record.optimize.quantization.baseline_accuracy
        for record in records
        if record.optimize and record.optimize.quantization
    ]  # of one network on the same batches, so the same for all
    baseline = next((value for value in baselines if value is not None), fp32)
    found = []
    for record in records:
        trials = trials_of((record.optimize.trajectory or ()) if record.optimize else ())
        trials = trials or stored.get(record.method, ())
        if trials:
            options = plan.search_options(record.method)
            target = None
            if baseline is not None and options is not None:
                target = least_accepted(baseline, options["criterion"], options["tolerance"])
            found.append(Trajectory(record.label, trials, baseline, target, str(record.outcome)))
    return found


def trials_of(stored: Sequence[Recorded]) -> tuple[Trial, ...]:
    """Return the trials that a row's trajectory lists."""
    best = accumulate((trial.accuracy for trial in stored), max)
    return tuple(
        Trial(trial.trial, trial.accuracy, top, trial.seconds, _shortened(trial.changed))
        for trial, top in zip(stored, best)
    )


def _shortened(changed: Mapping[str, str]) -> str:
    text = "; ".join(f"{name}: {to}" for name, to in changed.items()) or "nothing"
    if len(text) <= LONGEST:
        return text
    first = next(iter(changed.items()))
    return f"{len(changed)} operators, first {first[0]}: {first[1]}"[:LONGEST]
