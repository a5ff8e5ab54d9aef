"""The text of an issue on the regressions of a night, for whoever has to find and repair them."""

from __future__ import annotations

import shlex

from harness.facts.override_key import is_for_row, key_of
from harness.nightly import reasons
from harness.nightly.night import Night, Regression, headline
from harness.nightly.notices.next_steps import bisect_command
from harness.nightly.verdict import Verdict
from harness.render.escape import markdown, markdown_cell, markdown_code

OWN_WORDS = ("method", "nightly.baseline", "nightly.notify", "nightly.pinned")


def to_issue(night: Night) -> str:
    """Return the issue in Markdown: its title is the first line; one section a regression."""
    sections = [_section(night, regression) for regression in night.open]
    title = markdown_cell(f"Nightly on {night.machine}: {headline(night)}")
    return "\n\n".join([f"# {title}", *sections]) + "\n"


def _section(night: Night, regression: Regression) -> str:
    row = next((row for row in night.rows if row.key == regression.key), None)
    before = f", last good run {regression.level[-1]}" if regression.level else ""
    parts = [
        f"## {markdown_cell(regression.said)}",
        f"**What.** {markdown_cell(row.sentences)}"
        if row
        else "**What.** The row is not measured.",
        f"**Since.** {markdown_cell(f'Run {regression.since} ({regression.created}){before}.')}",
        f"**How sure.** {markdown_cell(_certainty(night, regression, row))}",
        _suspected(regression),
    ]
    command = bisect_command(night, regression)
    if command is not None:
        parts.append(f"**Find the change.** {markdown_code(command)}")
    again = markdown_code(_again(night, regression))
    parts.append(
        f"**Reproduce.** {again} measures the row. It is red until it is measured as before."
    )
    return "\n\n".join(parts)


def _certainty(night: Night, regression: Regression, row: Verdict | None) -> str:
    """Return how the regression was confirmed, with its error."""
    if regression.is_notified:
        return (
            f"It was confirmed by an earlier night, and is open since; see run {regression.since}."
        )
    if row is None or row.estimate is None:
        return "It was found, and found again when measured anew."
    if row.in_turn is not None:
        more = reasons.percent_more(row.in_turn.estimate)
        return (
            f"Timed in turn with the model of before, it takes {more} "
            f"({reasons.interval(row.in_turn)}). Code that is the same is confirmed so in at most 1 % "
            "of nights."
        )
    if reasons.BESIDE in row.advice:
        return f"Timed in turn, the model of before is as slow. {row.advice}"
    adjusted = "" if row.adjusted_p is None else f", p = {row.adjusted_p:.1g} after Holm's method"
    again = f" Run {night.again} measured it again and confirmed it." if night.again else ""
    return f"The verdict is over the whole table, at 0.5 %{adjusted}.{again}"


def _suspected(regression: Regression) -> str:
    if regression.changes is None:
        return (
            "**Suspected change.** It is not known what changed: a run to compare with is missing."
        )
    if not regression.changes:
        return (
            "**Suspected change.** None is known: software and settings are those of the last good "
            "run."
        )
    listed = "\n".join(f"- {markdown(line)}" for line in regression.changes)
    return f"**Suspected change.** Since the last good run:\n\n{listed}"


def _again(night: Night, regression: Regression) -> str:
    """Return the command that measures the row; a named baseline would settle nothing."""
    words = [
        word
        for word in night.words
        if key_of(word) not in OWN_WORDS and is_for_row(key_of(word), regression.method)
    ]
    return shlex.join(["./run.sh", "nightly", *words, f"method=[{regression.method}]"])
