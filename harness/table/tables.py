"""Write the tables of a run, derived from its records alone."""

from __future__ import annotations

from harness.files import whole_files
from harness.storage.store import RunFolder
from harness.table.csv_table import profiles_to_csv, sizes_to_csv, to_csv
from harness.table.instances.split_tables import splits_to_csv
from harness.table.loaded_run import LoadedRun, load_run
from harness.table.markdown import to_markdown
from harness.table.served.served_tables import save_server_tables

MARKDOWN = "table.md"


def load_tables(folder: RunFolder) -> LoadedRun:
    """Return a run whose tables are to be shown.

    A row that the disk damaged says so and how to measure it again; the others are shown.

    Raises:
        InputError: nothing was planned in this folder.
        HarnessError: the plan or the labels are damaged, or a record is of an unknown schema.
    """
    return load_run(folder, damaged=True)


def has_intervals(run: LoadedRun, intervals: bool | None) -> bool:
    """Say whether tables show intervals: as asked, else where the protocol has rounds."""
    return bool(run.plan.config.protocol.rounds) if intervals is None else intervals


def write_tables(folder: RunFolder, intervals: bool | None = None) -> LoadedRun:
    """Write a run's tables, as ``save_tables``, and return the run.

    Raises:
        InputError: as ``load_tables``; a table cannot be written.
        HarnessError: as ``load_tables``.
    """
    run = load_tables(folder)
    save_tables(run, intervals)
    return run


def save_tables(run: LoadedRun, intervals: bool | None = None) -> None:
    """Write ``table.csv`` and ``table.md``, and the tables of what else was measured.

    That is ``sizes.csv``, ``instances.csv``, ``kernels.csv``, and the files of the server's rates.

    Args:
        intervals: whether the Markdown shows them; None where the protocol has rounds.

    Raises:
        InputError: a table cannot be written.
    """
    folder = run.folder
    text = to_markdown(run, has_intervals(run, intervals))
    whole_files.write_atomically(folder.path / "table.csv", to_csv(run.rows))
    if run.sizes:
        whole_files.write_atomically(folder.path / "sizes.csv", sizes_to_csv(run.sizes))
    if run.splits:
        whole_files.write_atomically(folder.path / "instances.csv", splits_to_csv(run.splits))
    if run.profiles:
        whole_files.write_atomically(folder.path / "kernels.csv", profiles_to_csv(run.profiles))
    save_server_tables(run)
    whole_files.write_atomically(folder.path / MARKDOWN, text)
