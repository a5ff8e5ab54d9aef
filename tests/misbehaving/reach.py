"""A worker's stage that tries what no worker may: each act says how the system answered."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FOR_EVER_S = 10**6
NUMBERS = {"ptrace": 101, "setns": 308, "process_vm_readv": 310, "kcmp": 312, "bpf": 321,
           "perf_event_open": 298, "io_uring_setup": 425, "unshare": 272, "pidfd_getfd": 438,
           "mount": 165, "clone3": 435}  # fmt: skip
Progress = Callable[[int, int, str], None]


def run(job: dict[str, Any], progress: Progress) -> Any:
    return globals()[job["act"]](job, progress)


def answered(call: Callable[[], Any]) -> str:
    try:
        call()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "done"


def files(job: dict[str, Any], progress: Progress) -> dict[str, str]:
    """Read and write files: job["readable"], and others of whose paths the job has the parts."""
    beside, project = Path("/", *job["beside"]), Path("/", *job["project"])
    parent = Path("/proc") / str(os.getppid())
    return {
        "read what is named": answered(lambda: Path(job["readable"]).read_bytes()),
        "write what is named": answered(lambda: Path(job["readable"]).open("r+b")),
        "read beside it": answered(lambda: beside.read_bytes()),
        "write beside it": answered(lambda: beside.with_name("new").write_bytes(b"")),
        "link to it": answered(lambda: os.link(beside, "link")),
        "write the working directory": answered(lambda: Path("new").write_bytes(b"")),
        "temporary file": answered(temporary),
        "environment of the parent": answered(lambda: (parent / "environ").read_bytes()),
        "memory of the parent": answered(lambda: (parent / "mem").open("rb")),
        "network of the parent": answered(lambda: (parent / "ns" / "net").open("rb")),
        "own environment": answered(lambda: Path("/proc/self/environ").read_bytes()),
        "signal to the parent": answered(lambda: os.kill(os.getppid(), 0)),
        "the project": answered(lambda: (project / "README.md").read_bytes()),
        "its history": answered(lambda: (project / ".git" / "HEAD").read_bytes()),
        "into the project": answered(lambda: (project / "harness" / "x").touch()),
    }


def temporary() -> None:
    import tempfile

    with tempfile.NamedTemporaryFile() as file, tempfile.TemporaryDirectory():
        assert Path(file.name).is_relative_to(os.getcwd())


def calls(job: dict[str, Any], progress: Progress) -> dict[str, str]:
    libc = ctypes.CDLL(None, use_errno=True)
    found = {}
    for name, number in NUMBERS.items():
        ctypes.set_errno(0)
        libc.syscall(number, 0, 0, 0, 0, 0, 0)
        found[name] = errno.errorcode.get(ctypes.get_errno(), "done")
    return found


def sockets(job: dict[str, Any], progress: Progress) -> dict[str, str]:
    def connect() -> None:
        with socket.socket(socket.AF_UNIX) as ours:
            ours.connect(job["listening"])

    def datagrams() -> None:
        ours, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        ours.connect(job["listening"])

    def reconnected() -> None:
        ours, _ = socket.socketpair()
        ours.connect(job["listening"])

    return {
        "connect": answered(connect),
        "datagrams": answered(datagrams),
        "reconnected": answered(reconnected),
        "pair": answered(socket.socketpair),
        "virtual machine": answered(lambda: socket.socket(socket.AF_VSOCK)),
    }


def processes(job: dict[str, Any], progress: Progress) -> list[str]:
    """Use threads, a pool, locks and a program, as the packages that are measured do."""
    import multiprocessing
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(abs, [-1, 1])) == [1, 1]
    with multiprocessing.get_context("fork").Pool(2) as workers:
        assert workers.map(abs, [-1, 1]) == [1, 1]
    told = subprocess.run(
        [sys.executable, "-c", "print(1)"], capture_output=True, text=True, start_new_session=True
    )
    return [told.stdout.strip(), told.stderr]


def leave_a_daemon(job: dict[str, Any], progress: Progress) -> None:
    """Start a daemon as daemons do it: fork, a session of its own, fork; then wait for ever."""
    read, write = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.setsid()
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)
            os.write(write, str(os.getpid()).encode())
            time.sleep(FOR_EVER_S)
        os._exit(0)
    progress(int(os.read(read, 20)), 0, "daemon")
    if job["dies"]:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(FOR_EVER_S)
