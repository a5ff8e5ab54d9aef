"""The result of a night: its verdicts, after suspected rows were measured again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from harness.nightly.sequential_test import Confirmation
from harness.nightly.verdict import Kind, Settings, Verdict

Headline = Literal["regression", "none", "cannot tell", "first"]


@dataclass(frozen=True)
class Night:
    """A judged night.

    Attributes:
        verdict: ``regression``: a row got worse, and measuring it again confirmed it. ``none``: no row
            did. ``cannot tell``: none was found, but no row could be compared. ``first``: there is
            nothing to compare with.
        rows: the verdicts, final.
        baseline: ids of the runs compared with, oldest first.
        again: id of the run that measured suspected rows again, if one did.
        failed: rows that were not measured, each with its outcome.
        changes: what differs from the latest run of the baseline in what was asked and installed.
        shifted: lasting shifts of times that nobody acknowledged: method, first run after, ratio.
        notes: what else to know.
    """

    machine: str
    run: str
    created: str
    verdict: Headline
    rows: tuple[Verdict, ...]
    baseline: tuple[str, ...]
    again: str | None
    failed: Mapping[str, str]
    changes: tuple[str, ...]
    shifted: tuple[tuple[str, str, float], ...]
    notes: tuple[str, ...]

    @property
    def regressions(self) -> tuple[Verdict, ...]:
        return tuple(row for row in self.rows if row.kind == "regression")

    def count(self, kind: Kind) -> int:
        return sum(row.kind == kind for row in self.rows)


def headline(rows: Sequence[Verdict], has_baseline: bool) -> Headline:
    """Return the verdict on the night from those on its rows."""
    if not has_baseline:
        return "first"
    kinds = {row.kind for row in rows}
    if "regression" in kinds:
        return "regression"
    compared = kinds - {"missing", "new"}
    return "cannot tell" if compared <= {"cannot tell"} else "none"


def timed_again(
    row: Verdict, confirmation: Confirmation, before: str, settings: Settings
) -> Verdict:
    """Return the verdict on a row that was timed in turn with the model of run ``before``."""
    shown = [
        100 * (x - 1)
        for x in (confirmation.ratio.estimate, confirmation.ratio.low, confirmation.ratio.high)
    ]
    figures = (
        f"Measured again in turn with the model of run {before}, {confirmation.rounds} rounds each: "
        f"{shown[0]:+.1f} % ({100 * confirmation.ratio.level:g} % interval {shown[1]:+.1f} to "
        f"{shown[2]:+.1f} %), p {confirmation.p_value:.1g} where {confirmation.allowed:.1g} is allowed"
    )
    if confirmation.state == "confirmed":
        kind: Kind = "regression"
        why = "confirmed"
    elif confirmation.ratio.high < 1 + settings.slower:
        kind, why = "none", f"not confirmed, and {100 * settings.slower:g} % is excluded"
    else:
        kind, why = "cannot tell", f"not confirmed, but {100 * settings.slower:g} % is not excluded"
    return replace(row, kind=kind, reason=f"{row.reason} {figures}: {why}.")


def same_model(row: Verdict, before: str) -> Verdict:
    """Return the verdict on a suspected row whose model, software and settings are those of before."""
    kind: Kind = "change" if row.kind == "regression" else row.kind
    why = (
        f"The model, the software and the settings are those of run {before} to the last bit, so it "
        "is the machine that differs, not the code; nothing was measured again."
    )
    return replace(row, kind=kind, reason=f"{row.reason} {why}")


def after_remeasuring(row: Verdict, again: Verdict | None, lacking: str | None = None) -> Verdict:
    """Return the verdict on a row that was made or timed anew and compared with the same runs.

    Args:
        again: its second verdict; None if there is none, such as of a row that failed.
        lacking: why it was not timed in turn with an earlier model.
    """
    reason = row.reason + (f" ({lacking}.)" if lacking else "")
    if again is None:
        return replace(row, kind="cannot tell", reason=f"{reason} Measuring it again failed.")
    kind: Kind = "regression" if again.kind == "regression" else again.kind
    result = "Confirmed" if kind == "regression" else "Not confirmed"
    return replace(
        again, kind=kind, reason=f"{reason} {result} when measured again: {again.reason}"
    )


def in_a_new_environment(turn: Verdict, again: Verdict, changes: str) -> Verdict:
    """Return the verdict on a row whose earlier model may have become slow as well.

    Args:
        turn: after timing both in turn: not confirmed.
        again: the times measured again, compared with the earlier runs.
        changes: what is new in the environment.
    """
    if again.kind != "regression":
        return turn
    why = (
        f"Yet both take longer than before, and the environment is new ({changes}). {again.reason}"
    )
    return replace(turn, kind="regression", reason=f"{turn.reason} {why}")


def solution_lost(row: Verdict, outcome: str) -> Verdict:
    """Return the verdict on a search that found a model before and twice finds none now."""
    reason = f"{row.reason} It ended with {outcome}, and did so again when made anew."
    return replace(row, kind="regression", reason=reason)
