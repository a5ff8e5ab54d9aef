"""A comparison in a few lines, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.compare.comparison import Comparison
from harness.compare.grid import titles
from harness.compare.winners import Winner

SHOWN = 4  # machines or settings by name; the files have all


def summary(comparison: Comparison, answers: Sequence[Winner], files: Sequence[Path]) -> str:
    """Return who wins what, where predictions differ, and where all of it is.

    These are at most ten lines, one more each where rows are missing or were disturbed and where types
    of machines are ranked, and two where rates of queries were searched.
    """
    page = files[0]
    named = ", ".join(_short(titles(comparison), SHOWN))
    lines = [f"{len(comparison.lines)} methods on {named}"]
    if comparison.unlike:
        count = len(comparison.unlike)
        differ = "1 setting differs" if count == 1 else f"{count} settings differ"
        keys = ", ".join(_short([one.key for one in comparison.unlike], SHOWN))
        lines[0] += f"; not measured alike, {differ} (--force): {keys}"
    cautions = _cautions(comparison)
    if cautions:
        lines.append(f"Read with care: {'; '.join(_short(cautions, SHOWN))}")
    for one in answers:
        value = f", {one.value}" if one.value else ""
        lines.append(f"{one.question.title}: {one.answer}{value}")
        if one.next:
            lines.append(f"  next: {one.next}")
    if comparison.ranked:
        lines.append(_rankings(comparison))
    lines.append(_predictions(comparison))
    beside = f"and beside it tables and figures ({len(files) - 1} files)"
    return "\n".join([*lines, f"{page}", beside, ""])


def _cautions(comparison: Comparison) -> list[str]:
    """Return what the numbers of a run suffer from, one phrase for each such run."""
    cautions = []
    for name, column in zip(titles(comparison), comparison.columns):
        missing = len({method for run in column.runs for method in run.missing})
        disturbed = len({label for run in column.runs for label in run.disturbed})
        parts = [
            f"{missing} {_rows(missing)} missing" if missing else "",
            f"{disturbed} {_rows(disturbed)} disturbed" if disturbed else "",
        ]
        if any(parts):
            cautions.append(f"{name} has {' and '.join(filter(None, parts))}")
    return cautions


def _rankings(comparison: Comparison) -> str:
    """Return how many of the differences between types hold."""
    pairs = [pair for one in comparison.ranked for pair in one.speed]
    held = sum(pair.holds for pair in pairs)
    return (
        f"Between types: {held} of {len(pairs)} differences in images/s hold, adjusted for the pairs of "
        "each row"
    )


def _rows(count: int) -> str:
    return "row" if count == 1 else "rows"


def _short(names: Sequence[str], most: int) -> list[str]:
    more = len(names) - most
    return [*names[:most], f"{more} more"] if more > 0 else list(names)


def _predictions(comparison: Comparison) -> str:
    pairs = [pair for pair in comparison.disagreements if not pair.left_out]
    differing = [pair for pair in pairs if len(pair.index)]
    if not pairs:
        return "Predictions: no two runs validated the same images by the same method"
    if not differing:
        return "Predictions: the same for every image, method by method"
    names = titles(comparison)
    worst = max(differing, key=lambda pair: len(pair.index) / pair.images)
    methods = len({pair.method for pair in differing})
    return (
        f"Predictions: {methods} of {len({pair.method for pair in pairs})} methods differ, most "
        f"{worst.name}: {len(worst.index)} of {worst.images} images between {names[worst.first]} "
        f"and {names[worst.second]}"
    )
