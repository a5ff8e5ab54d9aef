"""What doctor says of machines, threads, software and files, and how the screen looks."""

from __future__ import annotations

import dataclasses
import errno
import io
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from harness import PROJECT
from harness.config import compose_config, project_path
from harness.doctor import place_findings, software
from harness.doctor.examination import examine
from harness.doctor.finding import BAD, OK, UNKNOWN, WARN, Finding
from harness.doctor.machine_findings import machine_findings, memory_findings, thread_findings
from harness.doctor.place_findings import (
    FileFact,
    disk_findings,
    files_of,
    refused_findings,
    workload_findings,
)
from harness.doctor.screen import exit_code, render
from harness.doctor.software import Failure, Software, software_facts, software_findings
from harness.facts.machine_facts import Machine, ThreadSettings
from harness.facts.typed import changed, decode
from harness.files import locks
from harness.host import isa
from harness.host.topology import Topology
from harness.process.executor import worker_environment
from harness.run.inputs import file_checks
from helpers.refused_calls import without

GIB = 1 << 30
XEON = Machine(
    cpu_model="Intel(R) Xeon(R) Platinum 8375C CPU @ 2.90GHz",
    microcode="0xd0003a5",
    isa=["SSE4.1", "AVX2", "AVX512F", "AVX512BW", "AVX512-VNNI"],
    cache_bytes={"L1d": 48 << 10, "L1i": 32 << 10, "L3": 54 << 20},
    sockets=1,
    cores=32,
    threads_per_core=2,
    numa_nodes=1,
    usable_cores=32,
    governor="performance",
    turbo=True,
    mhz=2900.0,
    max_mhz=3500.0,
    load_1min=0.1,
    kernel="6.1.0",
    os="Debian GNU/Linux 12",
    virtual=False,
    hypervisor=None,
    memory_total_bytes=64 * GIB,
    memory_available_bytes=60 * GIB,
    memory_limit_bytes=None,
    allowed_cpus=list(range(64)),
)
CORES = Topology(tuple(range(64)), tuple((core, core + 32) for core in range(32)), 1, None)
FACTS: dict[str, Any] = {
    "python": "3.11.7",
    "versions": {
        "mxnet": "2.0.0b1",
        "mxnet_commit": None,
        "neural-compressor": "1.13.1",
        "numpy": "1.23.5",
        "mxnet_features": ["ONEDNN", "OPENCV", "OPENMP"],
    },
    "openmp": {
        "library": "/usr/lib/libgomp.so.1",
        "runtime": "libgomp",
        "max_threads": 4,
        "places": [[0], [1], [2], [3]],
        "blocktime_ms": None,
        "mapped": ["/usr/lib/libgomp.so.1"],
    },
    "environment": {"OMP_NUM_THREADS": "4", "OMP_PLACES": "{0}:4:1"},
    "onednn": ["oneDNN v2.5.2 (commit a930253)", "cpu,isa:Intel AVX-512 with Intel DL Boost"],
}


def named(findings: Sequence[Finding], name: str) -> Finding:
    (found,) = (finding for finding in findings if finding.name == name)
    return found


def screen(findings: Sequence[Finding], terminal: bool = False, width: int = 100) -> str:
    out = io.StringIO()
    render(findings, Console(file=out, width=width, force_terminal=terminal))
    return out.getvalue()


def test_a_good_machine_is_all_ok() -> None:
    findings = machine_findings(XEON, CORES)
    assert {finding.mark for finding in findings} == {OK}
    assert "AVX512-VNNI" in named(findings, "int8 kernels").value
    assert "64 (0-63) on 32 core(s), 2 CPUs per core" in named(findings, "allowed CPUs").value


@pytest.mark.parametrize(
    ("changes", "name", "mark", "words"),
    [
        ({"isa": ["AVX2", "AVX512BW"]}, "int8 kernels", WARN, "AVX512 without VNNI"),
        ({"isa": ["AVX2"]}, "int8 kernels", WARN, "AVX2 without VNNI"),
        ({"isa": ["AVX2", "AVX-VNNI"]}, "int8 kernels", OK, "AVX-VNNI"),
        ({"isa": ["AVX512-VNNI", "AMX-INT8", "AMX-BF16"]}, "int8 kernels", OK, "AMX-INT8"),
        ({"isa": ["AVX512-VNNI", "AMX-BF16"]}, "instructions", OK, "bf16: AMX-BF16"),
        ({"isa": []}, "int8 kernels", WARN, "no AVX2"),
        ({"isa": None}, "int8 kernels", UNKNOWN, "not readable"),
        ({"cpu_model": None}, "CPU", UNKNOWN, "not readable"),
        ({"governor": "powersave"}, "clock", WARN, "governor powersave, turbo on"),
        ({"governor": None, "turbo": None}, "clock", UNKNOWN, "turbo unknown"),
        ({"virtual": True, "hypervisor": "KVM"}, "system", OK, "virtual (KVM)"),
        ({"kernel": None, "os": None}, "system", UNKNOWN, "not readable"),
        ({"load_1min": 20.0}, "other work", WARN, "load 20.00"),
        ({"load_1min": None}, "other work", UNKNOWN, "not readable"),
    ],
)
def test_machines_that_differ(changes: dict[str, Any], name: str, mark: str, words: str) -> None:
    finding = named(machine_findings(changed(XEON, **changes), CORES), name)
    assert (finding.mark, words in finding.value) == (mark, True), finding
    assert finding.advice or mark == OK or changes.get("isa", 0) is None or name == "system"


@pytest.mark.parametrize(
    ("instance", "mark", "says"),
    [
        ({"instance_type": "t3a.xlarge"}, WARN, "burstable"),
        ({"instance_type": "t2.micro", "purchase": "spot"}, WARN, "burstable"),
        ({"instance_type": "c7i.4xlarge", "purchase": "on-demand"}, OK, "on-demand"),
        ({"instance_type": "c7i.4xlarge", "purchase": "spot"}, OK, "two minutes' notice"),
        (
            {"instance_type": "c7i.large", "purchase": "spot", "interruption": "terminate at 8:22"},
            BAD,
            "terminate at 8:22",
        ),
    ],
)
def test_what_ec2_does_to_an_instance(instance: dict[str, str], mark: str, says: str) -> None:
    finding = named(machine_findings(changed(XEON, ec2=instance), CORES), "EC2")
    assert finding.mark == mark and says in finding.value
    assert not [one for one in machine_findings(XEON, CORES) if one.name == "EC2"]


@pytest.mark.parametrize(
    ("quota", "mark"), [(None, OK), (1.5, WARN), (0.5, WARN), (2.0, OK), (64.0, OK)]
)
def test_a_quota_that_is_not_whole_throttles(quota: float | None, mark: str) -> None:
    topology = dataclasses.replace(CORES, cpu_quota=quota)
    assert named(machine_findings(XEON, topology), "CPU quota").mark == mark


def test_two_sockets_are_warned_of() -> None:
    finding = named(machine_findings(XEON, dataclasses.replace(CORES, sockets=2)), "cores")
    assert finding.mark == WARN and "numactl" in finding.advice


def test_thread_settings_and_their_warnings() -> None:
    settings = ThreadSettings(
        policy="omp",
        count=8,
        environment={"OMP_NUM_THREADS": "8"},
        warnings=("8 threads on 4",),
    )
    findings = thread_findings(settings)
    assert [finding.mark for finding in findings] == [OK, OK, WARN]
    assert "OMP_NUM_THREADS=8" in findings[1].value
    (alone,) = thread_findings(ThreadSettings(policy="none", count=None, environment={}))
    assert "half of the allowed CPUs" in alone.value


@pytest.mark.parametrize(
    ("available", "limit", "mark"),
    [
        (60 * GIB, None, OK),
        (4 * GIB, 8 * GIB, WARN),
        (GIB, 8 * GIB, BAD),
        (3 * GIB, 16 * GIB, WARN),
        (None, None, UNKNOWN),
    ],
)
def test_memory(available: int | None, limit: int | None, mark: str) -> None:
    machine = changed(XEON, memory_available_bytes=available, memory_limit_bytes=limit)
    (finding,) = memory_findings(machine)
    assert finding.mark == mark
    assert (limit is not None) == ("control group" in finding.value)


def test_disk_of_a_folder_that_does_not_exist_yet(tmp_path: Path) -> None:
    (finding,) = disk_findings(tmp_path / "results" / "deep")
    assert finding.mark in (OK, WARN) and "GiB free" in finding.value
    (tmp_path / "file").write_text("")
    (finding,) = disk_findings(tmp_path / "file" / "deep")
    assert finding.mark == BAD and "not writable" in finding.value


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(place_findings, "DISK_NEEDED", 1 << 62)
    (finding,) = disk_findings(tmp_path)
    assert finding.mark == BAD and finding.advice


@pytest.mark.parametrize("call", ["pidfd_open", "sched_getaffinity", "fsync"])
def test_a_refused_call_is_one_line(call: str, tmp_path: Path) -> None:
    """As a kernel refuses it in truth: what is missing, and what is done instead."""
    code = (
        "import sys; from pathlib import Path\n"
        "from harness.doctor.place_findings import refused_findings\n"
        "for each in refused_findings([Path(sys.argv[1])] * 2): print(each.mark, each.value)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}

    def told(before: Sequence[str]) -> list[str]:
        done = subprocess.run(
            [*before, *command], capture_output=True, text=True, env=environment, check=True
        )
        return done.stdout.splitlines()

    assert told([]) == ["ok none is refused, locks work"]
    (line,) = told(without(call, errno.EPERM))
    assert line.startswith(f"warn refused: {call}: Operation not permitted; ")


def test_a_folder_without_locks_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        locks, "_refused_in", lambda folder: "flock: x" if folder == tmp_path else ""
    )
    (finding,) = refused_findings([tmp_path, tmp_path / "not" / "there"])
    assert (finding.mark, finding.name) == (WARN, "locks")
    assert "flock: x" in finding.value and "your runs on this host" in finding.value
    monkeypatch.setattr(locks, "_refused_in", lambda folder: "flock: x")
    (finding,) = refused_findings([tmp_path])
    assert finding.mark == BAD and "nothing can be locked" in finding.value


def test_cpus_whose_core_is_not_told_are_said() -> None:
    topology = dataclasses.replace(CORES, unassigned_cpus=(3, 4, 9))
    finding = named(machine_findings(XEON, topology), "cores")
    assert finding.mark == WARN and finding.value.endswith("not told of 3-4,9")


def test_files(tmp_path: Path) -> None:
    record = tmp_path / "val.rec"
    record.write_bytes(b"0" * 2_500_000)
    findings = workload_findings(
        [
            FileFact("record", record, True, "give workload.rec="),
            FileFact("weights", tmp_path / "no.params", True, "give workload.params="),
            FileFact("symbol", None, False, "only for exported models"),
            FileFact("folder", tmp_path, True, "give a file"),
        ]
    )
    assert [finding.mark for finding in findings] == [OK, BAD, WARN, BAD]
    assert "2.50 MB" in findings[0].value
    assert findings[1].advice == "give workload.params="


def test_a_file_is_checked_as_a_run_checks_it() -> None:
    """README.md is there, and neither a record nor weights."""
    readme = PROJECT / "README.md"
    words = ["workload=imagenet", f"workload.rec={readme}", f"workload.params={readme}"]
    workload = compose_config(words).config.workload
    findings = workload_findings(files_of(workload, project_path, file_checks(workload)))
    assert [(finding.name, finding.mark) for finding in findings] == [("rec", BAD), ("params", BAD)]
    assert "is no RecordIO file" in findings[0].value
    assert "no file that MXNet wrote" in findings[1].value
    bundled = compose_config([]).config.workload
    findings = workload_findings(files_of(bundled, project_path, file_checks(bundled)))
    assert {finding.mark for finding in findings} == {OK}
    few = compose_config(["workload.images=64"]).config.workload
    record, _ = workload_findings(files_of(few, project_path, file_checks(few)))
    assert record.mark == BAD and "type workload.tuning.batches=1" in record.value


def test_good_software_is_all_ok() -> None:
    findings = software_findings(decode(FACTS, Software))
    assert {finding.mark for finding in findings} == {OK}
    assert named(findings, "oneDNN").value == "oneDNN v2.5.2: Intel AVX-512 with Intel DL Boost"
    assert named(findings, "OpenMP").value.endswith("libgomp.so.1, 4 thread(s), bound to CPU 0-3")


def test_software_that_is_not_as_it_should_be() -> None:
    versions = {**FACTS["versions"], "mxnet_features": ["OPENMP", "OPENCV"]}
    findings = software_findings(decode({**FACTS, "versions": versions, "onednn": []}, Software))
    assert named(findings, "MXNet").mark == BAD
    assert "without ONEDNN" in named(findings, "MXNet").value
    assert named(findings, "oneDNN").mark == UNKNOWN
    limited = {**FACTS, "environment": {"ONEDNN_MAX_CPU_ISA": "AVX2"}}
    assert named(software_findings(decode(limited, Software)), "oneDNN").mark == WARN
    crowded = {**FACTS, "openmp": {**FACTS["openmp"], "places": [[0]]}}
    marks = [
        finding.mark
        for finding in software_findings(decode(crowded, Software))
        if finding.name == "OpenMP"
    ]
    assert marks == [OK, BAD]
    (broken,) = software_findings(Failure("ImportError: libquadmath.so.0"))
    assert broken.mark == BAD and "libquadmath.so.0" in broken.value


def test_only_something_bad_makes_the_exit_code() -> None:
    assert exit_code([Finding(mark, "x", "y") for mark in (OK, WARN, UNKNOWN)]) == 0
    assert exit_code([Finding(OK, "x", "y"), Finding(BAD, "x", "y")]) == 2
    assert exit_code([]) == 0


def test_screen_is_plain_in_a_pipe_and_coloured_in_a_terminal() -> None:
    findings = [
        Finding(OK, "environment", "proclist=[0,1],explicit", "not shown"),
        Finding(WARN, "clock", "governor powersave", "set [performance]"),
    ]
    plain = screen(findings)
    assert "\x1b" not in plain and "proclist=[0,1],explicit" in plain
    assert "-> set [performance]" in plain and "not shown" not in plain
    assert plain.splitlines()[-1] == "this machine can measure, 1 warning(s)"
    assert "\x1b[" in screen(findings, terminal=True)
    bad = screen([*findings, Finding(BAD, "weights", "not found")])
    assert bad.splitlines()[-1] == "1 to solve before a run, 1 warning(s)"


@pytest.mark.slow
def test_this_machine_on_one_screen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(isa.VARIABLE, raising=False)  # the tests may be run under a limit
    options = {"policy": "omp", "count": 1, "proc_bind": "TRUE", "places": "auto"}
    weights = FileFact("weights", tmp_path / "no.params", True, "give workload.params=")
    findings = examine(options, [weights], [tmp_path])
    lines = screen(findings).splitlines()
    assert len(lines) <= 40 and max(map(len, lines)) <= 100
    assert named(findings, "MXNet").mark == OK
    assert named(findings, "oneDNN").mark == OK
    assert " 1 thread(s), bound to CPU " in named(findings, "OpenMP").value
    assert exit_code(findings) == 2  # the weights are missing


@pytest.mark.slow
def test_wrong_thread_options_do_not_hide_the_rest() -> None:
    findings = examine({"policy": "tbb"}, [], [])
    wrong = named(findings, "threads")
    assert wrong.mark == BAD and "omp, kmp or none" in wrong.value
    assert named(findings, "MXNet").mark == OK


def test_a_probe_that_fails_gives_its_last_line(tmp_path: Path) -> None:
    (tmp_path / "mxnet.py").write_text("raise OSError('libgomp.so.1: cannot open')\n")
    facts = software_facts(worker_environment({"PYTHONPATH": str(tmp_path)}))
    assert facts == Failure("OSError: libgomp.so.1: cannot open")
    (tmp_path / "mxnet.py").write_text("import os\nos._exit(9)\n")
    facts = software_facts(worker_environment({"PYTHONPATH": str(tmp_path)}))
    assert facts == Failure("no answer, exit code 9")


@pytest.mark.slow
def test_a_probe_that_hangs_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mxnet.py").write_text("import time\ntime.sleep(10**6)\n")
    monkeypatch.setattr(software, "PROBE_TIMEOUT_S", 2)
    facts = software_facts({**os.environ, "PYTHONPATH": str(tmp_path)})
    assert facts == Failure("importing MXNet and INC took more than 2 s")
