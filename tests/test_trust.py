"""What comes from elsewhere does no harm: snapshots, and what a worker could do if it were taken."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import pickletools
import resource
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness import executor
from harness.config import PROJECT
from harness.confinement import FILE_BYTES, NO_NETWORK
from harness.errors import InputError
from harness.executor import Ended as WorkerEnded
from harness.executor import Worker, worker_environment
from runs import TINY, CommandLine, Ended, no_stray

TESTS = Path(__file__).parent
SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI-made-up-for-this-test",
    "GITHUB_TOKEN": "ghp-made-up-for-this-test",
    "MY_PASSWORD": "correct-horse-made-up-for-this-test",
}


# --- snapshots


class Calls:
    """Pickles to a call of any function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self._reduced = function, arguments

    def __reduce__(self) -> Any:
        return self._reduced


def named(module: str, name: str, argument: str) -> bytes:
    """Return a pickle that calls ``module.name`` with one text."""
    quoted = [b"\x8c" + bytes([len(text)]) + text.encode() for text in (module, name, argument)]
    return b"\x80\x04" + quoted[0] + quoted[1] + b"\x93" + quoted[2] + b"\x85R."


def taken(marker: Path) -> dict[str, bytes]:
    """Return snapshots that make a file when they are read without care."""
    touch = f"touch {marker}"
    code = f"open({str(marker)!r}, 'w')"
    return {
        "system": pickle.dumps(Calls(os.system, touch)),
        "eval": pickle.dumps(Calls(eval, code)),
        "exec in a list": pickle.dumps([1, {"a": Calls(exec, code)}]),
        "old protocol": pickle.dumps(Calls(os.system, touch), protocol=0),
        "a name with dots": named("neural_compressor.utils.utility", "os.system", touch),
        "by way of what is allowed": named("collections", "abc.sys.modules", touch),
        "called like a strategy": named("os", "systemTuneStrategy", touch),
        "numpy's own loader": named("numpy", "load", str(marker)),
        "a getter": named("operator", "attrgetter", "__class__"),
        "a file": named("builtins", "open", str(marker)),
        "outside": b"\x80\x04\x8c\x01aQ.",
        "an extension": b"\x80\x04\x82\x01.",
    }


@pytest.mark.parametrize("kind", list(taken(Path("x"))))
def test_malicious_snapshot_is_refused_and_harmless(tmp_path: Path, kind: str) -> None:
    from harness.compat import import_inc

    import_inc()
    from harness.methods.snapshot import read_history

    marker = tmp_path / "taken"
    path = tmp_path / "history.snapshot"
    path.write_bytes(taken(marker)[kind])
    with pytest.raises(InputError, match=r"history\.snapshot cannot be read .* restore it"):
        read_history(path)
    assert not marker.exists()


def test_the_malicious_ones_are_what_they_say(tmp_path: Path) -> None:
    """Read without care, at least the plain ones do their harm: the test above tests something."""
    for kind in ("system", "eval", "old protocol"):
        marker = tmp_path / kind.replace(" ", "_")
        pickle.loads(taken(marker)[kind])
        assert marker.exists()


@pytest.mark.slow
def test_snapshot_of_the_run_is_read_and_another_one_only_when_asked(
    smoke_run: Ended, cli: CommandLine, tmp_path: Path
) -> None:
    folder = cli.copy_of(smoke_run)
    words = ("recover", f"run={folder.id}", "method=int8_inc_mse", "trial=1")
    path = folder.method("int8_inc_mse") / "history.snapshot"
    record = next(row for row in folder.load_records() if row.method == "int8_inc_mse")
    assert record.snapshot is not None and record.snapshot["path"] == path.name
    theirs = path.read_bytes()
    path.write_bytes(pickletools.optimize(theirs))  # the same history, and other bytes
    assert path.read_bytes() != theirs
    refused = cli(*words)
    assert (refused.code, refused.out) == (2, "")
    assert "recorded another one" in refused.err and "trust=true" in refused.err
    trusted = cli(*words, "trust=true")
    assert trusted.code == 0, trusted.err
    marker = tmp_path / "taken"
    path.write_bytes(taken(marker)["system"])
    harmed = cli(*words, "trust=true")
    assert (harmed.code, harmed.out) == (2, "")
    assert "posix.system, which no tuning history has" in harmed.err
    assert not marker.exists()
    no_stray(cli.results)


# --- workers


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., WorkerEnded]:
    def do(act: str, **fields: Any) -> WorkerEnded:
        environment = worker_environment({"PYTHONPATH": f"{PROJECT}:{TESTS}"})
        job = {"stage": "misbehaving.stage", "act": act, **fields}
        return Worker(job, environment, tmp_path / "log", tmp_path).wait(lambda *_: None)

    return do


def test_worker_is_confined_and_keeps_its_cores(
    run: Callable[..., WorkerEnded], listening: int
) -> None:
    ended = run("reach_out", port=listening)
    seen, confined = ended.value, ended.confined
    assert confined is not None
    assert seen["core"] == [0, 0]
    assert seen["file"] == [FILE_BYTES, FILE_BYTES] == [confined["file_bytes"]] * 2
    assert seen["no_new_privileges"] == "1" and confined["no_new_privileges"] is True
    assert seen["user"] == os.geteuid()
    assert seen["cpus"] == sorted(os.sched_getaffinity(0))
    unreachable = "Network is unreachable"
    assert seen["reached"] == (unreachable if confined["network"] == NO_NETWORK else "connected")
    assert confined["network"] == NO_NETWORK or confined["network"].startswith("shared: ")


def test_a_download_keeps_the_network(run: Callable[..., WorkerEnded], listening: int) -> None:
    ended = run("reach_out", port=listening, confine={"network": True})
    assert ended.value["reached"] == "connected"
    assert ended.confined is not None and ended.confined["network"] == "asked for a download"


def test_memory_is_bounded_where_a_job_says_so(run: Callable[..., WorkerEnded]) -> None:
    few = 256 << 20
    assert run("eat", bytes=1 << 20, confine={"memory_bytes": few}).value == 1 << 20
    ended = run("eat", bytes=1 << 30, confine={"memory_bytes": few})
    assert (ended.kind, ended.message) == (
        executor.ERROR,
        "MemoryError: memory is short (this process may hold 0.3 GB); if the model is one to trust, "
        "raise run.memory_gb",
    )
    assert resource.getrlimit(resource.RLIMIT_DATA)[1] == resource.RLIM_INFINITY


def test_where_the_kernel_allows_nothing_the_record_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code = (
        "from harness import confinement as c; import json\n"
        "c.CLONE_NEWNET = c.CLONE_NEWUSER = 1 << 20\n"  # no such flag
        "c.landlock.CREATE = c.seccomp.SECCOMP = 1 << 20\n"  # no such call
        "print(json.dumps(c.confine()))"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    confined = json.loads(told.stdout)
    assert confined["network"] == "shared: Invalid argument"
    assert confined["no_new_privileges"] is True
    assert confined["files"] == "missing: Function not implemented"
    assert confined["system_calls"] == "missing: Function not implemented"


# --- a whole run


def sockets_of(process: psutil.Process) -> list[str]:
    """Return the listening sockets of a process, in whichever network namespace it is."""
    inodes = set()
    for link in Path(f"/proc/{process.pid}/fd").iterdir():
        try:
            target = os.readlink(link)
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    found = []
    for name, state, listening, inode in (
        ("tcp", 3, "0A", 9),
        ("tcp6", 3, "0A", 9),
        ("udp", 3, "07", 9),  # unconnected: whoever knows the port may send
        ("udp6", 3, "07", 9),
        ("unix", 3, "00010000", 6),
    ):
        for line in Path(f"/proc/{process.pid}/net/{name}").read_text().splitlines()[1:]:
            parts = line.split()
            if parts[state] == listening and parts[inode] in inodes:
                found.append(f"{name} {line.strip()}")
    return found


def test_the_look_at_sockets_sees_one(listening: int) -> None:
    assert any(line.startswith("tcp ") for line in sockets_of(psutil.Process()))


@pytest.mark.slow
def test_nothing_listens_and_no_secret_is_kept(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    started = cli.start("method=[fp32]", *TINY)
    parent = psutil.Process(started.process.pid)
    looks, workers, listening = 0, set(), []
    while started.process.poll() is None:
        try:
            for process in (parent, *parent.children(recursive=True)):
                listening += sockets_of(process)
                workers.add(process.pid)
                looks += 1
        except (psutil.Error, OSError):
            continue  # one that has just ended
        with contextlib.suppress(subprocess.TimeoutExpired):
            started.process.wait(0.1)
    ended = started.end()
    assert ended.code == 0, ended.err
    assert listening == []
    assert looks > 10 and len(workers) >= 4  # the parent, inspect, prepare, optimize, validate
    kept = [path for root in (cli.results, cli.cache) for path in root.rglob("*") if path.is_file()]
    assert len(kept) > 10
    for path in kept:
        content = path.read_bytes()
        assert not [name for name, value in SECRETS.items() if value.encode() in content], path
        assert not [name for name in SECRETS if name.encode() in content], path
    for record in ended.records.values():
        for facts in (record.optimize, record.validate):
            assert facts is not None and facts["confined"]["core_bytes"] == 0
            assert facts["confined"]["no_new_privileges"] is True


def test_what_a_terminal_would_obey_is_replaced() -> None:
    from harness.escape import plain

    assert (
        plain("a\x1b]0;taken\x07b\x9b2J\rc\u202ed\ud800")
        == "a\ufffd]0;taken\ufffdb\ufffd2J\ufffdc\ufffdd\ufffd"
    )
    assert plain("ü 漢\n\t| 1.5 |") == "ü 漢\n\t| 1.5 |"
