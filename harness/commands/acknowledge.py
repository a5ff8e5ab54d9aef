"""``./run.sh acknowledge``: a shift that is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.command_line.verb import METHODS, RUN, Argument, Verb, Words

if TYPE_CHECKING:
    from harness.run.context import Context


def call(words: Words, context: Context) -> int:
    """Acknowledge a shift in a run's records and in the history; print what that means."""
    from harness.errors import InputError
    from harness.nightly.baseline import METRICS
    from harness.nightly.database import opened
    from harness.nightly.judgements import ANY, acknowledge

    folder, method, metric = context.find(words["run"]), words["method"], words["metric"]
    if metric not in (*METRICS, ANY):
        raise InputError(f"metric={metric}: use one of {', '.join(METRICS)}")
    entry = acknowledge(folder, method, metric, words["reason"])
    with opened(context.results) as history:
        history.save(entry)
    row = "every row" if method == ANY else method
    what = "" if metric == ANY else f" in {metric}"
    print(
        f"acknowledged: later nights compare {row}{what} from run {folder.id} on "
        f"({words['reason'].strip()})"
    )
    return 0


VERB = Verb(
    name="acknowledge",
    rank=60,
    summary="a known shift: later nights compare from that run on",
    call=call,
    arguments=(
        RUN,
        Argument("reason", "WHY", "why the shift is accepted", required=True),
        Argument("method", "NAME", "the row that shifted", "*", "every row", proposes=METHODS),
        Argument(
            "metric",
            "NAME",
            "batch_s, cost_s, top1 or top5",
            "*",
            "each of them",
            proposes=("batch_s", "cost_s", "top1", "top5"),
        ),
    ),
    examples=(('run=ID method=int8_inc_mse metric=batch_s reason="oneDNN 3.6 on purpose"', ""),),
)
