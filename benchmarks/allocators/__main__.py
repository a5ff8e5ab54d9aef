"""Time the rows of a run under each allocator in turn, and print how much faster each is.

Every repeat is a whole run for each allocator, in an order that goes round: a machine that becomes
slower then speaks for none of them. Models are made once for each allocator and taken over by its later
runs. The words that follow the options are those of a run; without any it is the bundled workload.

Exit codes: 0 it ran, whatever was found; 2 the input is at fault; 3 a run failed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from benchmarks.arguments import positive
from harness import PROJECT
from harness.errors import HarnessError, InputError, exit_code
from harness.facts.machine_facts import ALLOCATORS, SYSTEM
from harness.host import machine
from harness.host.libraries.allocator import KEY, find_allocator
from harness.stats.speed import speedup
from harness.storage.store import RunFolder
from harness.table.loaded_run import LoadedRun, load_run
from harness.table.notes.condition_notes import policies_text

FEWEST = 2  # repeats that an interval needs
ROUNDS = ("protocol=careful", "protocol.rounds=1", "protocol.roof=false")  # repeats are the rounds
MB = 1e6


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="./run.sh benchmark allocators",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--repeats", type=positive, default=5, metavar="N", help="default: 5")
    parser.add_argument("--allocators", nargs="+", default=list(ALLOCATORS), metavar="NAME")
    parser.add_argument("--results", type=Path, metavar="DIR", help="keep the runs there")
    parser.add_argument("words", nargs="*", metavar="KEY=VALUE", help="of a run")
    options = parser.parse_args(arguments)
    try:
        if options.repeats < FEWEST:
            raise InputError(f"--repeats {options.repeats}: intervals need at least {FEWEST}")
        for name in options.allocators:
            find_allocator(name)
        with tempfile.TemporaryDirectory(prefix="allocators_") as scratch:
            results = (options.results or Path(scratch)).resolve()
            names = [SYSTEM, *options.allocators]
            print(to_markdown(measure(names, options.repeats, results, options.words)), end="")
    except (InputError, HarnessError) as error:
        return exit_code(error)
    return 0


def measure(
    names: Sequence[str], repeats: int, results: Path, words: Sequence[str]
) -> dict[str, list[LoadedRun]]:
    """Return the runs of each allocator, in the order of their repeats.

    Raises:
        HarnessError: a run failed.
    """
    runs: dict[str, list[LoadedRun]] = {name: [] for name in names}
    for repeat in range(repeats):
        first = repeat % len(names)
        for number in (*range(first, len(names)), *range(first)):
            name = names[number]
            known = runs[name]
            reused = [f"run.reuse_tuned={known[0].plan.run}"] if known else []
            run = f"allocator{number}-{repeat + 1}"
            command = [
                *(sys.executable, "-m", "harness", *ROUNDS, *words, *reused),
                *(f"{KEY}={name}", f"run.results={results}", f"run.id={run}"),
            ]
            print(f"repeat {repeat + 1} of {repeats}: {name}", file=sys.stderr, flush=True)
            ended = subprocess.run(command, cwd=PROJECT, stdout=subprocess.DEVNULL, check=False)
            if ended.returncode:
                raise HarnessError(f"{KEY}={name} ended with exit code {ended.returncode}")
            (plan,) = results.glob(f"*/{run}/plan.json")
            known.append(load_run(RunFolder(plan.parent)))
    return runs


def to_markdown(runs: dict[str, list[LoadedRun]]) -> str:
    """Return the rows: images/s with the C library's allocator, and the others' ratios to it."""
    first = runs[SYSTEM][0]
    here = machine.describe()
    others = [name for name in runs if name != SYSTEM]
    titles = ["Row", f"{SYSTEM}, images/s", *(f"{name}, times as fast" for name in others)]
    titles += [f"{name}, MB at most" for name in runs]
    lines = [
        f"{here.cpu_model}, {here.usable_cores} usable cores, kernel {here.kernel}; "
        f"{policies_text(here) or 'policies unknown'}; {len(runs[SYSTEM])} repeats; 95 % intervals of "
        "the typical repeat.",
        "",
        f"| {' | '.join(titles)} |",
        f"|{'---|' * len(titles)}",
    ]
    for row in first.rows:
        times = {name: _seconds_of_image(runs[name], row.method) for name in runs}
        if not all(times.values()):
            continue
        cells = [row.label, f"{1 / np.median(times[SYSTEM]):,.1f}"]
        for name in others:
            ratio = speedup(*(np.array(times[one])[:, None] for one in (SYSTEM, name)))
            cells.append(f"{ratio.estimate:.3f} [{ratio.low:.3f}, {ratio.high:.3f}]")
        cells += [f"{max(_memory(runs[name], row.method)) / MB:,.0f}" for name in runs]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _seconds_of_image(runs: Sequence[LoadedRun], method: str) -> list[float]:
    """Return the seconds of an image in each run; none unless all of them timed the row."""
    rates = [row.images_per_s for run in runs for row in run.rows if row.method == method]
    known = [1 / rate for rate in rates if rate]
    return known if len(known) == len(runs) else []


def _memory(runs: Sequence[LoadedRun], method: str) -> Iterator[int]:
    """Yield the most memory that the row's validation held at once, in each run."""
    for run in runs:
        for record in run.records:
            if record.method == method and record.validate:
                yield record.validate.peak_rss_bytes or 0


if __name__ == "__main__":
    sys.exit(main())
