"""The result of a night: its outcome, and the headline that says what was judged."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from harness.nightly import reasons
from harness.nightly.disturbed import Disturbances
from harness.nightly.verdict import BATCH, MEMORY, VALIDATE_MEMORY, Key, Kind, Verdict
from harness.table.metrics import COST, TOP1, TOP5

Outcome = Literal["regression", "none", "partly", "cannot tell", "first", "suspected", "stopped"]
WAKING: frozenset[str] = frozenset({"regression"})  # exit code 1
UNFINISHED: frozenset[str] = frozenset({"suspected", "stopped"})  # no night to compare with
LISTED: dict[str, str] = {  # in a list of nights; others are listed as they are
    "none": "no regression",
    "partly": "no regression; not all was judged",
    "suspected": "not finished: measuring again, or killed then",
}
GROUPS = (
    ("accuracy", (TOP1, TOP5)),
    ("time", (BATCH,)),
    ("cost", (COST,)),
    ("memory", MEMORY),
)
WORDS: dict[Kind, str] = {"none": "unchanged", "improvement": "better", "change": "changed"}


@dataclass(frozen=True)
class Figures:
    """The figures of a row, None where it was not measured.

    Attributes:
        rounds: how many there are, ``disturbed`` of them disturbed.
    """

    method: str
    batch_s: float | None
    rounds: int
    disturbed: int
    top1: float | None
    top5: float | None
    cost_s: float | None
    optimize_mb: float | None = None
    validate_mb: float | None = None


@dataclass(frozen=True)
class Regression:
    """A confirmed regression that was neither measured fixed nor acknowledged.

    Attributes:
        since: the first run that has it.
        created: when that was; UTC, ISO 8601.
        said: by how much the row is worse.
        level: ids of the runs of the level before it, oldest first.
        in_turn: whether timing in turn with the earlier model confirmed it.
        back: how many of the latest nights in a row measured the level before.
        is_notified: whether an earlier night was red for it.
        changes: the differences of software between the last run of the level and the first run that
            has it, one line a key; None where they are not known.
    """

    method: str
    metric: str
    since: str
    created: str
    said: str
    level: tuple[str, ...] = ()
    in_turn: bool = False
    back: int = 0
    is_notified: bool = False
    changes: tuple[str, ...] | None = None

    @property
    def key(self) -> Key:
        return self.method, self.metric


class MeasuredShift(NamedTuple):
    """A lasting shift of a method's times that was measured again.

    Attributes:
        since: id of the first run after it.
        ratio: of times, after to before.
        is_controlled: whether it is one beside the other methods, which met the same nights.
    """

    method: str
    since: str
    ratio: float
    is_controlled: bool = False


@dataclass(frozen=True)
class Night:
    """A judged night, or one that was stopped before.

    Attributes:
        verdict: ``regression``: a row got worse, and measuring it again confirmed it, in this night
            or in an earlier one. ``none``: all rows were judged, and none did. ``partly``: none did
            of those that were judged.
            ``cannot tell``: no row was judged. ``first``: there is nothing to compare with.
            ``suspected``: suspected rows are being measured again. ``stopped``: the night was, before
            its verdict was final.
        rows: the verdicts; final, unless the night is unfinished.
        baseline: ids of the runs compared with, oldest first.
        again: id of the run that measured suspected rows again, if one did.
        failed: rows that were not measured, each with its outcome.
        changes: what differs from the latest run of the baseline in what was asked and installed.
        shifted: lasting shifts of times that nobody acknowledged: method, first run after, ratio.
        notes: what else to know.
        figures: of every row.
        disturbances: of the night's own rounds.
        suspects: rows that wait to be measured again, and what is suspected of them.
        stopped: of a stopped night: while doing what.
        places: words that every command takes here, such as ``run.results=DIR``.
        words: those that start another night like it.
        open: the regressions that are open after this night.
        fixed: those that this night measured fixed.
        tested: lasting shifts that were measured again.
    """

    machine: str
    run: str
    created: str
    verdict: Outcome
    rows: tuple[Verdict, ...]
    baseline: tuple[str, ...]
    again: str | None
    failed: Mapping[str, str]
    changes: tuple[str, ...]
    shifted: tuple[tuple[str, str, float], ...]
    notes: tuple[str, ...]
    figures: tuple[Figures, ...] = ()
    disturbances: Disturbances = field(default_factory=Disturbances)
    suspects: Mapping[Key, str] = field(default_factory=dict)
    stopped: str = ""
    places: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    open: tuple[Regression, ...] = ()
    fixed: tuple[Regression, ...] = ()
    tested: tuple[MeasuredShift, ...] = ()

    @property
    def still_open(self) -> tuple[Regression, ...]:
        """The open regressions that an earlier night was red for."""
        return tuple(regression for regression in self.open if regression.is_notified)

    @property
    def regressions(self) -> tuple[Verdict, ...]:
        return tuple(row for row in self.rows if row.kind == "regression")

    @property
    def is_unfinished(self) -> bool:
        return self.verdict in UNFINISHED

    @property
    def has_disturbed_times(self) -> bool:
        """Whether times could not be judged, or are no baseline, since rounds were disturbed."""
        return any(row.gap == "disturbed" for row in self.rows)

    def command(self, verb: str, *words: str) -> str:
        """Return a command as a shell takes it."""
        return shlex.join(["./run.sh", verb, *words, *self.places])


def listed_as(verdict: str) -> str:
    """Return what a list of nights calls an outcome."""
    return LISTED.get(verdict, verdict)


def outcome_of(rows: Sequence[Verdict], has_baseline: bool, is_open: bool = False) -> Outcome:
    """Return the verdict on the night from the final ones on its rows, and from what is open."""
    if is_open:
        return "regression"
    if not has_baseline:
        return "first"
    kinds = {row.kind for row in rows} - {"missing", "new"}
    if "regression" in kinds:
        return "regression"
    if "cannot tell" not in kinds and kinds:
        return "none"
    return "partly" if kinds - {"cannot tell"} else "cannot tell"


def headline(night: Night) -> str:
    """Return what was judged, the worst first, and what was not."""
    parts = []
    if night.is_unfinished:
        waiting = "; ".join(_listed(list(night.suspects.values())))
        begun = {"stopped": f"STOPPED while {night.stopped}"}
        state = begun.get(night.verdict, "not finished, measuring suspected rows again")
        parts.append(f"{state} (not confirmed: {waiting})" if waiting else state)
    if night.verdict == "first":
        parts.append("first night, nothing to compare with yet")
        if night.has_disturbed_times:
            parts.append(f"its times are NO baseline ({_rounds(night)})")
    else:
        known = {regression.key for regression in night.still_open}
        confirmed = [row for row in night.regressions if row.key not in {*night.suspects, *known}]
        parts += _listed([f"{worse(row)} (confirmed)" for row in confirmed])
        parts += _listed([open_since(regression) for regression in night.still_open])
        parts += _listed(
            [
                f"fixed: {regression.said}, since run {regression.since}"
                for regression in night.fixed
            ]
        )
        parts += [said for name, metrics in GROUPS if (said := _group(night, name, metrics))]
    missing = [row for row in night.rows if row.kind == "missing"]
    if night.failed:
        parts.append(f"NOT measured: {', '.join(_listed(list(night.failed)))}")
    elif missing:
        parts.append(
            f"missing: {', '.join(_listed(list(dict.fromkeys(r.method for r in missing))))}"
        )
    return "; ".join(parts) or "no row was compared"


def worse(row: Verdict) -> str:
    """Return by how much a row is worse."""
    estimate = row.in_turn or row.estimate
    if estimate is None:
        return f"{row.method} is worse in {row.metric.title}"
    if row.metric in (TOP1, TOP5):
        return f"{row.method} lost {abs(estimate.estimate):.2f} points of {row.metric.title}"
    more = reasons.percent_more(estimate.estimate)
    if row.metric in MEMORY:
        stage = "validating" if row.metric == VALIDATE_MEMORY else "optimising"
        return f"{row.method} takes {more} memory in {stage}"
    return f"{row.method} {f'takes {more} time' if row.metric == BATCH else f'costs {more}'}"


def open_since(regression: Regression) -> str:
    """Return by how much a row is worse, and since when."""
    run, date = regression.since, regression.created[:10]
    return f"{regression.said}: still open since run {run} ({date})"


def _group(night: Night, name: str, metrics: Sequence[object]) -> str | None:
    rows = [
        row
        for row in night.rows
        if row.metric in metrics
        and row.kind not in ("regression", "missing", "new")
        and row.key not in night.suspects
    ]
    counts = Counter(_word(row) for row in rows if row.kind != "cannot tell")
    unjudged = len(rows) - sum(counts.values())
    why = _why(night, rows)
    named = [row for row in night.rows if row.kind == "regression" or row.key in night.suspects]
    others = any(row.metric in metrics for row in named)
    name = f"{name} of other rows" if others else name
    if not counts:
        return f"{name} {why}" if unjudged else None
    if len(counts) == 1 and not unjudged:
        return f"{name} {next(iter(counts))}"
    said = [f"{count} {word}" for word, count in counts.items()]
    return f"{name}: {', '.join([*said, *([f'{unjudged} {why}'] if unjudged else [])])}"


def _word(row: Verdict) -> str:
    """Return what became of a judged row; timed in turn, only that it is not slower is known."""
    return "not slower" if row.kind == "none" and row.in_turn is not None else WORDS[row.kind]


def _why(night: Night, rows: Sequence[Verdict]) -> str:
    gaps = dict.fromkeys(row.gap for row in rows if row.gap)
    if set(gaps) == {"few runs"}:
        return f"not judged yet ({reasons.GAPS['few runs']})"
    said = [_rounds(night) if gap == "disturbed" else reasons.GAPS[gap] for gap in gaps]
    return f"NOT judged ({', '.join(said)})"


def _rounds(night: Night) -> str:
    return f"{night.disturbances.rounds} of {night.disturbances.of_rounds} rounds disturbed"


def _listed(parts: list[str], most: int = 3) -> list[str]:
    return [*parts[:most], *([f"and {len(parts) - most} more"] if len(parts) > most else [])]
