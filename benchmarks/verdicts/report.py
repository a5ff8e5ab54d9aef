"""The figures as CSV and as Markdown, a table for each part."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from tabulate import tabulate

from benchmarks.verdicts.figures import Figure

CSV = ("part", "case", "rounds", "what", "value", "least", "most", "met")


def to_csv(figures: Sequence[Figure]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV)
    for figure in figures:
        row = (getattr(figure, name) for name in CSV)
        writer.writerow(["" if value is None else value for value in row])
    return text.getvalue()


def to_markdown(figures: Sequence[Figure], about: str) -> str:
    """Return the report; what is not as wanted is bold.

    Args:
        about: how it was measured, a sentence.
    """
    parts = ["# Measured verdicts", about]
    for part in dict.fromkeys(figure.part for figure in figures):
        mine = [figure for figure in figures if figure.part == part]
        columns = list(dict.fromkeys(figure.what for figure in mine))
        cells = {(figure.case, figure.rounds, figure.what): shown(figure) for figure in mine}
        keys = dict.fromkeys((figure.case, figure.rounds) for figure in mine)
        rows = [
            [case, rounds or "", *(cells.get((case, rounds, what), "") for what in columns)]
            for case, rounds in keys
        ]
        table = tabulate(
            rows, ["case", "rounds", *columns], tablefmt="github", disable_numparse=True
        )
        limits = dict.fromkeys(limit(figure) for figure in mine if figure.met is not None)
        parts += [f"## {part}", f"Wanted: {'; '.join(limits)}. Bold is not as wanted.", table]
    return "\n\n".join(parts) + "\n"


def shown(figure: Figure) -> str:
    text = f"{figure.value:.2f}" if abs(figure.value) < 10 else f"{figure.value:.1f}"
    return f"**{text}**" if figure.met is False else text


def limit(figure: Figure) -> str:
    """Return what is wanted of a figure."""
    if figure.least is None:
        return f"{figure.what} at most {figure.most:.3g}"
    if figure.most is None:
        return f"{figure.what} at least {figure.least:.3g}"
    return f"{figure.what} {figure.least:.3g} to {figure.most:.3g}"
