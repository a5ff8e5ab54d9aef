"""``./run.sh test-faults [WORD ...]``: do every fault, or those whose names hold a word, and count.

Exit codes: 0 every run survived and no measurement was lost; 1 otherwise.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from faults.injections import INJECTIONS, Injection
from faults.scene import Base, Scene

AT_ONCE = 2


@dataclass(frozen=True)
class Tried:
    injection: Injection
    survived: bool
    lost: int
    said: str
    seconds: float


def cannot(injection: Injection) -> str | None:
    """Return why a fault cannot be injected here, if it cannot."""
    if injection.mounts and os.geteuid():
        return "needs root, for mount and chattr"
    if injection.disk and not (shutil.which("mkfs.ext4") and Path("/dev/loop-control").exists()):
        return "needs mkfs.ext4 and loop devices"
    return None


def tried(injection: Injection, bases: dict[bool, Base], place: Path) -> Tried:
    began = time.monotonic()
    scene = Scene(bases[injection.night], place)
    try:
        note = injection.act(scene)
        survived, said = True, note or scene.said
    except Exception as error:
        survived, said = False, f"{type(error).__name__}: {error}"
    finally:
        scene.cli.close()
    return Tried(injection, survived, scene.lost, said, time.monotonic() - began)


def main(words: list[str]) -> int:
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # what is started would inherit another
    chosen = [each for each in INJECTIONS if not words or any(w in each.name for w in words)]
    possible = [each for each in chosen if cannot(each) is None]
    with tempfile.TemporaryDirectory(prefix="faults_") as scratch:
        place = Path(scratch)
        nights = sorted({each.night for each in possible})
        roof = any(each.step == "roof" for each in possible)
        bases = {
            night: Base.made(place / f"base{night:d}", night=night, roof=roof) for night in nights
        }
        print(f"{len(possible)} faults on copies of a finished run", file=sys.stderr)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            numbered = enumerate(possible)
            doing = [pool.submit(tried, each, bases, place / f"{k:03d}") for k, each in numbered]
            results = [shown(each.result()) for each in doing]
    for each in set(chosen) - set(possible):
        print(f"not tried  {each.name}: {cannot(each)}")
    survived = sum(each.survived for each in results)
    lost = sum(each.lost for each in results)
    print(f"\n{len(results)} faults tried, {survived} survived, {lost} measurements lost")
    return 0 if survived == len(results) and not lost else 1


def shown(result: Tried) -> Tried:
    state = "survived" if result.survived else "FAILED"
    said = result.said if not result.survived else result.said[:110]
    print(
        f"{state:9s} lost {result.lost}  {result.seconds:5.0f} s  {result.injection.name}\n"
        f"          {said}",
        flush=True,
    )
    return result


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
