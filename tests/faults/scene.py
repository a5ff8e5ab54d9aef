"""One run that a fault is done to: what it was before, what must be left of it, and its resumption."""

from __future__ import annotations

import contextlib
import csv
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from harness import PROJECT
from harness.storage.store import RunFolder
from helpers.command_line import ONE_THREAD, OWN, CommandLine, Ended, Started, no_stray, until

CONF = ("--conf", str(OWN))
WORKLOAD = ("workload=tiny", *ONE_THREAD, "method=[fp32,mine]")
PROTOCOL = ("protocol=quick", "protocol.rounds=1", "protocol.warmup_s=0.2", "protocol.roof=true")
ROW = "mine"  # the faults are done to this one; the other is finished
SAME = ("method", "top1", "top5", "top1_rel_loss_pct", "top5_rel_loss_pct", "rounds", "images")
GATE = Path(__file__).with_name("gate.py")
KEPT = ("records/*.json", "rounds/*.json", "roof.json", "methods/*/predictions.npz",
        "methods/*/model-*", "methods/*/optimize.json")  # fmt: skip


@dataclass(frozen=True)
class Base:
    """A finished run, to be copied: its results, its cache and its table without times."""

    results: Path
    cache: Path
    night: bool

    @classmethod
    def made(cls, place: Path, *, night: bool = False, roof: bool = True) -> Base:
        cli = CommandLine(place / "results", place / "cache")
        more = () if roof and not night else ("protocol.roof=false",)
        more += ("protocol.rounds=5",) * night
        ended = cli(*(("nightly",) * night), *WORKLOAD, *PROTOCOL, *more, *CONF)
        assert ended.code == 0, ended.err
        return cls(cli.results, cli.cache, night)


@dataclass
class Scene:
    """A copy of a finished run, some of it taken away so that the run has that to do again."""

    base: Base
    place: Path
    lost: int = 0
    said: str = ""
    kept: dict[Path, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("results", "cache"):
            shutil.copytree(getattr(self.base, name), self.place / name, symlinks=True)
        self.cli = CommandLine(self.place / "results", self.place / "cache")
        (plan,) = self.cli.results.glob("*/*/plan.json")
        self.folder = RunFolder(plan.parent)
        self.table = self.as_measured()
        self.verb = ("nightly",) if self.base.night else ()

    @property
    def words(self) -> tuple[str, ...]:
        return (*self.verb, f"run.id={self.folder.id}", *CONF)

    def without(self, *patterns: str) -> Scene:
        """Take files away; what is left of the measurements must outlive the fault."""
        for pattern in patterns:
            for path in self.cli_glob(pattern):
                path.unlink()
        self.keep()
        return self

    def cli_glob(self, pattern: str) -> list[Path]:
        """Return files of the run, of the cache (``cache/...``) or of the results (``../...``)."""
        if pattern.startswith("cache/"):
            return list(self.place.glob(pattern))
        if pattern.startswith("../"):
            return list(self.cli.results.glob(pattern[3:]))
        return list(self.folder.path.glob(pattern))

    def unprofiled(self) -> Scene:
        """Make the row's record that of a run which was interrupted before profiling it."""
        path = self.folder.path / f"records/01_{ROW}.json"
        record = json.loads(path.read_text())
        record["profile"], record["outcome"]["kind"] = None, "interrupted"
        path.write_text(json.dumps(record, indent=1) + "\n")
        return self.without("rounds/001_mine_1.json", f"records/01_{ROW}.json")

    def keep(self) -> None:
        self.kept = {
            path: path.read_bytes() for pattern in KEPT for path in self.folder.path.glob(pattern)
        }

    def as_measured(self) -> list[list[str]]:
        """Return the table without times."""
        with (self.folder.path / "table.csv").open() as lines:
            return [[row[name] for name in (*SAME, "outcome")] for row in csv.DictReader(lines)]

    # --- doing a fault

    def start(self, *words: str) -> Started:
        return self.cli.start(*self.words, *words)

    def gated(self, point: str, number: str, *words: str) -> Ended:
        """Run with a fault at a point in the parent."""
        words = (*(words or self.words),)
        process = subprocess.Popen(
            [sys.executable, str(GATE), point, number, *words, *self.cli.places(words)],
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
        )
        self.cli.started.append(Started(process, self.cli.results))
        return self.cli.started[-1].end()

    def ended(self, ended: Ended, code: int | Sequence[int], *said: str) -> None:
        """Check how the faulted command ended and what it said."""
        codes = [code] if isinstance(code, int) else code
        assert ended.code in codes, f"exit code {ended.code}, not {codes}: {ended.err}"
        assert "Traceback" not in ended.err, ended.err
        for text in said:
            assert text in ended.err, f"{text!r} is not in: {ended.err}"
        self.said = (ended.err.splitlines() or [""])[-1]
        no_stray(self.place)
        for lock in [*self.place.rglob("*.lock"), *self.place.rglob(".lock")]:
            with lock.open("r+") as handle:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises if it is held
        self.count_lost(self.facts)

    @staticmethod
    def facts(content: bytes) -> Any:
        """A row whose model fails in a round has that as its outcome; the facts must stay."""
        with_outcome = content.startswith(b"{")
        return {**json.loads(content), "outcome": None} if with_outcome else content

    def count_lost(self, part: Any = bytes) -> None:
        lost = [
            path
            for path, before in self.kept.items()
            if not path.is_file() or part(path.read_bytes()) != part(before)
        ]
        self.lost = max(self.lost, len(lost))
        assert not lost, f"lost: {lost}"

    def resumes(self, *words: str) -> Ended:
        """Continue the run: nothing kept is touched, the table is as it was, nothing is left over."""
        ended = self.cli(*self.words, *words)
        assert ended.code == 0, f"the resumption ended with {ended.code}: {ended.err}"
        self.count_lost()
        assert self.as_measured() == self.table
        left = [path for path in self.place.rglob("*.part")]
        assert not left, f"left over: {left}"
        no_stray(self.place)
        return ended


def stopped_worker(started: Started, doing: str) -> psutil.Process:
    """Wait until MXNet is loaded in the worker that does this, and stop it there."""
    started.says(doing)
    worker = started.worker()

    def loaded() -> bool:
        return "libmxnet" in Path(f"/proc/{worker.pid}/maps").read_text()

    until(loaded, "MXNet in the worker")
    worker.suspend()
    return worker


def signalled(worker: psutil.Process, name: str) -> None:
    worker.send_signal(getattr(signal, name))
    time.sleep(0.05)
    with contextlib.suppress(psutil.NoSuchProcess):
        worker.resume()


def short_of_memory(worker: psutil.Process) -> None:
    """Let the worker have no more address space than it has, but for a little."""
    limit = worker.memory_info().vms + (4 << 20)
    worker.rlimit(psutil.RLIMIT_AS, (limit, limit))
    worker.resume()
