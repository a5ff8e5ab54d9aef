"""``./run.sh table``: a run's tables, from its records."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from harness.command_line.verb import RUN, Verb, Words, switch

if TYPE_CHECKING:
    from harness.run.context import Context


def call(words: Words, context: Context) -> int:
    """Write a run's tables again, where they may be written, and print one."""
    from harness.errors import InputError
    from harness.screen.run_table import show_run
    from harness.table.tables import load_tables, save_tables

    is_full = words.is_true("full")
    intervals = context.composed.config.table.intervals
    run = load_tables(context.find(words["run"]))
    show_run(run, intervals, is_full)
    if not run.folder.is_committed:
        try:
            save_tables(run, intervals)
        except InputError as error:  # whoever may not write there may read
            print(f"the files are as they were: {error}", file=sys.stderr)
    return 0


VERB = Verb(
    name="table",
    rank=20,
    summary="rebuild a run's tables from its records",
    call=call,
    description=(
        "Writes a run's tables again and prints one. A terminal gets the columns that fit, with the\n"
        "conclusion above; a pipe or a file gets all of it in Markdown, as does full=true."
    ),
    arguments=(
        RUN,
        switch("full", "true prints every column and note in a terminal, too"),
    ),
    examples=(
        ("published", "the example's"),
        ("latest full=true", "every column and note"),
        ("run=ID table.intervals=false", "plain numbers, as published"),
    ),
)
