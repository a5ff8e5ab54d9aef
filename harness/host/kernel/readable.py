"""Which conditions of a measurement can be read on this machine, by this user."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from harness.host.kernel.energy import read_energy
from harness.host.kernel.perf_events import RATIO, known_events, open_events
from harness.host.kernel.temperature import cpu_temperature
from harness.host.system_files import CPUS, ROOT, read_text

CPUFREQ = "cpu[0-9]*/cpufreq/scaling_cur_freq"


@dataclass(frozen=True)
class Readable:
    """What a worker could read.

    Attributes:
        frequency: by what the effective frequency is told, of ``conditions.SOURCES``; None: nothing.
        instructions: whether instructions per cycle can be counted.
        temperature, energy: whether a sensor or counter can be read.
        closed_energy: RAPL has counters, and this user may not read them.
    """

    frequency: str | None
    instructions: bool
    temperature: bool
    energy: bool
    closed_energy: bool


def look(root: Path = ROOT) -> Readable:
    """Try every reading once.

    Args:
        root: of the file system, so that a copied tree can stand for a machine.
    """
    opened = open_events(known_events(root))
    for descriptor in opened.values():
        os.close(descriptor)
    sources = {
        "APERF/MPERF": all(name in opened for name in RATIO),
        "cycles": "cycles" in opened,
        "cpufreq": any(map(read_text, (root / CPUS).glob(CPUFREQ))),
    }
    energy = bool(read_energy(root))
    return Readable(
        frequency=next((name for name, is_there in sources.items() if is_there), None),
        instructions="cycles" in opened and "instructions" in opened,
        temperature=cpu_temperature(root) is not None,
        energy=energy,
        closed_energy=not energy
        and any((root / "sys/class/powercap").glob("intel-rapl:*/energy_uj")),
    )
