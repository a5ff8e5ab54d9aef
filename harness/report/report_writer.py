"""A run as a page, tables and figures that a paper can take.

The one module of reports that may be imported before MPLCONFIGDIR is set.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.errors import InputError
from harness.process.font_cache import keep_fonts_in
from harness.run.lifecycle import code_digest
from harness.storage.record import RECORDS
from harness.storage.store import RunFolder
from harness.table.loaded_run import load_run


def write_report(
    folder: RunFolder, cache: Path, folders: Sequence[Path] = (), into: Path | None = None
) -> list[Path]:
    """Write the report and return the paths of its files, the page first.

    Args:
        into: the folder to write; None: ``report`` in the run's.
        cache: where matplotlib may keep what it knows of fonts.
        folders: of ``--conf``, for the command that repeats the run.

    Raises:
        InputError: the run has no row yet, or the folder cannot be written.
        HarnessError: a record, or another file that the report is made from, is damaged.
    """
    if not any((folder.path / RECORDS).glob("[0-9]*.json")):
        raise InputError(
            f"{folder.path} has no row to report yet: {folder.resuming} goes on with it"
        )
    run = load_run(folder)
    keep_fonts_in(cache)
    # imported here, since it imports matplotlib, which reads at import where it keeps fonts
    from harness.report.report_files import write_files

    return write_files(run, [str(path) for path in folders], code_digest(folders), into)
