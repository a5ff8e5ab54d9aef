"""Measure sixty real nights of the bundled workload, with changes that are known.

    ./run.sh benchmark nights FOLDER [--nights N] [--units FULL SMART] [--bias X] [--calibrate]

FOLDER gets a clone of this checkout, in which commits are made between nights, another environment, and
``results/``; ``kept/`` has the page and the history alone. A night is that of ``./run.sh nightly`` on two
rows, in rounds so short that one takes half a minute of a CPU. Started again, it goes on with the first
night that is not there.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from benchmarks.arguments import positive
from benchmarks.nights.calibration import slowdowns
from benchmarks.nights.scenario import NATIVE, NIGHTS, ROWS, Step, steps
from harness import PROJECT
from harness.nightly.memory.database import NAME
from harness.nightly.page.trend_page import write_pages

MACHINE = "example"
KEPT = "kept"
UNITS = (138, 117)  # about 6 % on an AMD EPYC with AVX2 alone, by --calibrate
WORDS = (
    f"method=[{','.join(ROWS)}]",
    "baseline=int8_full_naive",
    "fused=int8_smart_naive",
    "workload.images=1024",
    "threads.count=1",
    "protocol.rounds=5",
    "protocol.batches=12",
    "protocol.warmup_s=1",
    "protocol.reruns=0",
    "protocol.roof=false",
    "protocol.profile_batches=0",
    "nightly.trust_disturbed=true",  # a shared machine is never quiet
)
LOCK = Path("requirements", "run.lock")
AUTHOR = ("-c", "user.name=Nights", "-c", "user.email=nights@example.org")


def main(words: list[str]) -> int:
    """Measure the nights that are not there yet and write the page."""
    parser = argparse.ArgumentParser(prog="./run.sh benchmark nights")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--nights", type=positive, default=NIGHTS)
    parser.add_argument(
        "--units",
        type=positive,
        nargs=2,
        default=UNITS,
        metavar=("FULL", "SMART"),
        help="of the layers that take about 6 %% more time here",
    )
    parser.add_argument("--bias", type=float, default=3.0, help="of the less accurate row")
    parser.add_argument("--calibrate", action="store_true", help="time units, measure no night")
    asked = parser.parse_args(words)
    if asked.calibrate:
        for mode, units, ratio in slowdowns():
            print(f"{mode}, {units} units: {100 * (ratio - 1):+.1f} %")
        return 0
    nights = Nights(asked.folder.resolve())
    planned = steps(dict(zip(("full", "smart"), asked.units)), asked.bias)
    for number in range(1, asked.nights + 1):
        if nights.has(number):
            continue
        if number in planned:
            nights.prepare(planned[number], number)
        nights.measure(number)
    nights.keep(asked.folder.resolve() / KEPT)
    return 0


class Nights:
    """A checkout of its own, its environment, and the nights that it measures."""

    def __init__(self, folder: Path) -> None:
        self.checkout, self.results = folder / "checkout", folder / "results"
        self.log = folder / "nights.log"
        self.other = folder / "environment"  # that of after the lock was changed
        if not self.checkout.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            subprocess.run(["git", "clone", "-q", PROJECT, self.checkout], check=True)
        self.original = (PROJECT / NATIVE).read_text(encoding="utf-8")

    def has(self, number: int) -> bool:
        return any(self.results.glob(f"*/{_run(number)}/nightly.json"))

    def prepare(self, step: Step, number: int) -> None:
        """Do what happens before a night, and commit what is in files.

        Args:
            number: of that night.
        """
        if step.acknowledge is not None:
            method, reason = step.acknowledge
            self.harness(
                *("acknowledge", f"run={_run(number - 1)}", f"method={method}"),
                *("metric=all", f"reason={reason}"),
            )
            return
        if step.code is not None:
            worse = step.code.units or step.code.bias
            source = step.code.patched(self.original) if worse else self.original
            (self.checkout / NATIVE).write_text(source, encoding="utf-8")
        if step.note:
            with (self.checkout / "README.md").open("a", encoding="utf-8") as readme:
                readme.write(f"\n{step.note}\n")
        if step.lock:
            self._change_lock(step)
        self._git("commit", "-qam", step.message)

    def measure(self, number: int) -> None:
        code = self.harness("nightly", f"run.id={_run(number)}", *WORDS)
        print(f"night {number}: exit code {code}", flush=True)

    def keep(self, folder: Path) -> None:
        """Write the page and the history alone, which is what an example needs.

        Without the runs' folders beside it, the page has no links to them.
        """
        folder.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(self.results / NAME)) as history:
            (folder / NAME).unlink(missing_ok=True)
            history.execute("VACUUM INTO ?", (str(folder / NAME),))
        for path in write_pages(folder):
            print(path)

    def harness(self, *words: str) -> int:
        """Run a verb of the checkout's harness, and return its exit code."""
        python = self.other / "bin" / "python"
        used = str(python) if self._is_changed() else sys.executable
        places = [f"run.results={self.results}"]
        if words[0] == "nightly":
            places.append(f"machine={MACHINE}")
        with self.log.open("a", encoding="utf-8") as log:
            return subprocess.run(
                [used, "-m", "harness", *words, *places], cwd=self.checkout, stdout=log, stderr=log
            ).returncode

    def _is_changed(self) -> bool:
        return (self.checkout / LOCK).read_bytes() != (PROJECT / LOCK).read_bytes()

    def _change_lock(self, step: Step) -> None:
        """Change packages in the lock file, and in a copy of this environment."""
        path = self.checkout / LOCK
        text = path.read_text(encoding="utf-8")
        for name, version in step.lock.items():
            text = re.sub(rf"^{name}==\S+", f"{name}=={version}", text, flags=re.MULTILINE)
        path.write_text(text, encoding="utf-8")
        if not self.other.is_dir():
            shutil.copytree(
                Path(sys.prefix).resolve(), self.other, symlinks=True, copy_function=os.link
            )
        pins = [f"{name}=={version}" for name, version in step.lock.items()]
        install = ["-m", "pip", "install", "-q", "--no-deps", *pins]
        subprocess.run([self.other / "bin" / "python", *install], check=True)

    def _git(self, *words: str) -> None:
        subprocess.run(["git", "-C", self.checkout, *AUTHOR, *words], check=True)


def _run(number: int) -> str:
    return f"night-{number:02d}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
