"""``./run.sh list``: the runs there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.command_line.verb import Verb, Words

if TYPE_CHECKING:
    from harness.run.context import Context


def call(words: Words, context: Context) -> int:
    """Print a line for each run, the newest first."""
    from harness.nightly.judgements import NIGHT
    from harness.nightly.night import listed_as
    from harness.screen.printing import print_columns
    from harness.storage.listing import MB, list_runs

    runs = list_runs(context.results, NIGHT)
    if not runs:
        print(f"there is no run in {context.results} yet; type ./run.sh demo for a small one")
        return 0
    several = len({run.machine for run in runs}) > 1
    headers = ["Run", "Date (UTC)", "Experiment", "Rows", "Verdict", "MB"]
    body = [
        [
            f"{run.machine}/{run.run}" if several else run.run,
            run.created[:16].replace("T", " "),
            run.experiment,
            run.ended,
            listed_as(run.verdict) or "-",
            f"{run.bytes / MB:.1f}",
        ]
        for run in runs
    ]
    print_columns(headers, body, right=(5,))
    return 0


VERB = Verb(
    name="list",
    rank=33,
    summary="the runs there are: when, of what, how they ended, how large",
    call=call,
    description=(
        "Lists the runs in the results folder, the newest first. Where a verb asks for a run it takes\n"
        "an id of this list, or `latest`."
    ),
    examples=(("", ""), ("run.results=/data/results", "those of another folder")),
)
