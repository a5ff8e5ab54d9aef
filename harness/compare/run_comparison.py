"""Runs beside each other, methods by machines: loaded, compared and written."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.compare.compared_run import check_alike, check_poolable, load_compared_runs
from harness.compare.comparison import compare
from harness.compare.pricing.price_file import PRICES, read_prices
from harness.compare.pricing.prices import parse_price
from harness.compare.summary import summary
from harness.compare.winners import winners
from harness.errors import InputError
from harness.facts.faults import PLAIN_NAME, is_name
from harness.process.font_cache import keep_fonts_in

FOLDER = "comparisons"


@dataclass(frozen=True)
class Request:
    """The runs to compare, and how.

    Attributes:
        runs: RUN or MACHINE/RUN; the others are relative to the first.
        command: the words of a command line that compares the same.
        force: compare runs that were not measured alike, and say so first.
        apart: show every run as a column of its own, on machines of one type too.
        prices: the file of the price list.
        own: prices per hour by machine's folder, which go before the list's.
        name: of the folder under ``results/comparisons/``; None makes one of the runs' names.
    """

    runs: tuple[str, ...]
    command: tuple[str, ...]
    force: bool = False
    apart: bool = False
    prices: Path = PRICES
    own: Mapping[str, float] = field(default_factory=dict)
    name: str | None = None

    def __post_init__(self) -> None:
        """Check the number of runs and the name.

        Raises:
            InputError: fewer than two runs are named, or the name is no plain one.
        """
        if self.name is not None and not is_name(self.name):
            raise InputError(f"name={self.name}: use {PLAIN_NAME}")
        if len(self.runs) < 2:
            raise InputError("name two runs or more: ./run.sh compare RUN RUN")


def compare_runs(request: Request, results: Path, cache: Path) -> str:
    """Compare runs, write the page, figures, Markdown and CSV, and return a summary of ten lines.

    Args:
        cache: where matplotlib may keep what it knows of fonts.

    Raises:
        InputError: a run is not there, is named twice, or was not measured like another and this is
            not forced; the price list has a bad entry.
        HarnessError: a record or a file of predictions is damaged.
    """
    prices = read_prices(request.prices)
    runs = load_compared_runs(results, request.runs, prices, request.own)
    if not request.force:
        check_alike(runs, request.runs)
        if not request.apart:
            check_poolable(runs)
    keep_fonts_in(cache)
    # imported here, since it imports matplotlib, which reads at import where it keeps fonts
    from harness.compare.comparison_files import default_name, write_comparison

    comparison = compare(runs, pool=not request.apart)
    folder = results / FOLDER / (request.name or default_name(comparison))
    command = shlex.join(["./run.sh", "compare", *request.command])
    files = write_comparison(comparison, prices, command, folder)
    return summary(comparison, winners(comparison), files)


def own_price(key: str, text: str) -> float:
    """Return a price per hour that is typed as ``price.MACHINE=N``.

    Raises:
        InputError: it is no number above 0.
    """
    try:
        return parse_price(float(text), key)
    except ValueError:
        raise InputError(f"{key}={text}: give a price per hour, a number above 0") from None
