"""A comparison as one HTML page; nothing is computed."""

from __future__ import annotations

from harness import __version__
from harness.compare import comparison_tables as tables
from harness.compare.comparison import Comparison
from harness.compare.comparison_machines import machines
from harness.compare.grid import titles
from harness.render.page import render


def to_html(comparison: Comparison, prices: str, command: str) -> str:
    """Return the page.

    Args:
        prices: where the prices are from (``Prices.note``).
        command: that makes the page again.
    """
    names = titles(comparison)
    facts, methods = machines(comparison), tables.methods(comparison)
    pairs = tables.pairs(comparison) if comparison.disagreements else None
    unlike = tables.settings_grid(comparison) if comparison.unlike else None
    shown = [grid for grid in (unlike, facts, *methods, pairs) if grid is not None]
    return render(
        "comparison.html.j2",
        runs=comparison.runs,
        names=names,
        unlike=unlike,
        forced=tables.FORCED,
        facts=facts,
        methods=methods,
        pairs=pairs,
        listed=[tables.images(pair, names) for pair in comparison.disagreements if pair.index.size],
        notes=tables.reading_notes(comparison, prices),
        contents=[*((grid.anchor, grid.title) for grid in shown), ("notes", "What to know")],
        command=command,
        harness=__version__,
    )
