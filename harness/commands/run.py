"""``./run.sh run``, or no verb at all: measure and print the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.command_line.verb import Verb, Words

if TYPE_CHECKING:
    from harness.run.context import Context


def call(words: Words, context: Context) -> int:
    """Measure what is not measured yet and print the table."""
    from harness.run.lifecycle import measure_run
    from harness.screen.run_table import show_run
    from harness.table.tables import load_tables

    code, folder = measure_run(context)
    show_run(load_tables(folder), context.composed.config.table.intervals)
    return code


VERB = Verb(
    name="run",
    rank=10,
    summary="measure and print the table (the default verb)",
    call=call,
    description=(
        "Measures every method that is not measured yet, each in its own process, and prints the\n"
        "table. The verb may be left out."
    ),
    examples=(
        ("", "the bundled workload, as published"),
        ("workload=imagenet workload.rec=/data/val.rec workload.params=/data/r50v2.params", ""),
        ("method=[fp32,int8_inc_mse] threads.count=1", "two rows on one core"),
        ("protocol=careful", "rounds, for 95 % intervals"),
        ("run.id=ID", "go on with a run that was stopped"),
    ),
    measures=True,
)
