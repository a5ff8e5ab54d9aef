"""``./run.sh history``: the nights so far."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.command_line.verb import Verb, Words, switch

if TYPE_CHECKING:
    from harness.nightly.entry import NightEntry
    from harness.report.history_page import Night
    from harness.run.context import Context

PAGE = "history.html"


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
        print(_write_page(context.results, context.cache))
    return 0


def _write_page(results: Path, cache: Path) -> Path:
    from harness.files.whole_files import write_atomically
    from harness.nightly.database import opened
    from harness.process.font_cache import keep_fonts_in

    keep_fonts_in(cache)
    from harness.report.history_page import to_html

    with opened(results) as history:
        entries = {name: history.load(name) for name in history.machines()}
    nights = {name: [shown_night(results, one) for one in own] for name, own in entries.items()}
    write_atomically(results / PAGE, to_html(nights))
    return results / PAGE


def shown_night(results: Path, entry: NightEntry) -> Night:
    """Return a night of the history as the page shows it."""
    from harness.nightly.judge import typical_s
    from harness.nightly.judgements import MARKDOWN
    from harness.report.history_page import Night
    from harness.table.row_names import names_of

    labels = names_of({row.method: row.label for row in entry.rows})
    link = f"{entry.folder}/{MARKDOWN}"
    return Night(
        created=entry.created,
        run=entry.run,
        verdict=entry.verdict or "",
        regressions=[f"{labels.get(m, m)}, {metric}" for m, metric in sorted(entry.regressions)],
        acknowledged=[
            f"{labels.get(method, method)}, {metric}: {reason}"
            for (method, metric), reason in sorted((entry.acknowledged or {}).items())
        ],
        link=link if (results / link).is_file() else "",
        milliseconds={
            labels[row.method]: 1e3 * typical_s(row.times)
            for row in entry.rows
            if row.times is not None and row.times.size
        },
    )


VERB = Verb(
    name="history",
    rank=50,
    summary="the nights so far; page=true makes a page of them, rebuild=true their database",
    call=call,
    arguments=(
        switch("rebuild", "true reads all nights from the runs' folders again"),
        switch("page", f"true writes results/{PAGE}: verdicts, and the times of each row by night"),
    ),
    examples=(
        ("", ""),
        ("page=true", ""),
        ("rebuild=true", "after the database was damaged or lost"),
    ),
)
