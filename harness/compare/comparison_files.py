"""The files of a comparison: the page, figures, Markdown and CSV.

Importing this imports matplotlib: set MPLCONFIGDIR before.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from harness.compare.comparison import Comparison
from harness.compare.comparison_figures import FILES, draw_all
from harness.compare.comparison_text import (
    disagreements_to_csv,
    machines_to_csv,
    to_csv,
    to_markdown,
)
from harness.compare.html_comparison import to_html
from harness.compare.pricing.prices import Prices
from harness.compare.winners import winners
from harness.files.whole_files import unwritable, write_atomically

PAGE, TEXT, TABLE = "comparison.html", "comparison.md", "comparison.csv"
DISAGREEMENTS, MACHINES = "disagreements.csv", "machines.csv"
KNOWN = (PAGE, TEXT, TABLE, DISAGREEMENTS, MACHINES, *FILES)  # all that a comparison may have
LONGEST_NAME = 120


def write_comparison(
    comparison: Comparison, prices: Prices, command: str, folder: Path
) -> list[Path]:
    """Write the files into a folder, and return their paths, the page first.

    Files of an earlier comparison that this one does not have are deleted.

    Args:
        command: that makes the comparison again.

    Raises:
        InputError: the folder cannot be written.
    """
    answers, drawings = winners(comparison), draw_all(comparison)
    files: dict[str, str | bytes] = {
        PAGE: to_html(comparison, answers, drawings, prices.note, command),
        TEXT: to_markdown(comparison, answers, prices.note),
        TABLE: to_csv(comparison),
        DISAGREEMENTS: disagreements_to_csv(comparison),
    }
    if comparison.is_pooled:
        files[MACHINES] = machines_to_csv(comparison)
    for drawing in drawings:
        files |= drawing.files
    for name, content in files.items():
        write_atomically(folder / name, content)
    for name in KNOWN:
        if name not in files:
            _delete(folder / name)
    return [folder / name for name in files]


def _delete(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise unwritable(path, error, "run.results") from None


def default_name(comparison: Comparison) -> str:
    """Return a name for the folder of a comparison, made of its runs' names."""
    runs = [run.plan.run for run in comparison.runs]
    if len(set(runs)) < len(runs):
        runs = [f"{run.machine}.{run.plan.run}" for run in comparison.runs]
    name = "_".join(runs)
    if len(name) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{runs[0][:80]}_and_{len(runs) - 1}_more_{digest}"
