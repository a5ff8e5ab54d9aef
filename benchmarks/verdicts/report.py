"""The figures as CSV and as Markdown, a table for each part."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from tabulate import tabulate

from benchmarks.verdicts.figures import Figure

CSV = ("part", "case", "rounds", "what", "value", "least", "most", "met", "repeats", "seed")


def to_csv(figures: Sequence[Figure]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV)
    for figure in figures:
        row = (getattr(figure, name) for name in CSV)
        writer.writerow(["" if value is None else value for value in row])
    return text.getvalue()


def from_csv(text: str) -> list[Figure]:
    """Return the figures that ``to_csv`` wrote."""
    return [
        Figure(
            part=row["part"],
            case=row["case"],
            rounds=int(row["rounds"]) if row["rounds"] else None,
            what=row["what"],
            value=float(row["value"]),
            least=_number(row["least"]),
            most=_number(row["most"]),
            repeats=int(row["repeats"]),
            seed=int(row["seed"]),
        )
        for row in csv.DictReader(io.StringIO(text))
    ]


def _number(text: str) -> float | None:
    return None if not text else int(text) if text.isdigit() else float(text)


def merged(before: Sequence[Figure], figures: Sequence[Figure]) -> list[Figure]:
    """Return figures, and those of before of the parts that were not measured, in the parts' order."""
    parts = dict.fromkeys(figure.part for figure in (*before, *figures))
    anew = {figure.part for figure in figures}
    return [
        figure
        for part in parts
        for figure in (figures if part in anew else before)
        if figure.part == part
    ]


def to_markdown(figures: Sequence[Figure]) -> str:
    """Return the report; what is not as wanted is bold."""
    counts = dict.fromkeys((f.seed, f"{f.part} {f.repeats}") for f in figures)
    seeds = " and ".join(str(seed) for seed in dict.fromkeys(seed for seed, _ in counts))
    listed = ", ".join(count for _, count in counts)
    parts = [
        "# Measured verdicts",
        f"Simulated with seed {seeds}; repeats of each case: {listed}.",
    ]
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
