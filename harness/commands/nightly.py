"""``./run.sh nightly``: measure, compare with earlier nights, report."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from harness.command_line.verb import Verb, Words

if TYPE_CHECKING:
    from harness.nightly.night import Night
    from harness.run.context import Context
    from harness.storage.store import RunFolder


def call(words: Words, context: Context) -> int:
    """Measure a night and print its report without the rows, the headline and the next step last."""
    from harness.nightly.measurement import measure_night

    code, night, folder = measure_night(context, _show_stopped)
    _show(night, folder)
    return code


def _show(night: Night, folder: RunFolder) -> None:
    from harness.nightly.judgements import MARKDOWN
    from harness.nightly.nightly_report import details, title, to_print
    from harness.nightly.notices.next_steps import steps
    from harness.screen.printing import is_terminal, print_ending, print_markdown

    if is_terminal():
        print_markdown(details(night))
        print_ending(title(night), [(step.text, step.command) for step in steps(night)])
    else:
        print(to_print(night), end="")
    print(f"every row: {folder.path / MARKDOWN}", file=sys.stderr)


def _show_stopped(night: Night, folder: RunFolder) -> None:
    """Show a stopped night at once; the exit code stays that of what stopped it."""
    try:
        _show(night, folder)
        sys.stdout.flush()
    except BrokenPipeError:  # the Ctrl-C that stopped the night ended the reader of its output, too
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


VERB = Verb(
    name="nightly",
    rank=40,
    summary="measure, compare with earlier nights, measure suspected rows again",
    call=call,
    description=(
        "Measures experiment=nightly, or the experiment= that is given, and compares it with the last\n"
        "good nights that were measured alike. Rows that are suspected of a regression are measured\n"
        "again before they are reported."
    ),
    first=("experiment=nightly",),
    examples=(
        ("", ""),
        ("nightly.baseline=ID", "compare with one run"),
        ("nightly.pinned=/path/to/checkout", "another checkout measures first, as the baseline"),
    ),
    verdict="a regression was found",
    measures=True,
)
