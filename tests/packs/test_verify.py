"""Digests of all but times: the same for the same run, and every damage is found."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.facts.typed import changed, decode
from harness.packs.verify import DIGESTS
from harness.storage.deterministic_part import deterministic_part, digests
from harness.storage.record import MethodRecord, Outcome
from harness.storage.stage_facts import Optimize
from harness.storage.store import PACKED, PLAN, RunFolder
from helpers.command_line import TINY, CommandLine, Ended
from helpers.sample_records import measured, plan

TRIAL = {
    "trial": 1, "accuracy": 0.5, "seconds": 1.0, "evaluation_seconds": 0.5, "changed": {},
}  # fmt: skip


def rows() -> list[MethodRecord]:
    made = measured("fp32", 10.0)
    assert made.validate is not None
    optimize = {
        "cost_s": 3.0,
        "symbol": file("a"),
        "params": file("b"),
        "trajectory": [TRIAL],
        "disturbed": [],
    }
    validate = changed(made.validate, predictions=file("c"))
    return [replace(made, validate=validate, optimize=decode(optimize, Optimize))]


def file(digit: str) -> dict[str, Any]:
    return {"path": "file", "sha256": 64 * digit}


def of(records: list[MethodRecord]) -> dict[str, str]:
    return digests(deterministic_part(plan(), records))


def test_times_do_not_count() -> None:
    (row,) = rows()
    assert row.optimize is not None and row.validate is not None
    trial = {**TRIAL, "seconds": 7.0, "evaluation_seconds": 6.0}
    slower = changed(row.optimize, cost_s=9.0, trajectory=[trial])
    validate = changed(row.validate, validation_s=99.0, forward_s=[1.0])
    assert of([replace(row, optimize=slower, validate=validate, run="other")]) == of(rows())


@pytest.mark.parametrize(
    "change",
    [
        lambda row: replace(row, outcome=Outcome("no solution", trials=3)),
        lambda row: replace(row, optimize=changed(row.optimize, symbol=file("d"))),
        lambda row: replace(row, optimize=changed(row.optimize, quantization={"trials": 2})),
        lambda row: replace(row, validate=changed(row.validate, predictions=file("e"))),
        lambda row: replace(
            row, optimize=changed(row.optimize, trajectory=[{**TRIAL, "accuracy": 0.4}])
        ),
    ],
)
def test_everything_else_does(change: Callable[[MethodRecord], MethodRecord]) -> None:
    before, after = of(rows()), of([change(row) for row in rows()])
    assert before["workload"] == after["workload"]
    assert before["fp32"] != after["fp32"] and before["*"] != after["*"]


def test_a_whole_run_is_verified(cli: CommandLine, smoke_run: Ended) -> None:
    folder = cli.copy_of(smoke_run)
    ended = cli("verify", f"run={folder.id}")
    assert ended.code == 0, ended.out
    stored = json.loads((folder.path / DIGESTS).read_text())
    assert f"digest of all but times: {stored['*']}" in ended.out
    assert f"digest of all but times: {stored['*']}" in smoke_run.err
    # the workload's two; symbol, params and predictions of four rows; one tuning history
    assert f"run {folder.id}: 15 files checked, 0 findings" in ended.out
    again = cli("verify", f"run={folder.id}", f"with={folder.id}")
    assert again.code == 0 and again.out.endswith("the same\n")


@pytest.mark.slow
def test_a_second_run_is_the_same(cli: CommandLine) -> None:
    words = ("method=[int8_smart_naive]", "baseline=int8_smart_naive", *TINY)
    for name in ("one", "other"):
        ended = cli(f"run.id={name}", *words)
        assert ended.code == 0, ended.err
    compared = cli("verify", "run=one", "with=other")
    assert compared.code == 0, compared.out
    assert compared.out.endswith("run other: the same\n")


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))


def test_every_damage_is_named(cli: CommandLine, smoke_run: Ended) -> None:
    folder = cli.copy_of(smoke_run)
    other = RunFolder(folder.path.rename(folder.path.with_name("damaged")))
    base = other.method("fp32_fused")
    flip(base / "model-0000.params")
    (base / "predictions.npz").unlink()
    record = next((other.path / "records").glob("*_int8_smart_naive.json"))
    record.write_text(record.read_text().replace('"kind": "ok"', '"kind": "failed"'))
    ended = cli("verify", "run=damaged")
    assert ended.code == 1
    assert "fp32_fused/model-0000.params is not the file that was recorded" in ended.out
    assert "fp32_fused/predictions.npz is missing" in ended.out
    assert "int8_smart_naive differs from what the records say now" in ended.out
    cli.copy_of(smoke_run)
    compared = cli("verify", f"run={folder.id}", "with=damaged")
    assert compared.code == 1 and compared.out.endswith("differs in int8_smart_naive\n")


def test_a_path_that_came_with_a_run_is_not_opened(cli: CommandLine, smoke_run: Ended) -> None:
    """It may name a device, another user's folder, or a FIFO that nobody writes to."""
    folder = cli.copy_of(smoke_run)
    fifo = folder.path.parent / "fifo"
    os.mkfifo(fifo)
    plan = json.loads((folder.path / PLAN).read_text())
    plan["files"]["rec"]["path"] = str(fifo)
    plan["files"]["params"]["path"] = "~nobody/x"
    (folder.path / PLAN).write_text(json.dumps(plan))
    (folder.path / PACKED).write_text("{}")
    ended = cli("verify", f"run={folder.id}")
    assert "2 workload files are not here, so they were not checked\n" in ended.out
