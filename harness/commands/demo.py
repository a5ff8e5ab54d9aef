"""``./run.sh demo``: a small table and its report, in two minutes."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from harness.command_line.verb import Verb, Words

if TYPE_CHECKING:
    from harness.run.context import Context

SCREENS = ("DISPLAY", "WAYLAND_DISPLAY")  # variables that name what a browser opens on


def call(words: Words, context: Context) -> int:
    """Measure a few rows, print their table, write the report and open it where there is a screen."""
    from harness.report.report_writer import write_report
    from harness.run.lifecycle import measure_run
    from harness.screen.printing import is_terminal
    from harness.screen.run_table import show_run
    from harness.table.tables import load_tables

    code, folder = measure_run(context)
    intervals = context.composed.config.table.intervals
    show_run(load_tables(folder), intervals, offers_page=False)
    page = write_report(folder, context.cache, context.folders, intervals=intervals)[0]
    print(f"report: {page}", file=sys.stderr)
    if is_terminal() and any(os.environ.get(name) for name in SCREENS):
        import webbrowser

        webbrowser.open(page.as_uri())
    return code


VERB = Verb(
    name="demo",
    rank=5,
    summary="two minutes: a small table and its report, opened where there is a screen",
    call=call,
    description=(
        "Measures four rows on a fifth of the bundled images (experiment=demo), prints their table,\n"
        "writes the report and opens it in a browser, if this is a terminal with a display."
    ),
    first=("experiment=demo",),
    examples=(("", ""), ("method=[fp32_fused,int8_inc_mse]", "other rows")),
    measures=True,
)
