"""A run as a page, tables and figures that a paper can take.

The one module of reports that may be imported before MPLCONFIGDIR is set.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.compare.pricing.price_file import PRICES, read_prices
from harness.errors import InputError
from harness.process.font_cache import keep_fonts_in
from harness.run.lifecycle import code_digest
from harness.storage.record import RECORD_FILES
from harness.storage.store import RunFolder
from harness.table.loaded_run import load_run


def write_report(
    folder: RunFolder,
    cache: Path,
    folders: Sequence[Path] = (),
    into: Path | None = None,
    prices: Path = PRICES,
    intervals: bool | None = None,
) -> list[Path]:
    """Write the report and return the paths of its files, the page first.

    Args:
        into: the folder to write; None: ``report`` in the run's.
        cache: where matplotlib may keep what it knows of fonts.
        folders: of ``--conf``, for the command that repeats the run.
        prices: the file of the price list, read where rows of several engines are compared.
        intervals: whether the tables show them; None where the protocol has rounds.

    Raises:
        InputError: the run has no row yet, the folder cannot be written, or the price list has a bad
            entry.
        HarnessError: a record, or another file that the report is made from, is damaged.
    """
    if not any(folder.path.glob(RECORD_FILES)):
        raise InputError(
            f"{folder.path} has no row to report yet: {folder.resuming} goes on with it"
        )
    run = load_run(folder)
    has_engines = any(method.engine for method in run.plan.methods.values())
    listed = read_prices(prices) if has_engines else None
    keep_fonts_in(cache)
    # imported here, since it imports matplotlib, which reads at import where it keeps fonts
    from harness.report.report_files import write_files

    conf = [str(path) for path in folders]
    return write_files(run, conf, code_digest(folders), into, listed, intervals)
