"""``./run.sh aa``: one code against itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.command_line.verb import Argument, Verb, Words

if TYPE_CHECKING:
    from harness.run.context import Context


def call(words: Words, context: Context) -> int:
    """Measure many nights' worth of rounds in one run and print what verdicts make of them."""
    from harness.nightly.aa.aa_run import measure_aa
    from harness.nightly.aa.analysis import FEWEST_REPEATS

    code, text = measure_aa(words.whole("repeats", FEWEST_REPEATS), context)
    print(text, end="")
    return code


VERB = Verb(
    name="aa",
    rank=100,
    summary="one code against itself: false alarms, what can be seen",
    call=call,
    description=(
        "Measures the rounds of many nights in one run of the same code. What its verdicts call a\n"
        "change is a false alarm; its noise says how small a slowdown a night can see. Without\n"
        "experiment= it measures experiment=nightly."
    ),
    arguments=(Argument("repeats", "N", "how many nights' worth of rounds", default="10"),),
    examples=(
        ("", "ten nights' worth"),
        ("repeats=20 method=[fp32,int8_inc_mse]", ""),
        ("run.id=ID", "go on with one that was stopped"),
    ),
    measures=True,
)
