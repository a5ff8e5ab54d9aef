"""The fuzz campaign: each target in a process of its own, with a limit of time and memory.

./run.sh test-fuzz                     the whole of it, more than 100,000 inputs
./run.sh test-fuzz inputs=200          at most so many a target
./run.sh test-fuzz target=weights      one target; seed=N another campaign
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

from tabulate import tabulate

from harness import PROJECT
from harness.errors import HarnessError, InputError

from .mutations import changed_bytes, changed_json
from .targets import BY_NAME, TARGETS, Target

TESTS = Path(__file__).resolve().parent.parent
KNOWN = TESTS / "data" / "fuzz"  # inputs that once failed, by target
HANG_S = 300.0  # no input takes a second on a machine that does nothing else
MEMORY_BYTES = 3 << 30
LAST = "last.input"
QUIET = {"MXNET_ENGINE_TYPE": "NaiveEngine", "OMP_NUM_THREADS": "1", "OPENCV_FOR_THREADS_NUM": "1"}


class Hang(BaseException):
    """Passes through every ``except Exception``."""


@dataclass
class Result:
    """What became of a target's inputs; ``findings`` are a digest and what happened."""

    target: str
    tried: int = 0
    read: int = 0
    refused: int = 0
    tracebacks: int = 0
    hangs: int = 0
    crashes: int = 0
    peak_mb: int = 0
    seconds: float = 0.0
    findings: list[list[str]] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return not (self.tracebacks or self.hangs or self.crashes)


def known_inputs(target: Target) -> list[bytes]:
    """Return what once failed."""
    return [path.read_bytes() for path in sorted((KNOWN / target.name).glob("*"))]


def try_target(
    target: Target, inputs: int, seed: int, folder: Path, skip: int, keep: Path | None
) -> Result:
    """Feed known inputs, the seeds and mutations of them to a target, in this process."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, resource.RLIM_INFINITY))
    seeds = target.seeds(folder)
    first = [*known_inputs(target), *seeds, b""]
    result = Result(target.name)
    signal.signal(signal.SIGALRM, _hang)
    began = time.monotonic()
    for number in range(inputs):
        rng = random.Random(f"{seed}/{target.name}/{number}")
        if number < len(first):
            data = first[number]
        else:
            chosen = rng.choice(seeds)
            by_structure = target.is_json and rng.random() < 0.7
            data = changed_json(chosen, rng) if by_structure else changed_bytes(chosen, rng, seeds)
        if number < skip:
            continue
        if target.native:
            (folder / LAST).write_bytes(data)
        result.tried += 1
        if result.tried % 50 == 0 and keep is not None:
            print(json.dumps(asdict(result)), flush=True)
        _feed(target, data, folder, result, keep)
    result.peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    result.seconds = time.monotonic() - began
    return result


def _feed(target: Target, data: bytes, folder: Path, result: Result, keep: Path | None) -> None:
    signal.setitimer(signal.ITIMER_REAL, HANG_S)
    try:
        target.feed(data, folder)
        result.read += 1
    except (InputError, HarnessError) as error:
        assert str(error), "a refusal says why"
        result.refused += 1
    except Hang:
        result.hangs += 1
        _keep(data, f"more than {HANG_S:g} s", result, keep)
    except Exception:
        result.tracebacks += 1
        _keep(data, traceback.format_exc(limit=-4), result, keep)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _hang(number: int, frame: FrameType | None) -> None:
    raise Hang


def _keep(data: bytes, what: str, result: Result, keep: Path | None) -> None:
    digest = hashlib.sha256(data).hexdigest()[:12]
    result.findings.append([digest, what])
    if keep is not None:
        (keep / result.target).mkdir(parents=True, exist_ok=True)
        (keep / result.target / digest).write_bytes(data)


def in_a_process(target: Target, inputs: int, seed: int, keep: Path) -> Result:
    """Try a target in processes of its own: where one dies, that is a finding and another goes on."""
    whole = Result(target.name)
    while whole.tried < inputs:
        with tempfile.TemporaryDirectory() as folder:
            words = [target.name, str(inputs), str(seed), folder, str(whole.tried), str(keep)]
            ended = subprocess.run(
                [sys.executable, "-m", "fuzz", "--child", *words],
                cwd=PROJECT,
                env={**os.environ, **QUIET, "PYTHONPATH": f"{TESTS}:{PROJECT}"},
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                check=False,
            )
            lines = [line for line in ended.stdout.splitlines() if line.startswith("{")]
            told = Result(**json.loads(lines[-1])) if lines else Result(target.name)
            for name in ("tried", "read", "refused", "tracebacks", "hangs"):
                setattr(whole, name, getattr(whole, name) + getattr(told, name))
            whole.findings += told.findings
            whole.peak_mb = max(whole.peak_mb, told.peak_mb)
            whole.seconds += told.seconds
            if ended.returncode:
                whole.crashes += 1
                whole.tried += 1
                last = Path(folder) / LAST
                _keep(
                    last.read_bytes() if last.exists() else b"",
                    f"the process ended with {ended.returncode}",
                    whole,
                    keep,
                )
                if whole.crashes > 20:
                    break
    return whole


def main(words: Sequence[str]) -> int:
    """Run the campaign; 0 if nothing was found, else 1."""
    if words[:1] == ["--child"]:
        name, inputs, seed, folder, skip, keep = words[1:]
        result = try_target(
            BY_NAME[name], int(inputs), int(seed), Path(folder), int(skip), Path(keep)
        )
        print(json.dumps(asdict(result)), flush=True)
        sys.stdout.flush()
        os._exit(0)
    given = dict(word.split("=", 1) for word in words if "=" in word)
    unknown = [
        word
        for word in words
        if word.split("=")[0] not in ("inputs", "target", "seed") or "=" not in word
    ]
    chosen = [t for t in TARGETS if t.name == given.get("target", t.name)]
    if unknown or not chosen or not all(given.get(k, "1").isdigit() for k in ("inputs", "seed")):
        print(__doc__, file=sys.stderr)
        print("targets:", ", ".join(BY_NAME), file=sys.stderr)
        return 2
    keep = PROJECT / "results" / "fuzz"
    most, seed = int(given.get("inputs", 10**9)), int(given.get("seed", 1))
    results = []
    for target in chosen:
        results.append(in_a_process(target, min(most, target.inputs), seed, keep))
        print(
            f"{target.name}: {results[-1].tried} inputs, {results[-1].seconds:.0f} s",
            file=sys.stderr,
        )
    print(table(results))
    for result in results:
        for digest, what in result.findings[:5]:
            print(f"\n{keep / result.target / digest}\n{what}", file=sys.stderr)
    return 0 if all(result.good for result in results) else 1


def table(results: Sequence[Result]) -> str:
    """Return the campaign's figures as Markdown."""
    keys = ("tried", "read", "refused", "tracebacks", "hangs", "crashes")
    rows: list[list[Any]] = [
        [r.target, *(getattr(r, key) for key in keys), r.peak_mb, round(r.seconds)] for r in results
    ]
    total = [sum(getattr(r, key) for r in results) for key in keys]
    most, seconds = max(r.peak_mb for r in results), sum(r.seconds for r in results)
    rows.append(["all", *total, most, round(seconds)])
    headers = ["Parser", "Inputs", *(key.capitalize() for key in keys[1:]), "Peak MB", "Seconds"]
    return tabulate(rows, headers, tablefmt="pipe")
