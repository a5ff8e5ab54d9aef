"""``./run.sh benchmark soak [TRIALS]``: does a long INC search grow in memory, or on disk?

One row of INC's random strategy on the small network of ``tests/own``, in a run of its own in a
temporary folder. The process's memory is read from ``/proc`` before every trial.
"""

from __future__ import annotations

import csv
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.process.own_modules import python_command

PROJECT = Path(__file__).parents[1]
OWN = PROJECT / "tests" / "own"
TRIALS = 500
WARM_UP = 100  # trials until MXNet's memory pools and Python's arenas are as large as they get
ALLOWED_MB = 1.0  # of peak memory per 100 trials


@dataclass(frozen=True)
class Soak:
    """What a search left.

    Attributes:
        trials: how many it made.
        rss_mb, peak_mb: growth of the memory held, and of its peak, per 100 trials after the first
            ``WARM_UP``, by least squares.
        last_peak_mb: the peak before the last trial.
        kb: by file of the row's folder, its size.
    """

    trials: int
    rss_mb: float
    peak_mb: float
    last_peak_mb: float
    kb: dict[str, float]


def soak(trials: int, results: Path) -> Soak:
    """Tune for so many trials.

    Raises:
        RuntimeError: the run failed, or made fewer trials.
    """
    words = [
        "method=[int8_soak]",
        "baseline=int8_soak",
        "workload=tiny",
        "threads.count=1",
        "protocol.profile_batches=0",
        f"method.int8_soak.options.max_trials={trials}",
        f"run.results={results}",
        f"run.cache={results / 'cache'}",
        *("--conf", str(OWN)),
    ]
    command = python_command("harness", *words)
    ended = subprocess.run(command, cwd=PROJECT, stdout=subprocess.DEVNULL, check=False)
    (watched,) = results.glob("*/*/methods/int8_soak/memory.csv")
    if ended.returncode:
        raise RuntimeError(f"the run ended with exit code {ended.returncode}")
    with watched.open() as lines:
        rows = [{name: int(value) for name, value in row.items()} for row in csv.DictReader(lines)]
    # INC counts a configuration that it draws again, and does not evaluate it again
    if not 0.9 * trials <= len(rows) <= trials:
        raise RuntimeError(f"{len(rows)} of {trials} trials were made")
    files = {path.name: path.stat().st_size / 1e3 for path in watched.parent.iterdir()}
    return Soak(
        len(rows),
        slope([row["rss_kb"] for row in rows]),
        slope([row["peak_kb"] for row in rows]),
        rows[-1]["peak_kb"] / 1024,
        dict(sorted(files.items())),
    )


def slope(kb: list[int]) -> float:
    """Return the growth in MB per 100 trials, by least squares, after the warm-up."""
    warm = min(WARM_UP, len(kb) // 2)
    return float(np.polyfit(np.arange(len(kb))[warm:], kb[warm:], 1)[0]) * 100 / 1024


def main() -> int:
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else TRIALS
    with tempfile.TemporaryDirectory() as folder:
        found = soak(trials, Path(folder))
    print(f"{found.trials} trials, peak {found.last_peak_mb:.0f} MB")
    print(f"growth per 100 trials: {found.peak_mb:.2f} MB of the peak, {found.rss_mb:.2f} MB held")
    for name, kb in found.kb.items():
        print(f"{kb:10.1f} kB  {name}")
    return 0 if found.peak_mb < ALLOWED_MB else 1


if __name__ == "__main__":
    raise SystemExit(main())
