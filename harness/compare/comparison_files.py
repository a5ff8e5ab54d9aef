"""The files of a comparison: the page, figures, Markdown and CSV.

Importing this imports matplotlib: set MPLCONFIGDIR before.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from harness.compare.comparison import Comparison
from harness.compare.comparison_figures import draw_all
from harness.compare.comparison_text import (
    disagreements_to_csv,
    machines_to_csv,
    to_csv,
    to_markdown,
)
from harness.compare.html_comparison import to_html
from harness.compare.prices import Prices
from harness.compare.winners import winners
from harness.files.whole_files import write_atomically

PAGE = "comparison.html"
LONGEST_NAME = 120


def write_comparison(
    comparison: Comparison, prices: Prices, command: str, folder: Path
) -> list[Path]:
    """Write the files into a folder, and return their paths, the page first.

    Args:
        command: that makes the comparison again.

    Raises:
        InputError: the folder cannot be written.
    """
    answers, drawings = winners(comparison), draw_all(comparison)
    files: dict[str, str | bytes] = {
        PAGE: to_html(comparison, answers, drawings, prices.note, command),
        "comparison.md": to_markdown(comparison, answers, prices.note),
        "comparison.csv": to_csv(comparison),
        "disagreements.csv": disagreements_to_csv(comparison),
    }
    if comparison.is_pooled:
        files["machines.csv"] = machines_to_csv(comparison)
    for drawing in drawings:
        files |= drawing.files
    for name, content in files.items():
        write_atomically(folder / name, content)
    return [folder / name for name in files]


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
