"""Write the tables of a run, derived from its records alone."""

from __future__ import annotations

from harness.files import whole_files
from harness.storage.store import RunFolder
from harness.table.csv_table import profiles_to_csv, sizes_to_csv, to_csv
from harness.table.loaded_run import load_run
from harness.table.markdown import to_markdown

MARKDOWN = "table.md"


def write_tables(folder: RunFolder, intervals: bool | None = None) -> str:
    """Write ``table.csv`` and ``table.md``, ``sizes.csv`` and ``kernels.csv``; return the Markdown.

    A row that the disk damaged says so and how to measure it again; the others are shown.

    Args:
        intervals: whether the Markdown shows them; None where the protocol has rounds.

    Raises:
        InputError: nothing was planned in this folder.
        HarnessError: the plan or the labels are damaged, or a record is of an unknown schema.
    """
    run = load_run(folder, damaged=True)
    if intervals is None:
        intervals = bool(run.plan.config.protocol.rounds)
    text = to_markdown(run, intervals)
    whole_files.write_atomically(folder.path / "table.csv", to_csv(run.rows))
    if run.sizes:
        whole_files.write_atomically(folder.path / "sizes.csv", sizes_to_csv(run.sizes))
    if run.profiles:
        whole_files.write_atomically(folder.path / "kernels.csv", profiles_to_csv(run.profiles))
    whole_files.write_atomically(folder.path / MARKDOWN, text)
    return text
