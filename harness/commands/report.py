"""``./run.sh report``: a run as a page, tables and figures that a paper can take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.command_line.verb import RUN, Verb, Words

if TYPE_CHECKING:
    from harness.run.context import Context


def call(words: Words, context: Context) -> int:
    """Write a run's report and print where it is."""
    from harness.report.report_writer import write_report

    page, *others = write_report(context.find(words["run"]), context.cache, context.folders)
    beside = ", ".join(str(path.relative_to(page.parent)) for path in others)
    print(f"{page}\nand beside it {beside}")
    return 0


VERB = Verb(
    name="report",
    rank=30,
    summary="one page, LaTeX, figures: what a paper or a review needs",
    call=call,
    arguments=(RUN,),
    examples=(("published", "the example's, in results/example/published/report/"),),
)
