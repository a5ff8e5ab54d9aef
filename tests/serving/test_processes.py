"""A search by real processes, which serve one line of queries between them."""

from __future__ import annotations

from pathlib import Path

from harness import PROJECT
from harness.facts.typed import decode
from harness.process.executor import Worker, worker_environment
from harness.process.jobs import Job
from harness.run.instances.instance_set import run_together
from harness.run.instances.server_rows import Trials
from harness.serving.line import Line
from harness.storage.configuration import Server

PATH = f"{PROJECT}:{PROJECT / 'tests'}"
SERVICE_S = 0.001


def test_two_processes_serve_every_query_once(tmp_path: Path) -> None:
    server = Server(
        latency_ms=40, duration_s=0.4, queries=459, precision=0.5, batch=2, delay_ms=1, seed=1
    )
    line = Line.new()
    trials = Trials(server, line, 1)
    environment = worker_environment({"PYTHONPATH": PATH})
    described = {
        "stage": "helpers.synthetic_server",
        "line": line.descriptor,
        "batch": server.batch,
        "service_s": SERVICE_S,
    }
    workers = [
        Worker(
            decode(described, Job),
            environment,
            tmp_path / f"{number}.log",
            tmp_path,
            takes_orders=True,
            inherited=[line.descriptor],
        )
        for number in range(2)
    ]
    ended = run_together(workers, trials.next_order, lambda *_: None)
    line.close()
    assert ended.failed is None and trials.tried
    capacity = server.batch * 2 / SERVICE_S
    assert trials.tried[0].rate == capacity / 2
    rates = {one.rate for one in trials.tried if one.late <= one.allowed}
    assert trials.rates.highest in {*rates, None} and trials.rates.shown in {*rates, None}
    parts = [end.value for end in ended.ends]
    for number, one in enumerate(trials.tried):
        latencies = [latency for part in parts for latency in part[number]]
        assert min(latencies) >= SERVICE_S
        assert sum(latency > 0.040 for latency in latencies) == one.late
        assert one.queries == max(459, -(-one.rate * 0.4 // 1))
        if one.late <= one.allowed:
            assert len(latencies) == one.queries
        else:
            assert len(latencies) <= one.queries
