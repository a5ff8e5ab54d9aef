"""What to do after a night, and the commands for it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.nightly.night import Night, Regression
from harness.nightly.verdict import NIGHTLY, Key

ROUNDS = "protocol.rounds"
MOST = 3  # commands of a kind
BISECTED = "checkout.commit"  # ``bisect`` goes over commits; other changes it only lists


@dataclass(frozen=True)
class Step:
    """What to do next, and the command for it, if there is one."""

    text: str
    command: str | None = None


def steps(night: Night) -> tuple[Step, ...]:
    """Return what to do, the most urgent first; never none."""
    todo = []
    known = {regression.key for regression in night.still_open}
    go_on = night.command("nightly", f"run.id={night.run}")
    if night.verdict == "stopped":
        todo.append(Step("Act: no verdict is final. This goes on where the night stopped:", go_on))
    elif night.verdict == "suspected":
        text = (
            "Wait for the verdict. If the night does not run any more, it was killed; this goes on:"
        )
        todo.append(Step(text, go_on))
    elif new := [row.key for row in night.regressions if row.key not in known]:
        todo += _acknowledging(night, new)
    elif night.still_open:
        text = "Act: repair what is open; it closes once it is measured as before. If it was meant:"
        todo.append(Step(text, night.command("acknowledge", *_which(night), "reason=WHY")))
    if not night.is_unfinished:
        todo += _searches(night)
    if night.failed and not todo:
        text = "Act: see why rows were not measured. This measures them again, and no more:"
        todo.append(Step(text, go_on))
    if todo:  # what is urgent stands alone
        return tuple(todo)
    next_night = _before_the_next_night(night)
    if next_night is not None:
        return (next_night,)
    if night.verdict == "first":
        return (Step("Nothing to do: later nights are compared with this one."),)
    if any(row.gap == "noise" for row in night.rows):
        return (
            Step(
                "Nothing to do tonight. If it stays too noisy, see what nightly.md says of each row."
            ),
        )
    return (Step("Nothing to do."),)


def _acknowledging(night: Night, new: Sequence[Key]) -> Iterator[Step]:
    """Yield how to accept what is new tonight, and nothing that is open from earlier nights."""
    text = f"Act: find what changed {_since(night)} and repair it. If it was meant, acknowledge it:"
    if not night.still_open:
        yield Step(text, night.command("acknowledge", *_which(night), "reason=WHY"))
        return
    for method, metric in new[:MOST]:
        words = (f"run={night.run}", f"method={method}", f"metric={metric}", "reason=WHY")
        yield Step(text, night.command("acknowledge", *words))
        text = "The same of another row that is new tonight:"
    if len(new) > MOST:
        yield Step(f"And {len(new) - MOST} more that are new tonight: see the rows.")


def _since(night: Night) -> str:
    """Return the run before what is new tonight: of a shift that began earlier, that before it."""
    before = {
        regression.level[-1]
        for regression in night.open
        if regression.level and not regression.is_notified
    }
    if len(before) > 1:
        return f"since runs {', '.join(sorted(before))}"
    if before:
        return f"since run {before.pop()}"
    return f"since run {night.baseline[-1]}" if night.baseline else "before"


def _searches(night: Night) -> Iterator[Step]:
    """Yield how to find the change behind each regression that is open."""
    for regression in night.open:
        command = bisect_command(night, regression)
        if command is not None:
            yield Step(f"This finds the change since which {regression.said}:", command)


def bisect_command(night: Night, regression: Regression) -> str | None:
    """Return the command that finds the change behind a regression; None if no commit is known to have
    changed.
    """
    keys = {line.split(":")[0] for line in regression.changes or ()}
    if not regression.level or BISECTED not in keys:
        return None
    return night.command(
        "bisect",
        f"good={regression.level[-1]}",
        f"bad={regression.since}",
        f"metric={regression.metric}",
        f"method={regression.method}",
    )


def _before_the_next_night(night: Night) -> Step | None:
    """Return what keeps the times of nights like this one from being judged, if anything does."""
    todo, words = [], list(night.words)
    if night.has_disturbed_times and night.disturbances.causes:
        todo.append(night.disturbances.causes[0].remedy)
    if any(0 < row.rounds < NIGHTLY.rounds for row in night.figures):
        enough = f"{ROUNDS}={NIGHTLY.rounds}"
        todo.append(f"give {enough} or more")
        words = [word for word in words if not word.startswith(f"{ROUNDS}=")] + [enough]
    if not todo:
        return None
    text = (
        f"Act before the next night, so that its times can be judged: {'; and '.join(todo)}. Then:"
    )
    return Step(text, shlex.join(["./run.sh", "nightly", *words]))


def _which(night: Night) -> list[str]:
    """Return the words that name the regressions of a night."""
    methods = {row.method for row in night.regressions} | {
        regression.method for regression in night.open
    }
    named = f"method={methods.pop()}" if len(methods) == 1 else "method=all"
    return [f"run={night.run}", named]
