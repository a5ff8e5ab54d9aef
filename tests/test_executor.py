"""Workers: real processes that answer, fail, die, hang, flood, or lose their parent."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness import executor
from harness.config import PROJECT
from harness.executor import Ended, Worker, worker_environment
from harness.variables import TO_WORKERS
from harness.worker_log import HEAD_BYTES, ROTATED_BYTES, TAIL_BYTES

TESTS = Path(__file__).parent
PATH = f"{PROJECT}:{TESTS}"
Run = Callable[..., Ended]


def job_of(act: str, **fields: Any) -> dict[str, Any]:
    return {"stage": "misbehaving.stage", "act": act, **fields}


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


def gone(pid: int) -> bool:
    """Say whether a process ends within a minute; a zombie has ended."""
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return True
        process.wait(60)
    except psutil.NoSuchProcess:
        return True
    except psutil.TimeoutExpired:
        return False
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


def test_prints_go_to_the_log_and_the_working_folder_is_given(run: Run, tmp_path: Path) -> None:
    assert run("print_and_answer").value == str(tmp_path)
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
    assert ended.error["kind"] == kind
    assert ended.message == message
    assert ended.error["trials"] == (7 if error == "no solution" else None)
    assert "Traceback" in (tmp_path / "log").read_text()


def test_unknown_stage_is_an_error(run: Run, tmp_path: Path) -> None:
    environment = worker_environment({"PYTHONPATH": PATH})
    worker = Worker({"stage": "nosuch"}, environment, tmp_path / "log", tmp_path)
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
    ended = run("fork_and_die", timeout_s=60)
    assert (ended.kind, ended.message) == (executor.KILLED, "killed by SIGKILL")
    assert gone(said[0][0])


@pytest.mark.parametrize("stubborn", [False, True])
def test_timeout_ends_the_whole_group(
    run: Run, said: list[tuple[int, int, str]], stubborn: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "GRACE_S", 0.5)
    ended = run("hang_with_child", timeout_s=3, stubborn=stubborn)
    assert (ended.kind, ended.message) == (executor.TIMEOUT, "no end after 3 s")
    assert len(said) == 1
    assert gone(said[0][0])


def test_timeout_holds_for_the_way_out_too(run: Run) -> None:
    assert run("hang_at_exit", timeout_s=3).kind == executor.TIMEOUT


def test_much_progress_does_not_block(run: Run, said: list[tuple[int, int, str]]) -> None:
    ended = run("talk", messages=20_000, size=200)
    assert (ended.kind, ended.value) == (executor.DONE, 20_000)
    assert [number for number, _, _ in said] == list(range(20_000))


def test_progress_longer_than_a_pipe(run: Run, said: list[tuple[int, int, str]]) -> None:
    assert run("talk", messages=3, size=300_000).kind == executor.DONE
    assert [len(text) for _, _, text in said] == [300_000] * 3


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
    assert set(seen) - made_by_python <= {*TO_WORKERS, "PYTHONHASHSEED", "PYTHONPATH"}
    assert "secret" not in seen.values()
    assert seen["ONEDNN_MAX_CPU_ISA"] == "AVX2"
    assert seen["PYTHONPATH"] == PATH


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
def test_timeout_holds_for_one_that_is_never_quiet(run: Run, prints: bool) -> None:
    ended = run("never_quiet", timeout_s=2, prints=prints)
    assert (ended.kind, ended.message) == (executor.TIMEOUT, "no end after 2 s")


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


def test_stop_after_the_end_does_nothing(tmp_path: Path) -> None:
    environment = worker_environment({"PYTHONPATH": PATH})
    worker = Worker(job_of("answer", value=1), environment, tmp_path / "log", tmp_path)
    assert worker.wait(lambda *_: None).value == 1
    worker.stop()


PARENT = """
import sys
from pathlib import Path
from harness.executor import Worker, worker_environment
job = {"stage": "misbehaving.stage", "act": "hang_with_child", "stubborn": False}
folder = Path(sys.argv[1])
worker = Worker(job, worker_environment({"PYTHONPATH": sys.argv[2]}), folder / "log", folder)
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
            [sys.executable, "-m", "harness.worker", str(write), str(other)],
            input=b'{"stage": "misbehaving.stage", "act": "answer", "value": 1}',
            pass_fds=[write],
            env={**os.environ, "PYTHONPATH": PATH},
            check=False,
        )
        os.close(write)
        assert ended.returncode == 1
        assert pipe.read() == ""
