"""A comparison as one HTML page; nothing is computed."""

from __future__ import annotations

from collections.abc import Sequence

from harness import __version__
from harness.compare import comparison_tables as tables
from harness.compare.comparison import Comparison
from harness.compare.comparison_machines import machines
from harness.compare.comparison_notes import reading_notes
from harness.compare.grid import titles
from harness.compare.winners import Winner
from harness.render.drawing import Drawing
from harness.render.inline_figures import inline_figures
from harness.render.page import render


def to_html(
    comparison: Comparison,
    answers: Sequence[Winner],
    drawings: Sequence[Drawing],
    prices: str,
    command: str,
) -> str:
    """Return the page.

    Args:
        prices: where the prices are from (``Prices.note``).
        command: that makes the page again.
    """
    names = titles(comparison)
    facts, methods, pairs = (
        machines(comparison),
        tables.methods(comparison),
        tables.pairs(comparison),
    )
    rankings = tables.rankings(comparison)
    unlike = tables.settings_grid(comparison) if comparison.unlike else None
    contents = [
        *([(unlike.anchor, unlike.title)] if unlike else []),
        ("winners", "Winners"),
        *([("figures", "Figures")] if drawings else []),
        (facts.anchor, facts.title),
        *((grid.anchor, grid.title) for grid in methods),
        *((grid.anchor, grid.title) for grid in rankings),
        *([(pairs.anchor, pairs.title)] if pairs.rows else []),
        ("notes", "What to know"),
    ]
    return render(
        "comparison.html.j2",
        runs=comparison.runs,
        names=names,
        winners=answers,
        drawings=drawings,
        inline=inline_figures(drawings),
        unlike=unlike,
        forced=tables.FORCED,
        facts=facts,
        methods=methods,
        rankings=rankings,
        pairs=pairs if pairs.rows else None,
        listed=[tables.images(pair, names) for pair in comparison.disagreements if pair.index.size],
        notes=reading_notes(comparison, prices),
        contents=contents,
        command=command,
        harness=__version__,
    )
