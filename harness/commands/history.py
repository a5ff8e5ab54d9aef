"""``./run.sh history``: the nights so far."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from harness.command_line.verb import Argument, Verb, Words

if TYPE_CHECKING:
    from harness.run.context import Context


def call(words: Words, context: Context) -> int:
    """Print the nights of every machine, from a database that is made again if that is wanted."""
    from harness.nightly.judgements import rebuilt
    from harness.nightly.nightly_report import list_nights

    if words.is_true("rebuild"):
        for line in rebuilt(context.results):
            print(line, file=sys.stderr)
    print(list_nights(context.results), end="")
    return 0


VERB = Verb(
    name="history",
    rank=50,
    summary="the nights so far; rebuild=true makes their database from the records",
    call=call,
    arguments=(
        Argument(
            "rebuild",
            "true|false",
            "true reads all nights from the runs' folders again",
            default="false",
            proposes=("true", "false"),
        ),
    ),
    examples=(("", ""), ("rebuild=true", "after the database was damaged or lost")),
)
