"""Workers: real processes that answer, fail, die, hang, flood, or lose their parent."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness import PROJECT
from harness.errors import HarnessError, InputError, of_system
from harness.facts.typed import decode
from harness.process import executor
from harness.process.executor import Ended, Worker, worker_environment
from harness.process.jobs import Job
from harness.process.own_modules import VARIABLE, named_in_environment, python_command
from harness.process.variables import TO_WORKERS
from harness.process.worker_log import HEAD_BYTES, ROTATED_BYTES, TAIL_BYTES
from helpers.command_line import PATIENCE_S, until
from helpers.refused_calls import without

TESTS = PROJECT / "tests"
PATH = f"{PROJECT}:{TESTS}"
Run = Callable[..., Ended]
LIMITS_S = (0.5, 5, 50, 500, 5000)  # of a process that must have begun by then, on any machine


def job_of(act: str, **fields: Any) -> Job:
    return decode({"stage": "misbehaving.stage", "act": act, **fields}, Job)


@pytest.fixture
def said() -> list[tuple[int, int, str]]:
    """What a worker reported."""
    return []


@pytest.fixture
def run(tmp_path: Path, said: list[tuple[int, int, str]]) -> Run:
    """Return a function that does one act in a worker and returns how it ended."""

    def do(act: str, timeout_s: float = 0, **fields: Any) -> Ended:
        environment = worker_environment({"PYTHONPATH": PATH})
        worker = Worker(job_of(act, **fields), environment, tmp_path / "log", tmp_path)
        return worker.wait(lambda *message: said.append(message), timeout_s)

    return do


def timed_out(run: Run, said: list[tuple[int, int, str]], act: str, **fields: Any) -> Ended:
    """Return how an act ended at a limit that left it time to begin, and to say so."""
    for limit in LIMITS_S:
        ended = run(act, timeout_s=limit, **fields)
        assert (ended.kind, ended.message) == (executor.TIMEOUT, f"no end after {limit} s")
        if said:
            return ended
    raise AssertionError(f"{act} did not begin")


def gone(pid: int) -> bool:
    """Wait until a process has ended; a zombie has. Looks at it: psutil's own wait takes a pidfd."""

    def has_ended() -> bool:
        try:
            return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    until(has_ended, f"the end of process {pid}")
    return True


@pytest.mark.parametrize("value", [None, 3.5, "text\nof two lines", {"a": [1, {"b": "ü"}]}])
def test_result_comes_back_as_it_was(run: Run, value: Any) -> None:
    ended = run("answer", value=value)
    assert (ended.kind, ended.value, ended.error) == (executor.DONE, value, None)
    assert ended.seconds > 0
    assert ended.peak_rss_bytes > 1 << 20


def test_large_job_and_large_result(run: Run) -> None:
    value = ["x" * 1000] * 5000  # far more than a pipe holds
    assert run("answer", value=value).value == value


def test_prints_go_to_the_log(run: Run, tmp_path: Path) -> None:
    run("print_and_answer")
    log = (tmp_path / "log").read_text()
    assert "on stdout" in log
    assert "on stderr" in log


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        ("input", "input", "the file is missing"),
        ("no solution", "no solution", "nothing more to try"),
        ("timeout", "timeout", "5 s ended after 3 trials"),
        ("failed", "failed", "the saved model differs"),
        ("unexpected", "failed", "ValueError: the message itself"),
    ],
)
def test_error_keeps_its_kind_and_one_line(
    run: Run, tmp_path: Path, error: str, kind: str, message: str
) -> None:
    ended = run("fail", error=error)
    assert ended.kind == executor.ERROR
    assert ended.error is not None
    assert ended.error.kind == kind
    assert ended.message == message
    assert ended.error.trials == (7 if error == "no solution" else None)
    assert "Traceback" in (tmp_path / "log").read_text()


def test_unknown_stage_is_an_error(run: Run, tmp_path: Path) -> None:
    environment = worker_environment({"PYTHONPATH": PATH})
    worker = Worker(Job(stage="nosuch"), environment, tmp_path / "log", tmp_path)
    ended = worker.wait(lambda *_: None)
    assert ended.kind == executor.ERROR
    assert "nosuch" in ended.message


def test_result_that_is_no_json_is_an_error(run: Run) -> None:
    ended = run("no_json")
    assert ended.kind == executor.ERROR
    assert "set is not JSON serializable" in ended.message


@pytest.mark.parametrize("name", ["SIGKILL", "SIGSEGV", "SIGABRT", "SIGTERM"])
def test_death_by_a_signal_is_told(run: Run, name: str) -> None:
    ended = run("die", signal=name)
    assert (ended.kind, ended.message) == (executor.KILLED, f"killed by {name}")


@pytest.mark.parametrize("code", [0, 5])
def test_exit_without_an_answer_is_told(run: Run, code: int) -> None:
    ended = run("leave", code=code)
    assert ended.kind == executor.KILLED
    assert ended.message == f"ended with exit code {code} without an answer"


def test_death_is_seen_and_the_child_ended_when_a_child_holds_the_pipe(
    run: Run, said: list[tuple[int, int, str]]
) -> None:
    ended = run("fork_and_die", timeout_s=PATIENCE_S)
    assert (ended.kind, ended.message) == (executor.KILLED, "killed by SIGKILL")
    assert gone(said[0][0])


@pytest.mark.parametrize("stubborn", [False, True])
def test_timeout_ends_the_whole_group(
    run: Run, said: list[tuple[int, int, str]], stubborn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "GRACE_S", 0.5)
    timed_out(run, said, "hang_with_child", stubborn=stubborn)
    assert len(said) == 1
    assert gone(said[0][0])


def test_timeout_holds_for_the_way_out_too(run: Run, said: list[tuple[int, int, str]]) -> None:
    timed_out(run, said, "hang_at_exit")
    assert said == [(1, 1, "answering")]


def test_much_progress_does_not_block(run: Run, said: list[tuple[int, int, str]]) -> None:
    ended = run("talk", messages=20_000, size=200)
    assert (ended.kind, ended.value) == (executor.DONE, 20_000)
    assert [number for number, _, _ in said] == list(range(20_000))


def test_progress_longer_than_a_pipe(run: Run, said: list[tuple[int, int, str]]) -> None:
    assert run("talk", messages=3, size=300_000).kind == executor.DONE
    assert [len(text) for _, _, text in said] == [300_000] * 3


def test_progress_in_parts_is_whole(run: Run, said: list[tuple[int, int, str]]) -> None:
    assert run("count_in_parts").kind == executor.DONE
    assert said == [(0, 3, "parts"), (2, 3, "parts"), (0, 0, "parts")]


def test_many_workers_at_once_that_nobody_listens_to_yet(tmp_path: Path) -> None:
    environment = worker_environment({"PYTHONPATH": PATH})
    workers = [
        Worker(job_of("talk", messages=2000, size=200), environment, tmp_path / "log", tmp_path)
        for _ in range(4)
    ]
    assert [w.wait(lambda *_: None).value for w in workers] == [2000] * 4


def test_environment_is_the_allow_list(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MY_API_TOKEN", "secret")
    monkeypatch.setenv("OMP_NUM_THREADS", "77")
    monkeypatch.setenv("FORCE_BF16", "1")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    seen = run("environment").value
    made_by_python = {"LC_CTYPE"}
    made_by_python |= {"PYTHONHASHSEED", "PYTHONPATH", "PYTHONSAFEPATH"}
    assert set(seen) <= {*TO_WORKERS, *made_by_python}
    assert "secret" not in seen.values()
    assert seen["ONEDNN_MAX_CPU_ISA"] == "AVX2"
    assert seen["PYTHONPATH"] == PATH


@pytest.mark.parametrize("act", ["where", "child_where"])
def test_no_module_comes_from_a_working_directory(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    """Neither from the folder that a worker works for, nor from where the harness was started."""
    started_in = tmp_path / "started_in"
    for folder in (tmp_path, started_in):
        (folder / "harness").mkdir(parents=True)
        for name in ("numpy", "mxnet", "runpy", "sitecustomize", "harness/__init__"):
            (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    monkeypatch.chdir(started_in)
    ended = run(act, modules=["numpy", "harness", "runpy"])
    assert ended.kind == executor.DONE, ended.message
    assert not (tmp_path / "ran").exists()
    assert not [path for path in ended.value["files"] if path.startswith(str(tmp_path))]
    relative = [path for path in ended.value["path"] if not os.path.isabs(path)]
    assert not relative and str(tmp_path) not in ended.value["path"]


def test_a_worker_works_in_an_empty_folder_of_its_own(run: Run, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("")
    ended = run("where", modules=[])
    assert Path(ended.value["cwd"]).parent == tmp_path and ended.value["there"] == []
    assert ended.value["mode"] == 0o700
    assert not list(tmp_path.glob(f"{executor.ASIDE}*"))


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / "methods" / "fp32" / f"{executor.ASIDE}x"
    left.mkdir(parents=True)
    (left / "file").write_text("")
    executor.clear_asides(tmp_path)
    assert list((tmp_path / "methods").rglob("*")) == [left.parent]


def test_folders_of_modules_may_hold_a_colon(tmp_path: Path) -> None:
    odd = tmp_path / "a:b"
    named = named_in_environment([tmp_path, odd])
    assert named["PYTHONPATH"] == f"{PROJECT}:{tmp_path}"
    assert json.loads(named[VARIABLE]) == [str(tmp_path), str(odd)]


def test_what_the_run_sets_wins_over_what_is_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", "/inherited")
    assert worker_environment({})["LD_LIBRARY_PATH"] == "/inherited"
    assert worker_environment({"LD_LIBRARY_PATH": "/set"})["LD_LIBRARY_PATH"] == "/set"


def test_interrupt_while_waiting_stops_the_worker(tmp_path: Path) -> None:
    started: list[int] = []

    def interrupted(done: int, total: int, what: str) -> None:
        started.append(done)
        raise KeyboardInterrupt

    environment = worker_environment({"PYTHONPATH": PATH})
    job = job_of("hang_with_child", stubborn=False)
    worker = Worker(job, environment, tmp_path / "log", tmp_path)
    with pytest.raises(KeyboardInterrupt):
        worker.wait(interrupted)
    assert gone(worker.pid)
    assert gone(started[0])


@pytest.mark.parametrize("prints", [False, True])
def test_timeout_holds_for_one_that_is_never_quiet(
    run: Run, said: list[tuple[int, int, str]], prints: bool
) -> None:
    timed_out(run, said, "never_quiet", prints=prints)


def test_what_is_printed_is_kept_up_to_a_bound(run: Run, tmp_path: Path) -> None:
    printed = 20_000_000
    assert run("print_much", bytes=printed).value == "answered"
    log = (tmp_path / "log").read_bytes()
    assert len(log) < HEAD_BYTES + TAIL_BYTES + 100
    assert log.startswith(b"the first line\nxxx")
    assert log.endswith(b"xxx\nthe last line\n")
    said = b"\n[... %d bytes left out ...]\n" % (printed - HEAD_BYTES - TAIL_BYTES)
    assert said in log


def test_less_is_kept_whole(run: Run, tmp_path: Path) -> None:
    printed = HEAD_BYTES + TAIL_BYTES
    run("print_much", bytes=printed)
    assert (tmp_path / "log").stat().st_size == printed
    assert b"left out" not in (tmp_path / "log").read_bytes()


def test_logs_of_many_processes_rotate(run: Run, tmp_path: Path) -> None:
    for _ in range(5):
        run("print_much", bytes=3 * (HEAD_BYTES + TAIL_BYTES))
    logs = sorted(path.name for path in tmp_path.iterdir())
    assert logs == ["log", "log.1"]
    assert sum((tmp_path / name).stat().st_size for name in logs) < 2 * (
        ROTATED_BYTES + HEAD_BYTES + TAIL_BYTES
    )


def test_a_full_disk_costs_the_log_alone(tmp_path: Path) -> None:
    environment = worker_environment({"PYTHONPATH": PATH})
    job = job_of("print_much", bytes=100_000)
    worker = Worker(job, environment, Path("/dev/full"), tmp_path)
    assert worker.wait(lambda *_: None).value == "answered"


def test_a_crash_leaves_its_stack_in_the_log(run: Run, tmp_path: Path) -> None:
    run("die", signal="SIGSEGV")
    assert "Fatal Python error: Segmentation fault" in (tmp_path / "log").read_text()


def test_a_kill_for_want_of_memory_is_told(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = iter(["oom_kill 7\n", "oom_kill 8\n"])

    class Counter:
        def read_text(self) -> str:
            return next(counts)

    monkeypatch.setattr(executor, "VMSTAT", Counter())
    message = run("die", signal="SIGKILL").message
    assert re.fullmatch(
        r"killed by SIGKILL as memory ran out \(it held \d+ MB at the most\)", message
    )


@pytest.fixture(params=["EPERM", "ENOSYS", "EACCES", "EINVAL"])
def no_pidfd(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make pidfd_open one that the kernel refuses."""
    number = getattr(errno, request.param)

    def refuse(pid: int, flags: int = 0) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "pidfd_open", refuse)


@pytest.mark.usefixtures("no_pidfd")
class TestWithoutPidfd:
    """A thread waits for the worker's end; all else is as it is with a pidfd."""

    def test_an_answer(self, run: Run) -> None:
        before = len(os.listdir("/proc/self/fd"))
        assert run("answer", value=1).value == 1
        assert [run("answer", value=n).value for n in range(3)] == [0, 1, 2]
        for thread in threading.enumerate():
            if thread.name.startswith("end of"):
                thread.join()
        assert len(os.listdir("/proc/self/fd")) <= before

    def test_the_end_of_the_process_counts_not_that_of_the_pipe(
        self, run: Run, said: list[tuple[int, int, str]]
    ) -> None:
        ended = run("fork_and_die", timeout_s=600)
        assert (ended.kind, ended.message) == (executor.KILLED, "killed by SIGKILL")
        assert gone(said[0][0])

    def test_a_timeout(self, run: Run, said: list[tuple[int, int, str]]) -> None:
        ended = timed_out(run, said, "hang_with_child", stubborn=False)
        assert ended.peak_rss_bytes > 0
        assert gone(said[0][0])

    def test_a_timeout_on_the_way_out(self, run: Run, said: list[tuple[int, int, str]]) -> None:
        timed_out(run, said, "hang_at_exit")


def test_a_refused_call_is_named_and_no_file_is_blamed(tmp_path: Path) -> None:
    """A real kernel refuses it to a real worker's parent."""
    code = (
        "import sys; from pathlib import Path; from harness.process.executor import Worker\n"
        "from harness.process.jobs import Job\n"
        "try:\n    Worker(Job(stage='x'), {}, Path(sys.argv[1]) / 'log', Path(sys.argv[1]))\n"
        "except OSError as error:\n    from harness.errors import of_system; print(of_system(error))"
    )
    told = subprocess.run(
        [*without("setsid", errno.EPERM), sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        check=True,
    )
    assert "setsid" in told.stdout and "seccomp" in told.stdout
    assert str(tmp_path) not in told.stdout and "permissions" not in told.stdout


def raised(action: Callable[[], object]) -> OSError:
    with pytest.raises(OSError) as caught:
        action()
    return caught.value


def test_errors_of_files_name_the_file_and_others_the_call(tmp_path: Path) -> None:
    named = of_system(raised(lambda: (tmp_path / "no" / "x").open("w")))
    assert isinstance(named, HarnessError)
    assert str(named).startswith(f"{tmp_path}/no/x: No such file or directory")
    refused = OSError(errno.EACCES, os.strerror(errno.EACCES), "/data/x")
    assert isinstance(of_system(refused), InputError)
    assert "change the permissions" in str(of_system(refused))
    full = of_system(raised(lambda: Path("/dev/full").write_text("x")))
    assert isinstance(full, InputError) and "free some space" in str(full)
    bad = of_system(raised(lambda: os.close(1 << 20)))
    assert str(bad).startswith("os.close: Bad file descriptor")
    for number in (errno.EPERM, errno.EACCES, errno.ENOSYS):
        told = of_system(OSError(number, os.strerror(number)))
        assert isinstance(told, HarnessError) and "seccomp" in str(told)
        assert "permissions" not in str(told) and "a file" not in str(told)
    many = of_system(OSError(errno.EMFILE, os.strerror(errno.EMFILE)))
    assert "ulimit -n" in str(many)


def test_stop_after_the_end_does_nothing(tmp_path: Path) -> None:
    environment = worker_environment({"PYTHONPATH": PATH})
    worker = Worker(job_of("answer", value=1), environment, tmp_path / "log", tmp_path)
    assert worker.wait(lambda *_: None).value == 1
    worker.stop()


PARENT = """
import sys
from pathlib import Path
from harness.facts.typed import decode
from harness.process.executor import Worker, worker_environment
from harness.process.jobs import Job
job = {"stage": "misbehaving.stage", "act": "hang_with_child", "stubborn": False}
folder = Path(sys.argv[1])
environment = worker_environment({"PYTHONPATH": sys.argv[2]})
worker = Worker(decode(job, Job), environment, folder / "log", folder)
worker.wait(lambda *_: print(worker.pid, flush=True))
"""


def test_worker_dies_with_its_parent(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path), PATH],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": PATH},
    )
    assert parent.stdout is not None
    with parent, parent.stdout:
        worker = psutil.Process(int(parent.stdout.readline()))
        children = worker.children()
        parent.kill()
        parent.wait()
    assert gone(worker.pid)
    for child in children:  # the test's own; a worker of the harness starts no process
        child.kill()


def test_worker_whose_parent_is_not_the_one_named_leaves_at_once(tmp_path: Path) -> None:
    read, write = os.pipe()
    other = psutil.Process().ppid()
    with os.fdopen(read) as pipe:
        ended = subprocess.run(
            python_command("harness.process.worker", str(write), str(other)),
            input=b'{"stage": "misbehaving.stage", "act": "answer", "value": 1}',
            pass_fds=[write],
            env={**os.environ, "PYTHONPATH": PATH},
            check=False,
        )
        os.close(write)
        assert ended.returncode == 1
        assert pipe.read() == ""
