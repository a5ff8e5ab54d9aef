"""The verdicts on suspected rows once it is known what measuring them again shows."""

from __future__ import annotations

from dataclasses import replace

from harness.nightly import reasons
from harness.nightly.sequential_test import Confirmation
from harness.nightly.verdict import EQUIVALENCE, Gap, Kind, Settings, Verdict
from harness.stats.intervals import Interval


def same_model(row: Verdict, before: str) -> Verdict:
    """Return the verdict on a suspected row whose model, software and settings are those of before."""
    kind: Kind = "change" if row.kind == "regression" else row.kind
    return replace(row, kind=kind, advice=reasons.same_model(before))


def timed_again(
    row: Verdict, confirmation: Confirmation, before: str, settings: Settings
) -> Verdict:
    """Return the verdict on a row that was timed in turn with the model of run ``before``."""
    matters = f"{100 * settings.slower:g} %"
    kind: Kind = "cannot tell"
    gap: Gap | None = None
    if confirmation.state == "confirmed":
        kind, end = "regression", reasons.confirmed(before)
    elif confirmation.ratio.high < 1 + settings.slower:
        kind, end = "none", reasons.cleared(matters)
    else:
        gap, end = "noise", reasons.undecided(matters)
    said = reasons.in_turn(before, confirmation.rounds, confirmation.ratio)
    return replace(row, kind=kind, gap=gap, advice=f"{said}{end}", in_turn=confirmation.ratio)


def after_remeasuring(row: Verdict, again: Verdict | None, lacking: str | None = None) -> Verdict:
    """Return the verdict on a row that was made or timed anew and compared with the same runs.

    Args:
        again: its second verdict; None if there is none, such as of a row that failed.
        lacking: why it was not timed in turn with an earlier model.
    """
    reason = row.reason + (f" ({lacking}.)" if lacking else "")
    if again is None:
        advice = reasons.again_failed()
        return replace(row, kind="cannot tell", gap="not repeated", reason=reason, advice=advice)
    advice = reasons.made_anew(again.kind == "regression", again.reason, again.advice)
    return replace(again, reason=reason, advice=advice)


def in_a_new_environment(turn: Verdict, ratio: float, changes: str, since: str) -> Verdict:
    """Return the verdict on a row whose earlier model became slow as well, and other methods did not.

    Args:
        turn: after timing both in turn: not confirmed.
        ratio: of its time to that of before, beside the other methods.
        changes: what is new in the environment.
        since: the first run that it is slow in.
    """
    more = reasons.percent_more(ratio)
    return replace(
        turn,
        kind="regression",
        gap=None,
        in_turn=None,
        # of the time beside the other methods, of which no interval and no p-value are kept
        estimate=Interval(ratio, ratio, ratio, EQUIVALENCE),
        p_value=None,
        adjusted_p=None,
        reason=f"{reasons.subject(turn.metric, turn.method)} is {more} since run {since} than before it, "
        f"{reasons.BESIDE}.",
        advice=reasons.environment(changes, since),
    )


def not_separable(turn: Verdict, changes: str) -> Verdict:
    """Return the verdict on a row that is slow with either model, without a control for the machine."""
    return replace(turn, kind="cannot tell", gap="machine", advice=reasons.not_separable(changes))


def solution_lost(row: Verdict, outcome: str) -> Verdict:
    """Return the verdict on a search that found a model before and twice finds none now."""
    return replace(row, kind="regression", advice=reasons.solution_lost(outcome))
