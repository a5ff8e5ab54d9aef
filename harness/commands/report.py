"""``./run.sh report``: a run as a page, tables and figures that a paper can take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.command_line.verb import FILES, RUN, Argument, Verb, Words

if TYPE_CHECKING:
    from harness.run.context import Context

REPORTS = "reports"  # under the results: reports of runs that are only read


def call(words: Words, context: Context) -> int:
    """Write a run's report and print where it is."""
    from harness.compare.pricing.price_file import PRICES
    from harness.config import project_path
    from harness.report.report_writer import write_report

    folder = context.find(words["run"])
    into = project_path(words["to"]) if words["to"] else None
    if into is None and folder.is_committed:
        into = context.results / REPORTS / folder.path.parent.name / folder.id
    prices = project_path(words["prices"]) if "prices" in words.values else PRICES
    intervals = context.composed.config.table.intervals
    page, *others = write_report(folder, context.cache, context.folders, into, prices, intervals)
    print(f"{page}\nand beside it tables, LaTeX and figures ({len(others)} files)")
    return 0


VERB = Verb(
    name="report",
    rank=30,
    summary="one page, LaTeX, figures: what a paper or a review needs",
    call=call,
    arguments=(
        RUN,
        Argument(
            "to",
            "DIR",
            "the folder to write",
            otherwise="report/ in the run's folder; results/reports/ for the committed example",
            proposes=FILES,
        ),
        Argument(
            "prices",
            "FILE",
            "a price list, for a run with rows of other engines",
            otherwise="conf/prices.yaml",
            proposes=FILES,
        ),
    ),
    examples=(
        ("latest", ""),
        ("published", "the example's, in results/reports/example/published/"),
    ),
)
