"""``./run.sh bisect``: which commit, or which locked package, made a row worse."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

from harness.command_line.verb import METHODS, METRICS, RUNS, Argument, Verb, Words

if TYPE_CHECKING:
    from harness.run.context import Context


def call(words: Words, context: Context) -> int:
    """Search for the change between two runs, print the report; 1 where the row did become worse.

    Raises:
        HarnessError: the ends of the search could not be measured.
    """
    from harness.bisect.bisection import METRICS as BY_NAME
    from harness.bisect.bisection import Request, bisect, check_row, endpoint, report_path
    from harness.bisect.pairs import FEWEST_ROUNDS
    from harness.bisect.search_result import to_markdown
    from harness.errors import HarnessError, InputError, proposal
    from harness.process.interrupt import resumable
    from harness.process.lifetime import NOT_ALONE, alone_on_host
    from harness.render.progress import told_once
    from harness.screen.printing import print_markdown

    metric, over = words["metric"], words["over"]
    if metric not in METRICS:
        near = proposal(metric, METRICS)
        raise InputError(f"metric={metric}: use one of {', '.join(METRICS)}{near}")
    if over not in ("", "commits", "lock"):
        raise InputError(f"over={over}: use commits or lock, or leave it out")
    rounds = words.whole("rounds", FEWEST_ROUNDS)
    good, bad = endpoint(context, words["good"]), endpoint(context, words["bad"])
    request = Request(good, bad, BY_NAME[metric], words["method"], over, rounds)
    check_row(request)
    wait_s = context.composed.config.run.wait_s
    again = shlex.join(["./run.sh", "bisect", *words.typed, *context.conf_words])
    alone = alone_on_host(wait_s, told_once(context.show, NOT_ALONE, wait_s), context.show.note)
    with alone, resumable(again):
        result = bisect(context, request)
    print_markdown(to_markdown(result))
    print(f"the report: {report_path(context, request)}", file=sys.stderr)
    if result.outcome == "not measured":
        raise HarnessError(result.headline)
    return int(result.became_worse)


VERB = Verb(
    name="bisect",
    rank=65,
    summary="which commit, or which locked package, made a row worse",
    call=call,
    arguments=(
        Argument(
            "good", "RUN", "the last run that was as it should be", required=True, proposes=RUNS
        ),
        Argument("bad", "RUN", "the first run that is worse", required=True, proposes=RUNS),
        Argument("method", "NAME", "the row", required=True, proposes=METHODS),
        Argument("metric", "NAME", ", ".join(METRICS), "batch_s", proposes=METRICS),
        Argument(
            "over",
            "commits|lock",
            "what is searched",
            "",
            "commits where the code differs, else the packages of the lock files",
            proposes=("commits", "lock"),
        ),
        Argument("rounds", "N", "pairs of turns a look, of up to four looks", "8"),
    ),
    description=(
        "Measures versions of the project between two runs in turn with the good one, each in a\n"
        "checkout and an environment of its own, until one change is left, and confirms that against\n"
        "what stands just before it. It says 'not separable' rather than guess."
    ),
    examples=(("good=ID bad=ID method=int8_inc_mse metric=batch_s", ""),),
    verdict="the row did become worse, whether or not the change was found",
    measures=True,
)
