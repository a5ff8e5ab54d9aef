"""A run's table on a terminal: as many of eight columns as its width has room for.

Above it stands what the table comes to, below it where the rest is and what changes a reading.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from harness.render.escape import one_line
from harness.render.terminal import console
from harness.screen.conclusion import conclude
from harness.screen.printing import WIDE, empty_table, is_terminal, wrapped
from harness.storage.outcomes import FINISHED
from harness.table.loaded_run import LoadedRun
from harness.table.markdown import to_markdown, with_interval
from harness.table.metrics import COST, SPEEDUP, THROUGHPUT, TOP1, TOP1_LOSS, VS_FUSED, Metric
from harness.table.notes.footnotes import decisive_notes
from harness.table.published.baselines import verdict
from harness.table.rows import Row
from harness.table.tables import MARKDOWN, has_intervals

NOTES = 5  # below the table; all of them stand in the files
LONGEST = 100  # columns of a sentence, where the terminal is wider
BEST, BAD, FAINT = "bold", "red", "italic"  # they show on a light and on a dark ground


@dataclass(frozen=True)
class Column:
    """A column of numbers.

    Attributes:
        title: its head.
        metric: what it shows.
        kept: the wider a terminal must be, the lower this is; columns with low numbers go first.
    """

    title: str
    metric: Metric
    kept: int


COLUMNS = (
    Column("top-1", TOP1, 3),
    Column("loss %", TOP1_LOSS, 4),
    Column("cost s", COST, 1),
    Column("images/s", THROUGHPUT, 0),
    Column("speedup", SPEEDUP, 2),
    Column("vs fused", VS_FUSED, 5),
)


def show_run(
    run: LoadedRun, intervals: bool | None, full: bool = False, offers_page: bool = True
) -> None:
    """Print a run on stdout: fitted to a terminal, else all of its Markdown.

    Args:
        intervals: as of ``print_run``.
        full: Markdown on a terminal, too.
        offers_page: say which command writes the report.
    """
    if is_terminal() and not full:
        print_run(run, intervals, offers_page=offers_page)
    else:
        print(to_markdown(run, has_intervals(run, intervals)), end="")


def print_run(
    run: LoadedRun,
    intervals: bool | None,
    to: Console | None = None,
    offers_page: bool = True,
) -> None:
    """Print a run's conclusion, table, files and notes.

    Args:
        intervals: whether 95 % intervals are shown where there is room; None where the protocol has
            rounds.
        to: the console; None: stdout's, which knows its width or takes that of COLUMNS.
        offers_page: as of ``show_run``.
    """
    to = to or console()
    best = conclude(run.plan, run.rows)
    sentences = min(to.width, LONGEST)
    to.print(Text(wrapped(one_line(best.sentence), sentences), BEST))
    to.print()
    to.print(fitted_table(run.rows, to.width, best.method, has_intervals(run, intervals)))
    to.print()
    for line in _below(run, offers_page, sentences):
        to.print(line, width=sentences)


def fitted_table(
    rows: Sequence[Row], width: int, best: str | None, intervals: bool = False
) -> Table:
    """Return the table of rows with the columns that fit.

    Args:
        width: of the terminal, in characters.
        best: the method of the row that is marked.
        intervals: show 95 % intervals if all columns fit with them.
    """
    order = sorted(COLUMNS, key=lambda column: column.kept)
    layouts: list[tuple[Sequence[Column], bool]] = [(COLUMNS, True)] if intervals else []
    layouts += [
        (tuple(column for column in COLUMNS if column not in order[:gone]), False)
        for gone in range(len(COLUMNS))
    ]
    for columns, shown in layouts:
        table = _table(rows, columns, best, shown)
        if WIDE.measure(table).maximum <= width:
            break
    return table


def _table(
    rows: Sequence[Row], columns: Sequence[Column], best: str | None, intervals: bool
) -> Table:
    table = empty_table()
    table.add_column("method", overflow="fold")
    for column in columns:
        table.add_column(column.title, justify="right", no_wrap=True)
    table.add_column("outcome", overflow="fold")
    for row in rows:
        cells = [_cell(row, column.metric, intervals) for column in columns]
        kind = _brief(row.outcome)
        table.add_row(
            Text(one_line(row.label)),
            *cells,
            Text(kind, "" if kind in FINISHED else BAD),
            style=BEST if row.method == best else "",
        )
    return table


def _cell(row: Row, metric: Metric, intervals: bool) -> str:
    interval = row.intervals.get(metric.name) if intervals else None
    return with_interval(metric, getattr(row, metric.name), interval)


def _brief(outcome: str) -> str:
    """Return the kind of an outcome; its reason stands below the table."""
    return one_line(outcome.partition(":")[0].partition(" in ")[0])


def _below(run: LoadedRun, offers_page: bool, width: int) -> Iterator[RenderableType]:
    """Yield what stands below the table: reasons, notes, and where the files are."""
    notes = [
        f"{row.label}: {row.outcome}" + (f" (log: {row.log})" if row.log else "")
        for row in run.rows
        if _brief(row.outcome) != row.outcome
    ]
    decisive = decisive_notes(run.plan, run.records, run.rounds, run.rows, run.folder.resuming)
    if run.speedups:
        decisive.append(verdict(run.speedups))
    for note in [*notes, *decisive[:NOTES]]:
        yield Text(wrapped(f"- {one_line(note)}", width))
    name = run.folder.address
    yield Text()
    yield Text(f"Files: {_near(run.folder.path)}/{MARKDOWN} and table.csv", FAINT)
    yield Text(f"Every column and note: ./run.sh table {name} full=true", FAINT)
    if offers_page:
        yield Text(f"A page with figures: ./run.sh report {name}", FAINT)


def _near(path: Path) -> str:
    """Return a path from the working directory, where it is below that."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
