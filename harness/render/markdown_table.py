"""A table in Markdown; nothing in a cell adds a cell or a row."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from harness.render.escape import markdown_cell


def markdown_table(
    headers: Sequence[str], body: Sequence[Sequence[str]], align: Sequence[str] | None = None
) -> str:
    """Return the table.

    Args:
        align: ``left`` or ``right`` of each column; None: all left.
    """
    rows = [[markdown_cell(cell) for cell in row] for row in (headers, *body)]
    return str(
        tabulate(
            rows[1:],
            rows[0],
            tablefmt="pipe",
            colalign=align if body else None,
            disable_numparse=True,
        )
    )
