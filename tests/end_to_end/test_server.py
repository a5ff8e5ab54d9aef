"""The search for the highest rate of queries, by the real network in real instances."""

from __future__ import annotations

import csv

import pytest

from helpers.command_line import OWN, CommandLine

pytestmark = pytest.mark.slow
TABLES = ("server.csv", "server_trials.csv", "server.md")
TARGET_MS = 1000  # other tests take the CPUs meanwhile: a query may wait for one a good while
WORDS = (
    *("workload=tiny", "method=[fp32,fp32_fused]", "protocol=server", "protocol.instances=[1]"),
    *(
        "protocol.warmup_s=1",
        "protocol.profile_batches=0",
        f"protocol.server.latency_ms={TARGET_MS}",
    ),
    *("protocol.server.duration_s=10", "protocol.server.queries=459"),
    *("protocol.server.precision=0.5", "--conf", str(OWN)),
)


def test_each_row_has_the_rate_that_was_found_and_its_tables_are_rebuilt(cli: CommandLine) -> None:
    run = cli(*WORDS)
    assert run.outcomes == {"fp32": "ok", "fp32_fused": "ok"}
    folder = run.folder.path
    written = {name: (folder / name).read_text() for name in TABLES}
    rows = list(csv.DictReader(written["server.csv"].splitlines()))
    trials = list(csv.DictReader(written["server_trials.csv"].splitlines()))
    assert [row["method"] for row in rows] == ["fp32 no optimization", "fp32 fused"]
    for row in rows:
        own = [trial for trial in trials if trial["method"] == row["method"]]
        assert len(own) == int(row["trials"]) >= 2 and {one["passed"] for one in own} == {
            "yes",
            "no",
        }
        (found,) = (one for one in own if one["queries_per_s"] == row["queries_per_s"])
        assert found["passed"] == "yes" and float(found["p99_ms"]) <= TARGET_MS
        assert found["answered"] == found["queries"]
    for name in TABLES:
        (folder / name).unlink()
    assert cli("table", f"run={folder.name}").code == 0
    assert {name: (folder / name).read_text() for name in TABLES} == written


def test_a_batch_of_more_images_than_there_are_is_refused(cli: CommandLine) -> None:
    """No instance could make it, and none would ever begin."""
    refused = cli(
        "workload=tiny", "protocol=server", "protocol.server.batch=65", "--conf", str(OWN)
    )
    assert refused.code == 2
    said = "protocol.server.batch: whole batches are timed, and one of 65 needs more than the 64 images"
    assert said in refused.err
