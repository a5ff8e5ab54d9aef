"""The energy that the CPUs and their memory used, by RAPL's counters.

Each socket has a zone ``package-N`` and, on servers, a zone ``dram`` inside it. The other zones are
parts of the package (``core``, ``uncore``), or contain it (``psys``), so they are left out. A counter of
microjoules starts again at 0 after its range. Since Linux 5.10 only root may read them. See
Documentation/power/powercap/powercap.rst in the sources of Linux.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from harness.host.system_files import ROOT, read_text, to_integer

ZONE = re.compile(r"intel-rapl(:\d+)+")  # of AMD's CPUs too; intel-rapl-mmio counts the same again
COUNTED = re.compile(r"package-\d+.*|dram")
MOST_W = 1000  # that one zone can use

Energy = Mapping[
    str, tuple[int, int]
]  # by zone, its counter and the counter's range, in microjoules


def read_energy(root: Path = ROOT) -> dict[str, tuple[int, int]]:
    """Return the counters that can be read.

    Args:
        root: of the file system, so that a copied tree can stand for a machine.
    """
    counters = {}
    for zone in sorted((root / "sys/class/powercap").glob("intel-rapl:*")):
        if ZONE.fullmatch(zone.name) and COUNTED.fullmatch(read_text(zone / "name") or ""):
            used = to_integer(read_text(zone / "energy_uj"))
            most = to_integer(read_text(zone / "max_energy_range_uj"))
            if used is not None and most:
                counters[zone.name] = (used, most)
    return counters


def joules_between(before: Energy, after: Energy, seconds: float) -> float | None:
    """Return the energy of a stretch, in joules, of all zones.

    Returns:
        None where no counter was read, or one of them may have started again more than once.
    """
    zones = before.keys() & after.keys()
    if not zones or any(seconds * MOST_W * 1e6 > after[zone][1] for zone in zones):
        return None
    # a range of N counts 0 to N, so that N is followed by 0
    used = ((after[zone][0] - before[zone][0]) % (after[zone][1] + 1) for zone in zones)
    return sum(used) / 1e6
