"""``./run.sh acknowledge``: a shift that is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.command_line.verb import METHODS, METRICS, RUN, Argument, Verb, Words

if TYPE_CHECKING:
    from harness.run.context import Context


def call(words: Words, context: Context) -> int:
    """Acknowledge shifts in a run's records and in the history; print which, and what that means."""
    from harness.errors import InputError, proposal
    from harness.nightly.judgements import ALL, acknowledge
    from harness.nightly.memory.database import opened

    folder, metric = context.find(words["run"]), words["metric"]
    if metric not in (*METRICS, ALL):
        known = (*METRICS, ALL)
        raise InputError(f"metric={metric}: use one of {', '.join(known)}{proposal(metric, known)}")
    entry, rows = acknowledge(folder, words["method"], metric, words["reason"])
    with opened(context.results) as history:
        history.save(entry)
    for row, of in rows:
        print(f"acknowledged: {row} {of} of run {folder.id} ({words['reason'].strip()})")
    print(f"later nights compare {'it' if len(rows) == 1 else 'them'} from run {folder.id} on")
    return 0


VERB = Verb(
    name="acknowledge",
    rank=60,
    summary="a known shift: later nights compare from that run on",
    call=call,
    arguments=(
        RUN,
        Argument("reason", "WHY", "why the shift is accepted", required=True),
        Argument(
            "method",
            "NAME|all",
            "the row that shifted",
            "",
            "the one that did",
            proposes=METHODS,
        ),
        Argument(
            "metric",
            "NAME",
            f"{', '.join(METRICS)} or all",
            "all",
            "each that shifted",
            proposes=(*METRICS, "all"),
        ),
    ),
    description=(
        "Accepts a shift that a night found: a regression, an improvement or a change, or times that\n"
        "shifted for good since then. A night without any is refused. Later nights compare these rows\n"
        "with that night and those after it, and with none before it."
    ),
    examples=(
        ('run=ID method=int8_inc_mse metric=batch_s reason="oneDNN 3.6 on purpose"', ""),
        ('run=ID method=all reason="new host"', "every row that shifted in that night"),
    ),
)
