"""Looking at everything that a measurement depends on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from harness.doctor.finding import BAD, Finding
from harness.doctor.kernel_findings import counter_finding, kernel_findings
from harness.doctor.machine_findings import machine_findings, memory_findings, thread_findings
from harness.doctor.place_findings import (
    FileFact,
    confinement_findings,
    disk_findings,
    refused_findings,
    workload_findings,
)
from harness.doctor.software import software_facts, software_findings
from harness.errors import InputError
from harness.facts.machine_facts import Machine
from harness.host import ec2, machine, threads
from harness.host.kernel.readable import look
from harness.host.topology import Topology, read_topology
from harness.process.executor import worker_environment


def examine(
    threads_section: object, files: Sequence[FileFact], disk_paths: Sequence[Path]
) -> list[Finding]:
    """Look at everything; takes as long as importing MXNet and INC once.

    Args:
        threads_section: the section ``threads`` of a configuration.
    """
    topology = read_topology()
    described = machine.describe(ec2=ec2.describe())
    findings = _of_machine(described, topology)
    environment: dict[str, str] = {}
    try:
        settings = threads.resolve(threads_section, topology, threads.find_kmp_library())
    except InputError as error:
        findings.append(Finding(BAD, "threads", str(error)))
    else:
        findings += thread_findings(settings)
        environment = settings.environment
    findings += software_findings(software_facts(worker_environment(environment)))
    findings += memory_findings(described)
    for path in disk_paths:
        findings += disk_findings(path)
    findings += refused_findings(disk_paths)
    findings += confinement_findings()
    return findings + workload_findings(files)


def examine_machine() -> list[Finding]:
    """Look at the machine alone, without starting anything."""
    return _of_machine(machine.describe(), read_topology())


def _of_machine(described: Machine, topology: Topology) -> list[Finding]:
    return [
        *machine_findings(described, topology),
        *kernel_findings(described),
        counter_finding(look(), described.policies, os.geteuid() == 0),
    ]
