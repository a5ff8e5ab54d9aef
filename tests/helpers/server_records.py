"""Invented searches for the highest rate of queries."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from harness.facts.machine_facts import Disturbance
from harness.facts.typed import plain
from harness.storage.configuration import Server
from harness.storage.record import Outcome, Split
from harness.storage.served.server_record import ServedTrial, ServeFacts, ServerRecord, TriedRate
from harness.storage.stage_facts import Stretch
from harness.storage.store import PLAN, RunFolder
from helpers.other_machine import edit

SERVER = Server(
    latency_ms=50, duration_s=20, queries=1000, precision=0.02, batch=4, delay_ms=5, seed=3
)
LOAD = Disturbance(kind="core_load", value=0.5, limit=0.1, advice="close what else runs")


def served(latencies: list[float], disturbed: bool = False) -> ServedTrial:
    return ServedTrial(
        latency_s=latencies,
        batch_sizes=[2] * (len(latencies) // 2),
        forward_s=[0.01] * (len(latencies) // 2),
        cpus=[0],
        conditions=Stretch(seconds=12.5),
        disturbed=[LOAD] if disturbed else [],
    )


def searched(method: str = "fp32", rate: float = 40.0, **changes: Any) -> ServerRecord:
    """Two instances, two trials: the first passed at that rate, the second ended early."""
    low = [number / 1000 for number in range(1, 51)]  # 1 to 50 ms
    high = [number / 1000 for number in range(51, 101)]
    return replace(
        ServerRecord(
            run="run",
            method=method,
            split=Split(2, 2),
            outcome=Outcome("ok"),
            placed=[[0], [1]],
            tried=[
                TriedRate(rate=rate, queries=100, allowed=50, late=50),
                TriedRate(rate=1.5 * rate, queries=120, allowed=1, late=2),
            ],
            highest=rate,
            shown=None,
            facts=[
                ServeFacts(batch_s=0.01, settled=True, trials=[served(low), served([0.5, 0.6])]),
                ServeFacts(batch_s=0.01, settled=True, trials=[served(high, True), served([])]),
            ],
        ),
        **changes,
    )


def as_server(folder: RunFolder) -> None:
    """Let a run's plan say that protocol=server measured it."""
    server = plain(SERVER)
    edit(folder.path / PLAN, lambda plan: plan["config"]["protocol"].update(server=server))
