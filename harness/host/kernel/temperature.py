"""The temperature of the CPUs, as the kernel's sensors tell it."""

from __future__ import annotations

from pathlib import Path

from harness.host.system_files import ROOT, read_text, to_integer

CHIPS = ("coretemp", "k10temp", "zenpower")  # of Intel's and AMD's CPUs, in /sys/class/hwmon
ZONES = ("x86_pkg_temp", "cpu-thermal", "TCPU")  # types of zones in /sys/class/thermal
COLDEST, HOTTEST = -20_000, 150_000  # millidegrees; beyond it a sensor is broken or absent


def cpu_temperature(root: Path = ROOT) -> float | None:
    """Return the hottest reading of the CPUs' sensors, in degrees Celsius; None without any.

    Args:
        root: of the file system, so that a copied tree can stand for a machine.
    """
    files = [
        file
        for chip in (root / "sys/class/hwmon").glob("hwmon*")
        if read_text(chip / "name") in CHIPS
        for file in chip.glob("temp*_input")
    ] or [
        zone / "temp"
        for zone in (root / "sys/class/thermal").glob("thermal_zone*")
        if read_text(zone / "type") in ZONES
    ]
    readings = (to_integer(read_text(file)) for file in files)
    sound = [value for value in readings if value is not None and COLDEST < value < HOTTEST]
    return max(sound) / 1000 if sound else None
