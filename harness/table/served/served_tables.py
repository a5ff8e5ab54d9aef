"""The rates that were found, as CSV and Markdown beside the run's other tables."""

from __future__ import annotations

from collections.abc import Sequence

from harness.files.whole_files import write_atomically
from harness.render.escape import markdown_cell
from harness.render.markdown_table import markdown_table
from harness.storage.configuration import Server
from harness.storage.outcomes import OK
from harness.table.csv_table import csv_text
from harness.table.loaded_run import LoadedRun
from harness.table.served.rates import NO_RATE, PERCENTILES, ServedRow

CSV, TRIALS, MARKDOWN = "server.csv", "server_trials.csv", "server.md"
HEADERS = (
    "Method",
    "Split",
    "Queries/s",
    *(f"p{percent} ms" for percent in PERCENTILES),
    "Shown queries/s",
    "Mean batch",
    "Trials",
    "Search s",
    "Disturbed trials",
    "Outcome",
)


def cells(row: ServedRow) -> list[str]:
    """Return a row of the table as texts, by ``HEADERS``; what is not there is a dash."""
    found = row.found
    latencies = found.percentiles if found and found.percentiles else [None] * len(PERCENTILES)
    seconds = sum(trial.seconds for trial in row.trials)
    return [
        row.label,
        row.split,
        _shown(row.highest),
        *map(_shown, latencies),
        _shown(row.shown),
        _shown(found.mean_batch if found else None),
        str(len(row.trials)),
        f"{seconds:.0f}",
        str(row.disturbed),
        row.reason or (OK if row.highest else NO_RATE),
    ]


def about(server: Server) -> str:
    """Return what the numbers of the table are, in a paragraph."""
    together = "one at a time"
    if server.batch > 1:
        together = (
            f"in batches of at most {server.batch}, begun at most {server.delay_ms:g} ms late"
        )
    return (
        f"Queries of one image arrive at random (a Poisson process, seed {server.seed}) and are "
        f"answered {together}. Queries/s is the highest rate at which the 99th percentile of the "
        f"time from arrival to answer was at most {server.latency_ms:g} ms, within "
        f"{100 * server.precision:g} %; the percentiles are those of its trial. Shown queries/s is "
        "the highest rate that passed MLPerf's early stopping: there the percentile is below the "
        f"target with 99 % confidence. A trial has at least {server.queries} queries and "
        f"{server.duration_s:g} s."
    )


def to_markdown(rows: Sequence[ServedRow], server: Server) -> str:
    """Return the table of rates with what its numbers are."""
    align = ["left", "left", *["right"] * (len(HEADERS) - 3), "left"]
    table = markdown_table(HEADERS, [cells(row) for row in rows], align)
    return f"# Queries that arrive at random\n\n{markdown_cell(about(server))}\n\n{table}\n"


def to_csv(rows: Sequence[ServedRow]) -> str:
    """Return the table of rates."""
    names = ("queries_per_s", *(f"p{percent}_ms" for percent in PERCENTILES))
    header = (
        *("method", "split", *names, "shown_queries_per_s", "mean_batch"),
        *("trials", "search_s", "disturbed_trials", "outcome"),
    )
    blank = {"-": ""}
    return csv_text(header, ([blank.get(cell, cell) for cell in cells(row)] for row in rows))


def trials_to_csv(rows: Sequence[ServedRow]) -> str:
    """Return every trial in its order; one that ended early has no percentiles."""
    header = (
        *("method", "split", "trial", "queries_per_s", "queries", "answered", "late", "allowed"),
        *("passed", *(f"p{percent}_ms" for percent in PERCENTILES), "mean_batch", "seconds"),
    )
    body = []
    for row in rows:
        for number, trial in enumerate(row.trials, 1):
            latencies = trial.percentiles or [None] * len(PERCENTILES)
            shown = ("" if value is None else f"{value:.3f}" for value in latencies)
            counts = (trial.queries, trial.answered, trial.late, trial.allowed)
            passed = "yes" if trial.passed else "no"
            last = (f"{trial.mean_batch:.2f}", f"{trial.seconds:.1f}")
            body.append(
                [row.label, row.split, number, f"{trial.rate:.2f}", *counts, passed, *shown, *last]
            )
    return csv_text(header, body)


def save_server_tables(run: LoadedRun) -> None:
    """Write the tables of the rates that were found, if there are any.

    Raises:
        InputError: a table cannot be written.
    """
    server, rows = run.plan.config.protocol.server, run.served
    if server is not None and rows:
        path = run.folder.path
        write_atomically(path / CSV, to_csv(rows))
        write_atomically(path / TRIALS, trials_to_csv(rows))
        write_atomically(path / MARKDOWN, to_markdown(rows, server))


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
