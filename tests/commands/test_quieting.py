"""What doctor says of the kernel's policies, and the commands that it prints for them."""

from __future__ import annotations

import subprocess

import pytest

from harness.doctor.finding import OK, UNKNOWN, WARN, Finding, Fix
from harness.doctor.fixes import HEAD, NOTHING, to_shell
from harness.doctor.kernel_findings import counter_finding, kernel_findings
from harness.doctor.machine_findings import machine_findings
from harness.facts.machine_facts import IdleState, KernelPolicies, Machine
from harness.facts.typed import changed, plain
from harness.host.kernel.readable import Readable
from harness.host.topology import Topology

CORES = Topology(tuple(range(64)), tuple((core, core + 32) for core in range(32)), 1, None)
NOISY = KernelPolicies(
    huge_pages="always",
    huge_page_defrag="madvise",
    numa_balancing=True,
    smt="on",
    idle_driver="intel_idle",
    idle_governor="menu",
    idle_states=[
        IdleState(name="POLL", latency_us=0, enabled=True),
        IdleState(name="C1", latency_us=2, enabled=True),
        IdleState(name="C6", latency_us=133, enabled=True),
        IdleState(name="C8", latency_us=180, enabled=False),
    ],
    scaling_driver="intel_pstate",
    pstate_status="active",
    irqbalance=True,
    perf_event_paranoid=4,
)
QUIET = KernelPolicies(
    huge_pages="madvise",
    numa_balancing=False,
    smt="notsupported",
    idle_driver="haltpoll",
    idle_states=[IdleState(name="POLL", latency_us=0, enabled=True)],
    irqbalance=False,
    perf_event_paranoid=2,
)
BLIND = Readable(None, False, False, False, False)
SEEING = Readable("cycles", True, True, True, False)


def machine(
    policies: KernelPolicies | None, governor: str = "powersave", turbo: bool = True
) -> Machine:
    return Machine(
        cpu_model="Intel(R) Xeon(R) Platinum 8375C CPU @ 2.90GHz",
        isa=["AVX2"],
        cores=32,
        threads_per_core=2,
        numa_nodes=2,
        allowed_cpus=list(range(64)),
        usable_cores=32,
        governor=governor,
        turbo=turbo,
        kernel="6.1.0",
        os="Debian",
        policies=policies,
    )


def test_a_noisy_machine() -> None:
    findings = kernel_findings(machine(NOISY))
    assert [finding.name for finding in findings] == [
        "huge pages", "NUMA balancing", "SMT", "turbo", "sleep", "interrupts",
    ]  # fmt: skip
    assert {finding.mark for finding in findings} == {WARN}
    assert all("doctor fix=print" in finding.advice for finding in findings)
    sleep = findings[4]
    assert sleep.value == "intel_idle, menu governor: POLL, C1 2 us, C6 133 us, C8 (off) 180 us"
    (fix,) = sleep.fixes  # C8 is off
    assert "state2/disable" in fix.command and "133 us to wake" in fix.changes


def test_a_quiet_machine_has_nothing_to_change() -> None:
    findings = kernel_findings(machine(QUIET, "performance", turbo=False))
    assert [(finding.name, finding.mark) for finding in findings] == [
        ("huge pages", OK), ("NUMA balancing", OK), ("sleep", OK),
    ]  # fmt: skip
    assert to_shell(findings) == [NOTHING]
    assert kernel_findings(machine(None)) == []


def test_one_node_has_no_numa_balancing_to_judge() -> None:
    one = changed(machine(NOISY), numa_nodes=1, policies=plain(NOISY))
    assert "NUMA balancing" not in [finding.name for finding in kernel_findings(one)]


def test_what_can_be_read_is_said_and_what_opens_the_rest() -> None:
    whole = counter_finding(SEEING, QUIET, is_root=False)
    assert whole.mark == OK and whole.value.startswith("effective frequency (cycles), instr")
    virtual = counter_finding(BLIND, QUIET, is_root=True)
    assert virtual.mark == UNKNOWN and not virtual.fixes
    assert virtual.value == (
        "not readable here: effective frequency, instructions per cycle, temperature, energy"
    )
    closed = Readable("cpufreq", False, True, False, True)
    paranoid, energy = counter_finding(closed, NOISY, is_root=False).fixes
    assert paranoid.command == (
        "echo 2 | sudo tee /proc/sys/kernel/perf_event_paranoid > /dev/null"
    )
    assert paranoid.undo == "echo 4 | sudo tee /proc/sys/kernel/perf_event_paranoid > /dev/null"
    assert "CVE-2020-8694" in energy.changes and "go-r" in energy.undo
    # root is not asked to open what is open to root
    assert counter_finding(BLIND, NOISY, is_root=True).fixes == ()


def test_each_line_is_a_command_that_says_what_it_changes_and_how_to_undo_it() -> None:
    noisy = machine(NOISY)
    closed = Readable(None, False, False, False, True)
    findings = [
        *machine_findings(noisy, CORES),
        *kernel_findings(noisy),
        counter_finding(closed, NOISY, is_root=False),
    ]
    head, *lines = to_shell(findings)
    assert head == HEAD and len(lines) == 9
    path = "/sys/devices/system/cpu/cpu*/cpufreq/scaling_governor > /dev/null"
    assert lines[0] == (
        f"echo performance | sudo tee {path} # the clock no longer follows the load; "
        f"undo: echo powersave | sudo tee {path}"
    )
    for line in lines:
        command, _, comment = line.partition(" # ")
        undo = comment.partition("; undo: ")[2]
        for one in (command, undo):
            assert one and "sudo " in one and "#" not in one
            subprocess.run(["bash", "-n", "-c", one], check=True)  # parsed, and not run
    subprocess.run(["bash", "-n"], input="\n".join([head, *lines]), text=True, check=True)


def test_turbo_without_intels_driver_is_the_boost_of_cpufreq() -> None:
    amd = KernelPolicies(scaling_driver="acpi-cpufreq")
    (turbo,) = kernel_findings(machine(amd))
    assert turbo.fixes[0].command.startswith(
        "echo 0 | sudo tee /sys/devices/system/cpu/cpufreq/boost "
    )


@pytest.mark.parametrize("mark", [OK, WARN])
def test_only_what_is_wrong_is_put_right(mark: str) -> None:
    fix = Fix("sudo true", "nothing", "sudo false")
    lines = to_shell([Finding(mark, "x", "y", "", (fix, fix))])
    assert lines == ([NOTHING] if mark == OK else [HEAD, "sudo true # nothing; undo: sudo false"])
