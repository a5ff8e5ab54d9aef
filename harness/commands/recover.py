"""``./run.sh recover``: the model of a tuning trial."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.command_line.verb import METHODS, RUN, Argument, Verb, Words

if TYPE_CHECKING:
    from harness.run.context import Context


def call(words: Words, context: Context) -> int:
    """Bring a trial's model back, validate it and print its row."""
    from harness.run.recovering import recover

    print(recover(context.find(words["run"]), words["method"], words.whole("trial", 1), context))
    return 0


VERB = Verb(
    name="recover",
    rank=90,
    summary="bring back the model of a tuning trial and validate it",
    call=call,
    description=(
        "Makes the model of one trial again from the run's tuning history, checks that it predicts\n"
        "what the trial predicted, validates it, and prints its row beside the baseline's."
    ),
    arguments=(
        RUN,
        Argument("method", "NAME", "the row that was tuned", required=True, proposes=METHODS),
        Argument("trial", "K", "the number of the trial, from 1", required=True),
    ),
    examples=(("run=ID method=int8_inc_mse trial=5", ""),),
    measures=True,
)
