"""The kernel's policies, sensors and counters, on trees as real machines have them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.facts.machine_facts import IdleState, KernelPolicies
from harness.host.conditions import conditions_between
from harness.host.kernel.energy import joules_between, read_energy
from harness.host.kernel.perf_events import Event, known_events, open_events, read_events
from harness.host.kernel.policies import read_policies
from harness.host.kernel.readable import Readable, look
from harness.host.kernel.temperature import cpu_temperature
from harness.host.snapshot import Snapshot, take_snapshot

CPU = "sys/devices/system/cpu"
RAPL = "sys/class/powercap"
SOFTWARE, TASK_CLOCK = (
    1,
    1,
)  # PERF_TYPE_SOFTWARE and PERF_COUNT_SW_TASK_CLOCK, which every kernel has
XEON = {
    "sys/kernel/mm/transparent_hugepage/enabled": "[always] madvise never\n",
    "sys/kernel/mm/transparent_hugepage/defrag": "always defer [defer+madvise] madvise never\n",
    "proc/sys/kernel/numa_balancing": "1\n",
    "proc/sys/kernel/perf_event_paranoid": "4\n",
    "proc/1/comm": "systemd\n",
    "proc/812/comm": "irqbalance\n",
    f"{CPU}/smt/control": "on\n",
    f"{CPU}/intel_pstate/status": "active\n",
    f"{CPU}/cpuidle/current_driver": "intel_idle\n",
    f"{CPU}/cpuidle/current_governor_ro": "menu\n",
    f"{CPU}/cpu2/cpufreq/scaling_driver": "intel_pstate\n",
    f"{CPU}/cpu2/cpufreq/scaling_cur_freq": "3100000\n",
    f"{CPU}/cpu2/cpufreq/energy_performance_preference": "balance_performance\n",
    f"{CPU}/cpu2/cpuidle/state0/name": "POLL\n",
    f"{CPU}/cpu2/cpuidle/state0/latency": "0\n",
    f"{CPU}/cpu2/cpuidle/state10/name": "C10\n",
    f"{CPU}/cpu2/cpuidle/state2/name": "C6\n",
    f"{CPU}/cpu2/cpuidle/state2/latency": "133\n",
    f"{CPU}/cpu2/cpuidle/state2/disable": "1\n",
}
EVENTS = "sys/bus/event_source/devices/msr"
REGISTERS = {
    f"{EVENTS}/type": "9\n",
    **{f"{EVENTS}/events/{name}": f"event=0x0{n}\n" for n, name in enumerate(("tsc", "aperf", "mperf"))},
}  # fmt: skip


def write(root: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def zone(name: str, title: str, used: int, most: int = 262_143_328_850) -> dict[str, str]:
    folder = f"{RAPL}/{name}"
    return {
        f"{folder}/name": f"{title}\n",
        f"{folder}/energy_uj": f"{used}\n",
        f"{folder}/max_energy_range_uj": f"{most}\n",
    }


def snapshot(at: float = 0.0, mhz_measured: bool = False, **counters: float) -> Snapshot:
    always = {"cpu_s": 0.0, "voluntary": 0, "involuntary": 0, "minor_faults": 0, "major_faults": 0}
    mhz = {0: 2000.0, 1: 2200.0}
    return Snapshot(at, {}, mhz, None, {**always, **counters}, mhz_measured=mhz_measured)


def test_the_policies_of_a_xeon(tmp_path: Path) -> None:
    write(tmp_path, XEON)
    assert read_policies(tmp_path, 2) == KernelPolicies(
        huge_pages="always",
        huge_page_defrag="defer+madvise",
        numa_balancing=True,
        smt="on",
        idle_driver="intel_idle",
        idle_governor="menu",
        idle_states=[
            IdleState(name="POLL", latency_us=0, enabled=True),
            IdleState(name="C6", latency_us=133, enabled=False),
            IdleState(name="C10", latency_us=None, enabled=True),
        ],
        scaling_driver="intel_pstate",
        pstate_status="active",
        energy_preference="balance_performance",
        irqbalance=True,
        perf_event_paranoid=4,
    )


def test_a_tree_without_policies_has_none(tmp_path: Path) -> None:
    assert read_policies(tmp_path) is None


def test_the_hottest_sensor_of_the_cpus(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "sys/class/hwmon/hwmon0/name": "nvme\n",
            "sys/class/hwmon/hwmon0/temp1_input": "88000\n",
            "sys/class/hwmon/hwmon3/name": "coretemp\n",
            "sys/class/hwmon/hwmon3/temp1_input": "61000\n",
            "sys/class/hwmon/hwmon3/temp2_input": "67500\n",
            "sys/class/hwmon/hwmon3/temp3_input": "-128000\n",  # a sensor that is absent
        },
    )
    assert cpu_temperature(tmp_path) == 67.5


def test_a_thermal_zone_tells_it_without_a_sensor(tmp_path: Path) -> None:
    zones = "sys/class/thermal/thermal_zone"
    write(tmp_path, {f"{zones}0/type": "acpitz\n", f"{zones}0/temp": "90000\n"})
    assert cpu_temperature(tmp_path) is None
    write(tmp_path, {f"{zones}1/type": "x86_pkg_temp\n", f"{zones}1/temp": "54000\n"})
    assert cpu_temperature(tmp_path) == 54


def test_energy_is_of_packages_and_memory_and_nothing_is_counted_twice(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            **zone("intel-rapl:0", "package-0", 5_000_000),
            **zone("intel-rapl:0:0", "core", 4_000_000),
            **zone("intel-rapl:0:1", "dram", 1_000_000, 65_532_610_987),
            **zone("intel-rapl:1", "package-1", 2_000_000),
            **zone("intel-rapl:2", "psys", 9_000_000),
            **zone("intel-rapl-mmio:0", "package-0", 5_000_000),
        },
    )
    before = read_energy(tmp_path)
    assert list(before) == ["intel-rapl:0", "intel-rapl:0:1", "intel-rapl:1"]
    write(
        tmp_path,
        {
            f"{RAPL}/intel-rapl:0/energy_uj": "105000000\n",
            f"{RAPL}/intel-rapl:0:1/energy_uj": "11500000\n",
        },
    )
    assert joules_between(before, read_energy(tmp_path), 2.0) == pytest.approx(110.5)


def test_a_counter_that_starts_again() -> None:
    """A range of N counts from 0 to N."""
    before, after = {"p": (999_999_000, 999_999_999)}, {"p": (1_000, 999_999_999)}
    assert joules_between(before, after, 0.5) == pytest.approx(0.002)
    assert joules_between(before, {"p": (999_999_000, 999_999_999)}, 0.5) == 0


def test_energy_that_cannot_be_told_is_unknown(tmp_path: Path) -> None:
    one = {"p": (1, 60_000_000_000)}
    assert joules_between(one, {"p": (2, 60_000_000_000)}, 61) is None  # it may have begun twice
    assert joules_between({}, one, 1) is None
    assert joules_between(one, {"q": (2, 60_000_000_000)}, 1) is None
    write(tmp_path, {f"{RAPL}/intel-rapl:0/name": "package-0\n"})  # energy_uj is root's alone
    assert read_energy(tmp_path) == {}


def test_energy_and_heat_of_a_stretch(tmp_path: Path) -> None:
    sensor = "sys/class/hwmon/hwmon0"
    write(tmp_path, zone("intel-rapl:0", "package-0", 5_000_000))
    write(tmp_path, {f"{sensor}/name": "k10temp\n", f"{sensor}/temp1_input": "70000\n"})
    before = take_snapshot(tmp_path, [0], starting=True)
    write(tmp_path, zone("intel-rapl:0", "package-0", 8_500_000))
    write(tmp_path, {f"{sensor}/temp1_input": "64000\n"})
    stretch = conditions_between(before, take_snapshot(tmp_path, [0]), [], allocator="/lib/x.so")
    assert (stretch.energy_j, stretch.temperature_c, stretch.allocator) == (3.5, 70, "/lib/x.so")


def test_the_effective_frequency_comes_from_the_best_source() -> None:
    counted = {"cycles": 5.6e9, "instructions": 8.4e9, "user_s": 2.0}
    registers = {"aperf": 6.6e9, "mperf": 4.4e9, "tsc": 4.6e9, "tsc_s": 2.0}
    for counters, mhz, source in (
        ({**counted, **registers}, 1.5 * 2300, "APERF/MPERF"),
        (counted, 2800, "cycles"),
        ({"user_s": 2.0}, 2100, "cpufreq"),
    ):
        before = snapshot(mhz_measured=True, **dict.fromkeys(counters, 0.0))
        stretch = conditions_between(before, snapshot(2.0, True, **counters), [])
        assert stretch.effective_mhz == pytest.approx(mhz)
        assert stretch.frequency_source == source
    assert stretch.instructions_per_cycle is None
    known = conditions_between(snapshot(), snapshot(2.0, **{**counted, "cycles": 5.6e9}), [])
    assert known.instructions_per_cycle is None  # nothing was counted at the start


def test_instructions_per_cycle() -> None:
    zero = dict.fromkeys(("cycles", "instructions", "user_s"), 0.0)
    counted = {"cycles": 4e9, "instructions": 6e9, "user_s": 2.0}
    known = conditions_between(snapshot(**zero), snapshot(2.0, **counted), [])
    assert known.instructions_per_cycle == 1.5
    # a hypervisor that counts nothing gives counters that stand still
    still = conditions_between(snapshot(**zero), snapshot(2.0, **{**zero, "user_s": 2.0}), [])
    assert (still.effective_mhz, still.instructions_per_cycle) == (None, None)


def test_nominal_frequencies_are_not_effective_ones() -> None:
    """Those of /proc/cpuinfo in a virtual machine."""
    stretch = conditions_between(snapshot(), snapshot(2.0), [])
    assert (stretch.effective_mhz, stretch.frequency_source) == (None, None)
    assert stretch.mhz_max == 2200


def test_events_that_the_kernel_names(tmp_path: Path) -> None:
    assert list(known_events(tmp_path)) == ["cycles", "instructions"]
    write(tmp_path, REGISTERS)
    events = known_events(tmp_path)
    assert events["aperf"] == Event(9, 1) and events["tsc"] == Event(9, 0)
    (tmp_path / f"{EVENTS}/events/aperf").unlink()  # a hypervisor hides it
    assert list(known_events(tmp_path)) == ["cycles", "instructions"]


def test_threads_that_start_later_are_counted() -> None:
    opened = open_events({"clock": Event(SOFTWARE, TASK_CLOCK, True), "no": Event(2**31, 5)})
    if not opened:
        pytest.skip("perf_event_open is refused here")
    try:
        assert list(opened) == ["clock"]  # what the kernel does not have is left out
        before = read_events(opened)
        used: list[float] = []

        def work() -> None:
            while time.thread_time() < 0.05:
                pass
            used.append(time.thread_time())

        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        after = read_events(opened)
        assert after["clock"] - before["clock"] >= 0.9e9 * sum(used)  # nanoseconds
        assert after["clock_s"] - before["clock_s"] >= 0.9 * sum(used)
    finally:
        for descriptor in opened.values():
            os.close(descriptor)
    assert read_events(opened) == {}  # a descriptor that cannot be read tells nothing


def test_what_can_be_read(tmp_path: Path) -> None:
    opened = open_events(known_events(tmp_path))
    for descriptor in opened.values():
        os.close(descriptor)
    of_perf = "cycles" if "cycles" in opened else None
    counts = "cycles" in opened and "instructions" in opened
    assert look(tmp_path) == Readable(of_perf, counts, False, False, False)
    write(tmp_path, XEON)
    write(tmp_path, zone("intel-rapl:0", "package-0", 5))
    seen = look(tmp_path)
    assert seen.frequency == (of_perf or "cpufreq") and seen.energy and not seen.closed_energy
    (tmp_path / RAPL / "intel-rapl:0/energy_uj").write_text("")  # as one that is not readable
    seen = look(tmp_path)
    assert not seen.energy and seen.closed_energy
