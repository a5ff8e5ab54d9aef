"""Measure in simulations how often intervals and verdicts are right, and write the figures.

Figures of parts that are not measured stay as they are in the folder.

Exit codes: 0 it ran, whatever was measured.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.verdicts import (
    confirmation,
    coverage,
    detection,
    detectors,
    false_regressions,
    machine_types,
    shift_search,
)
from benchmarks.verdicts.figures import Figure
from benchmarks.verdicts.report import from_csv, merged, to_csv, to_markdown
from harness import PROJECT
from harness.files import whole_files

OUT = PROJECT / "docs" / "verdicts"

# A part yields its figures: measured(repeats, seed).
PARTS: dict[str, tuple[Callable[[int, int], Iterator[Figure]], int, int]] = {
    # name: what measures it, and its repeats with --quick and without
    "intervals": (coverage.measured, 600, 6000),
    "machines": (machine_types.measured, 300, 2000),
    "confirmation": (confirmation.measured, 100, 1500),
    "shifts": (shift_search.measured, 40, 300),
    "detectors": (detectors.measured, 1, 4),
    "years": (false_regressions.measured, 12, 2 * false_regressions.NIGHTS),
    "judging": (false_regressions.time_of_judging, 40, 400),
    "detection": (detection.measured, 1, 26),
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="./run.sh benchmark verdicts",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="fewer repeats: under a minute")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="default: 1")
    parser.add_argument("--out", type=Path, metavar="DIR", help=f"default: {OUT.name} of docs/")
    options = parser.parse_args(arguments)
    figures: list[Figure] = []
    for name in options.parts:
        measured, few, many = PARTS[name]
        count = few if options.quick else many
        began = time.monotonic()
        figures += (
            replace(figure, repeats=count, seed=options.seed)
            for figure in measured(count, options.seed)
        )
        print(f"{name}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    out = options.out or OUT
    out.mkdir(parents=True, exist_ok=True)
    table = out / "verdicts.csv"
    if table.is_file():
        figures = merged(from_csv(table.read_text()), figures)
    text = to_markdown(figures)
    whole_files.write_atomically(table, to_csv(figures))
    whole_files.write_atomically(out / "verdicts.md", text)
    print(text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
