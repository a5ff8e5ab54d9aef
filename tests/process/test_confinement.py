"""What a worker cannot reach, and that nothing that it started outlives it."""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness import PROJECT
from harness.facts.typed import decode
from harness.process import executor, landlock, seccomp
from harness.process.executor import Ended, Worker, worker_environment
from harness.process.jobs import Job
from helpers.command_line import PATIENCE_S, until

TESTS = PROJECT / "tests"
HAS_FILTER = platform.machine() == "x86_64" and Path("/proc/sys/kernel/seccomp").is_dir()
needs_landlock = pytest.mark.skipif(not landlock.version(), reason="this kernel has no Landlock")
needs_filter = pytest.mark.skipif(not HAS_FILTER, reason="this kernel filters no system calls")


@pytest.fixture
def place() -> Iterator[Path]:
    """Give a folder outside of what a worker may read, as a user's home is."""
    folder = Path("/var/tmp") / f"inc-bench-test-{os.getpid()}"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def job_of(act: str, **fields: Any) -> Job:
    return decode({"stage": "misbehaving.reach", "act": act, **fields}, Job)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Ended]:
    def do(act: str, **fields: Any) -> Ended:
        environment = worker_environment({"PYTHONPATH": f"{PROJECT}:{TESTS}"})
        log = tmp_path / "log"
        ended = Worker(job_of(act, **fields), environment, log, tmp_path).wait(lambda *_: None)
        assert ended.kind == executor.DONE, ended.message + log.read_text()
        return ended

    return do


@needs_landlock
def test_a_worker_reads_what_its_job_names_and_writes_its_own_folder(
    run: Callable[..., Ended], place: Path
) -> None:
    for name in ("named", "beside"):
        (place / name).write_bytes(b"x")
    ended = run(
        "files",
        readable=str(place / "named"),
        beside=(place / "beside").parts[1:],
        project=PROJECT.parts[1:],
    )
    seen = ended.value
    assert ended.confined is not None
    assert ended.confined["files"] == f"Landlock {landlock.version()}"
    allowed = {name for name, said in seen.items() if said == "done"}
    assert allowed - {"signal to the parent"} == {
        "read what is named",
        "write the working directory",
        "temporary file",
        "own environment",
        "the project",
    }
    assert ("signal to the parent" in allowed) == (landlock.version() < landlock.SCOPES)


@needs_filter
def test_calls_that_reach_other_processes_or_the_kernel_are_refused(
    run: Callable[..., Ended],
) -> None:
    ended = run("calls")
    absent = dict.fromkeys(("io_uring_setup", "clone3"), "ENOSYS")
    assert ended.value == {**dict.fromkeys(ended.value, "EPERM"), **absent}
    assert ended.confined is not None and ended.confined["system_calls"] == "filtered"


@needs_filter
def test_a_unix_socket_of_a_path_is_out_of_reach(run: Callable[..., Ended], place: Path) -> None:
    path = str(place / "socket")
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(path)
        server.listen()
        client.connect(path)  # anyone else may
        assert run("sockets", listening=path).value == {
            "connect": "EPERM",
            "datagrams": "EPERM",
            "reconnected": "EISCONN",
            "pair": "done",
            "virtual machine": "EPERM",
        }


def test_threads_pools_and_programs_work_as_before(run: Callable[..., Ended]) -> None:
    assert run("processes").value == ["1", ""]


def test_without_a_namespace_there_is_no_network_either(tmp_path: Path) -> None:
    code = (
        "from harness.process import confinement as c; import json, socket\n"
        "c.CLONE_NEWNET = c.CLONE_NEWUSER = 1 << 20\n"  # no such flag
        "held = c.confine()\n"
        "try: socket.socket()\n"
        "except PermissionError: held['network'] += ', seen'\n"
        "print(held['network'])"
    )
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-c", code]
    told = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    expected = "none, seen" if HAS_FILTER else "shared: Invalid argument"
    assert told.stdout.strip() == expected, told.stderr


WATCHES = """
import json, sys
from pathlib import Path
from harness.facts.typed import decode
from harness.process.executor import Worker, worker_environment
from harness.process.jobs import Job
folder, path, job = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3])
environment = worker_environment({"PYTHONPATH": path})
worker = Worker(decode(job, Job), environment, folder / "log", folder)
worker.wait(lambda done, total, what: print(done, flush=True))
"""


@needs_filter
@pytest.mark.parametrize("dies", ["the harness", "the worker"])
def test_a_daemon_that_a_worker_started_ends_with_it(tmp_path: Path, dies: str) -> None:
    """Two forks, two sessions and no ear for SIGTERM; by SIGKILL of the harness or of the worker."""
    path = f"{PROJECT}:{TESTS}"
    job = json.dumps(job_of("leave_a_daemon", dies=dies == "the worker").stored)
    process = subprocess.Popen(
        [sys.executable, "-c", WATCHES, str(tmp_path), path, job],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    daemon = psutil.Process(int(process.stdout.readline()))
    if dies == "the harness":
        process.send_signal(signal.SIGKILL)
    process.wait(PATIENCE_S)
    process.stdout.close()
    until(lambda: not alive(daemon), "the daemon's end")


def alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_the_filter_asks_for_no_mitigation_that_slows_down_what_is_timed() -> None:
    code = (
        "import ctypes; from harness.process import seccomp\n"
        "before = ctypes.CDLL(None).prctl(52, 0, 0, 0, 0)\n"  # PR_GET_SPECULATION_CTRL
        "ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)\n"
        "print(seccomp.refuse_calls(sockets=False), before == ctypes.CDLL(None).prctl(52, 0, 0, 0, 0))"
    )
    told = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True)
    assert told.stdout.split()[-1] == "True", told.stderr
    assert (told.stdout.split()[0] == "None") == HAS_FILTER


def test_every_refused_call_has_one_number() -> None:
    tables = (seccomp.REFUSED, seccomp.ABSENT, seccomp.IGNORED, seccomp.ASKED)
    numbers = [number for table in tables for number in table.values()]
    assert len(set(numbers)) == len(numbers)
