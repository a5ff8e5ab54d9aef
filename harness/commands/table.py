"""``./run.sh table``: a run's tables, from its records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.command_line.verb import RUN, Verb, Words

if TYPE_CHECKING:
    from harness.run.context import Context


def call(words: Words, context: Context) -> int:
    """Write a run's tables again and print the one in Markdown."""
    from harness.table.tables import write_tables

    intervals = context.composed.config.table.intervals
    print(write_tables(context.find(words["run"]), intervals), end="")
    return 0


VERB = Verb(
    name="table",
    rank=20,
    summary="rebuild a run's tables from its records",
    call=call,
    arguments=(RUN,),
    examples=(
        ("published", "the example's"),
        ("run=ID table.intervals=false", "plain numbers, as published"),
    ),
)
