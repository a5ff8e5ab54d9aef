"""``./run.sh compare``: runs beside each other, methods by machines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.command_line.verb import FILES, RUNS, Argument, Flag, Verb, Words

if TYPE_CHECKING:
    from harness.run.context import Context

FORCE, APART, PRICE = "--force", "--apart", "price."


def call(words: Words, context: Context) -> int:
    """Compare runs, and print who wins what and where the files are."""
    from harness.compare.pricing.price_file import PRICES
    from harness.compare.run_comparison import Request, compare_runs, own_price
    from harness.config import project_path

    own = {
        machine: own_price(f"{PRICE}{machine}", value)
        for machine, value in words.beginning(PRICE).items()
    }
    request = Request(
        runs=words.all_of("run"),
        command=words.typed,
        force=FORCE in words.flags,
        apart=APART in words.flags,
        prices=project_path(words["prices"]) if "prices" in words.values else PRICES,
        own=own,
        name=words["name"] if "name" in words.values else None,
    )
    print(compare_runs(request, context.results, context.cache), end="")
    return 0


VERB = Verb(
    name="compare",
    rank=70,
    summary="methods by machines: speed, share of the roof, cost, disagreement",
    call=call,
    description=(
        "Compares runs, as a page, figures, Markdown and CSV under results/comparisons/, and prints\n"
        "who is the fastest, the cheapest, and makes most of its roof. Speedups between\n"
        "machines are relative to the run that is named first. Runs on several machines of\n"
        "one type are one column, with an interval between machines."
    ),
    arguments=(
        Argument(
            "run",
            "RUN",
            "two runs or more: RUN or MACHINE/RUN; the names alone, without run=, do as well",
            bare=True,
            repeats=True,
            proposes=RUNS,
        ),
        Argument(
            "name", "NAME", "of the folder that is written", otherwise="made of the runs' names"
        ),
        Argument("prices", "FILE", "a price list", otherwise="conf/prices.yaml", proposes=FILES),
        Argument(
            "price.MACHINE",
            "N",
            "the price of an hour on that machine",
            otherwise="by the price list",
        ),
    ),
    flags=(
        Flag(FORCE, "take runs that were not measured alike"),
        Flag(APART, "one column a run, also for machines of one type"),
    ),
    examples=(
        ("RUN RUN", ""),
        ("MACHINE/RUN MACHINE/RUN price.lab-xeon-16c=0.40 name=autumn", ""),
    ),
)
