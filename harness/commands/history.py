"""``./run.sh history``: the nights so far."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from harness.command_line.verb import Verb, Words, switch

if TYPE_CHECKING:
    from harness.run.context import Context


def call(words: Words, context: Context) -> int:
    """Print the nights of every machine, from a database that is made again if that is wanted."""
    from harness.nightly.judgements import rebuilt
    from harness.nightly.nightly_report import list_nights
    from harness.screen.printing import print_markdown

    if words.is_true("rebuild"):
        for line in rebuilt(context.results):
            print(line, file=sys.stderr)
    print_markdown(list_nights(context.results))
    if words.is_true("page"):
        from harness.nightly.page.trend_page import write_pages

        for path in write_pages(context.results):
            print(path)
    return 0


VERB = Verb(
    name="history",
    rank=50,
    summary="the nights so far; page=true makes a page of them, rebuild=true their database",
    call=call,
    arguments=(
        switch("rebuild", "true reads all nights from the runs' folders again"),
        switch(
            "page", "true writes results/MACHINE/history/index.html: charts, verdicts, what changed"
        ),
    ),
    examples=(
        ("", ""),
        ("page=true", ""),
        ("rebuild=true", "after the database was damaged or lost"),
    ),
)
