"""A worker's stage that does what its job asks for, good or bad. No MXNet: it starts at once."""

from __future__ import annotations

import importlib
import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from harness.errors import HarnessError, InputError, NoSolution, TuningTimeout

FOR_EVER_S = 10**6  # longer than any test waits
Progress = Callable[[int, int, str], None]


def run(job: dict[str, Any], progress: Progress) -> Any:
    return globals()[job["act"]](job, progress)


def answer(job: dict[str, Any], progress: Progress) -> Any:
    return job["value"]


def environment(job: dict[str, Any], progress: Progress) -> dict[str, str]:
    return dict(os.environ)


def print_and_answer(job: dict[str, Any], progress: Progress) -> None:
    print("on stdout", flush=True)
    print("on stderr", file=sys.stderr, flush=True)


def count_in_parts(job: dict[str, Any], progress: Any) -> None:
    """Count in what a method of a user's may count in."""
    import numpy as np

    progress(0.5, 3, "parts")
    progress(np.int64(2), np.float32(3.5), "parts")
    progress(-1, 0, "parts")


def where(job: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Tell what is in the working directory, and where modules come from."""
    found = [importlib.import_module(name).__file__ for name in job["modules"]]
    cwd = os.getcwd()
    mode = stat.S_IMODE(os.stat(cwd).st_mode)
    return {"files": found, "path": sys.path, "cwd": cwd, "there": os.listdir(), "mode": mode}


def child_where(job: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Tell the same of a process that this one starts, in the folder above."""
    code = (
        "import importlib, json, sys\n"
        "found = [importlib.import_module(name).__file__ for name in sys.argv[1:]]\n"
        "print(json.dumps({'files': found, 'path': sys.path}))"
    )
    told = subprocess.check_output([sys.executable, "-c", code, *job["modules"]], cwd="..")
    return dict(json.loads(told))


def no_json(job: dict[str, Any], progress: Progress) -> object:
    return {"a set": {1}}


def fail(job: dict[str, Any], progress: Progress) -> None:
    errors: dict[str, Exception] = {
        "input": InputError("the file is missing"),
        "no solution": NoSolution("nothing more to try", 7),
        "timeout": TuningTimeout("5 s ended after 3 trials"),
        "failed": HarnessError("the saved model differs"),
        "unexpected": ValueError(
            'Traceback (most recent call last):\n  File "a.cc", line 1\n\nthe message itself\n'
        ),
    }
    raise errors[job["error"]]


def die(job: dict[str, Any], progress: Progress) -> None:
    os.kill(os.getpid(), getattr(signal, job["signal"]))


def leave(job: dict[str, Any], progress: Progress) -> None:
    os._exit(job["code"])


def fork_and_die(job: dict[str, Any], progress: Progress) -> None:
    """Die by SIGKILL while a forked child lives on, with the pipe to the parent open in it."""
    child = os.fork()
    if child == 0:
        time.sleep(FOR_EVER_S)
        os._exit(0)
    progress(child, 0, "child")
    os.kill(os.getpid(), signal.SIGKILL)


def hang_with_child(job: dict[str, Any], progress: Progress) -> None:
    """Start a process and hang; ``stubborn`` refuses SIGTERM, as does the child."""
    if job["stubborn"]:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    child = subprocess.Popen(["sleep", str(FOR_EVER_S)])
    progress(child.pid, 0, "child")
    time.sleep(FOR_EVER_S)


def hang_at_exit(job: dict[str, Any], progress: Progress) -> str:
    """Answer, then never come to an end."""
    import atexit

    atexit.register(time.sleep, FOR_EVER_S)
    progress(1, 1, "answering")
    return "answered"


def talk(job: dict[str, Any], progress: Progress) -> int:
    for number in range(job["messages"]):
        progress(number, job["messages"], "x" * job["size"])
    return int(job["messages"])


def print_much(job: dict[str, Any], progress: Progress) -> str:
    """Print so many bytes: a first line, many alike, a last line."""
    sys.stdout.write("the first line\n")
    left = job["bytes"] - len("the first line\nthe last line\n")
    while left > 0:
        left -= sys.stdout.write("x" * min(left - 1, 999) + "\n")
    sys.stdout.write("the last line\n")
    return "answered"


def never_quiet(job: dict[str, Any], progress: Progress) -> None:
    """Go on for ever, with progress or prints."""
    progress(0, 0, "nothing")
    while True:
        if job["prints"]:
            print("x" * 1000, flush=True)
        else:
            progress(0, 0, "nothing")


def reach_out(job: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """Try to reach the test's own server, and say what this process may still do."""
    import resource
    import socket

    try:
        socket.create_connection(("127.0.0.1", job["port"]), 5).close()
        reached = "connected"
    except OSError as error:
        reached = str(error.strerror)
    with open("/proc/self/status") as file:
        status = dict(line.split(":\t", 1) for line in file.read().splitlines() if ":\t" in line)
    return {
        "reached": reached,
        "core": resource.getrlimit(resource.RLIMIT_CORE),
        "file": resource.getrlimit(resource.RLIMIT_FSIZE),
        "data": resource.getrlimit(resource.RLIMIT_DATA),
        "no_new_privileges": status["NoNewPrivs"].strip(),
        "user": os.geteuid(),
        "cpus": sorted(os.sched_getaffinity(0)),
    }


def eat(job: dict[str, Any], progress: Progress) -> int:
    return len(bytearray(job["bytes"]))
