"""Sets of real workers: they start together, and one that does not end well ends them all."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness import PROJECT
from harness.facts.typed import decode
from harness.process import executor
from harness.process.executor import Worker, worker_environment
from harness.process.jobs import Job, Ready, RunUntil
from harness.run.instances.instance_set import SetEnd, run_together

PATH = f"{PROJECT}:{PROJECT / 'tests'}"
QUIET: dict[str, Any] = {"before": "", "after": "", "orders": 2, "batch_s": 1.0}


def start(folder: Path, jobs: Sequence[dict[str, Any]]) -> list[Worker]:
    environment = worker_environment({"PYTHONPATH": PATH})
    described = [{"stage": "misbehaving.together", **QUIET, **job} for job in jobs]
    return [
        Worker(decode(job, Job), environment, folder / f"{n}.log", folder, takes_orders=True)
        for n, job in enumerate(described)
    ]


def moments(said: Sequence[Ready]) -> RunUntil:
    return RunUntil(moment=sum(one.batch_s for one in said))


def end_of(folder: Path, jobs: Sequence[dict[str, Any]], timeout_s: float = 0) -> SetEnd:
    workers = start(folder, jobs)
    ended = run_together(workers, moments, lambda *_: None, timeout_s)
    assert not any(psutil.pid_exists(worker.pid) for worker in workers)
    return ended


def test_all_get_each_order_once_all_are_ready(tmp_path: Path) -> None:
    ended = end_of(tmp_path, [{"batch_s": 1.0}, {"batch_s": 2.5}])
    assert ended.failed is None
    assert [end.value["moments"] for end in ended.ends] == [[3.5, 5.5], [3.5, 5.5]]


def test_binding_holds_for_the_whole_worker(tmp_path: Path) -> None:
    cpu = min(os.sched_getaffinity(0))
    ended = end_of(tmp_path, [{"binding": {"cpus": [cpu], "nodes": []}}])
    assert ended.ends[0].value["cpus"] == [cpu]


@pytest.mark.parametrize("when", ["before", "after"])
def test_one_that_dies_ends_the_set_and_says_how(tmp_path: Path, when: str) -> None:
    ended = end_of(tmp_path, [{"after": "hang"}, {when: "die"}, {"after": "hang"}])
    assert ended.failed == 1
    assert ended.ends[1].kind == executor.KILLED
    assert ended.ends[1].message == "killed by SIGKILL"


def test_one_that_fails_says_why(tmp_path: Path) -> None:
    ended = end_of(tmp_path, [{}, {"before": "fail"}])
    assert ended.failed == 1
    assert ended.ends[1].message == "it does not want to"


def test_limit_holds_for_one_that_never_gets_ready(tmp_path: Path) -> None:
    ended = end_of(tmp_path, [{}, {"before": "hang"}], timeout_s=20)
    assert ended.failed == 0
    assert [end.kind for end in ended.ends] == [executor.TIMEOUT] * 2


def test_interrupt_stops_all(tmp_path: Path) -> None:
    workers = start(tmp_path, [{}, {}])

    def interrupted(said: Sequence[Ready]) -> RunUntil:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_together(workers, interrupted, lambda *_: None)
    for worker in workers:
        status = os.waitpid(worker.pid, 0)[1]
        assert os.waitstatus_to_exitcode(status) == -signal.SIGTERM
