"""The splits that a configuration asks for, and the rounds in which they are measured."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from harness.config import compose_config
from harness.errors import InputError
from harness.facts.typed import changed
from harness.host.topology import read_topology
from harness.placement.layout import Core, Layout, read_layout
from harness.run.instances import split_rounds
from harness.run.instances.placed_splits import PlacedSplit, instance_settings, placed_splits
from harness.run.session import Session
from harness.storage.configuration import Configuration, Protocol
from harness.storage.instances.instance_files import load_instances
from harness.storage.record import InstancesRecord, MethodRecord, Outcome, Split
from harness.storage.same_run import SAME_MODELS, SAME_RUN, differences, settings
from harness.storage.store import RunFolder
from helpers import sample_records
from helpers.sample_records import LOAD, measured, together

Answer = Callable[[str, Split, int, int], InstancesRecord]
CORES = len(read_layout(read_topology()).cores)
ONE, ALL = Split(1, 2), Split(2, 2)
PROTOCOL = Protocol(name="made", rounds=2, batches=10, warmup_s=1.0, reruns=1, seed=1)


@dataclass
class Notes:
    """What a run says, kept."""

    said: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        self.said.append(text)


@dataclass
class Fake:
    """What the rounds of splits need of a session."""

    folder: RunFolder
    splits: tuple[PlacedSplit, ...] = (PlacedSplit(ONE, ()), PlacedSplit(ALL, ()))
    protocol: Protocol = PROTOCOL
    show: Notes = field(default_factory=Notes)
    asked: list[tuple[int, str, Split, int]] = field(default_factory=list)


def quiet(method: str, split: Split, round_: int, attempt: int) -> InstancesRecord:
    return together(method, round_, split, [1.0] * split.instances, attempt)


@pytest.fixture
def conduct(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Fake]:
    """Return a function that runs the rounds of two rows in two splits with answers made by hand."""

    def do(answer: Answer = quiet) -> Fake:
        folder = RunFolder(tmp_path)
        if not folder.load_records():
            for position, name in enumerate("ab"):
                folder.save_record(replace(measured(name, 1.0), position=position))
        fake = Fake(folder)

        def measure(
            session: Any, row: MethodRecord, placed: PlacedSplit, round_: int, attempt: int
        ) -> InstancesRecord:
            fake.asked.append((round_, row.method, placed.split, attempt))
            return answer(row.method, placed.split, round_, attempt)

        monkeypatch.setattr(split_rounds, "measure_split", measure)
        split_rounds.run_split_rounds(cast(Session, fake))
        return fake

    return do


def composed(*words: str) -> Configuration:
    return compose_config(words).config


def test_each_row_in_each_split_once_a_round_and_never_again(conduct: Callable[..., Fake]) -> None:
    fake = conduct()
    pairs = {(n, m, split, 1) for n in (1, 2) for m in "ab" for split in (ONE, ALL)}
    assert set(fake.asked) == pairs
    assert len(fake.asked) == len(pairs)
    assert len(load_instances(fake.folder)) == len(pairs)
    assert conduct().asked == []


def test_disturbed_one_is_repeated_and_one_that_dies_fails_its_row(
    conduct: Callable[..., Fake],
) -> None:
    died = Outcome("failed", "instance 2 of 2: killed by SIGKILL", "methods/b/instance-2.log")

    def answer(method: str, split: Split, round_: int, attempt: int) -> InstancesRecord:
        if (method, split) == ("b", ALL):
            return replace(quiet(method, split, round_, attempt), outcome=died, facts=None)
        loud = [LOAD] if attempt == 1 else []
        return together(method, round_, split, [1.0] * split.instances, attempt, disturbed=loud)

    fake = conduct(answer)
    outcomes = {row.method: row.outcome for row in fake.folder.load_records()}
    assert outcomes == {"a": Outcome("ok"), "b": died}
    assert sum(one[1:3] == ("b", ALL) for one in fake.asked) == 1
    assert {one[3] for one in fake.asked if one[1] == "a"} == {1, 2}


def test_a_repeat_that_dies_is_told_and_the_disturbed_one_counts(
    conduct: Callable[..., Fake],
) -> None:
    died = Outcome("failed", "instance 1 of 2: killed by SIGKILL", "methods/b/instance-1.log")

    def answer(method: str, split: Split, round_: int, attempt: int) -> InstancesRecord:
        if attempt > 1:
            return replace(quiet(method, split, round_, attempt), outcome=died, facts=None)
        loud = [LOAD] if (method, split, round_) == ("b", ALL, 1) else []
        return together(method, round_, split, [1.0] * split.instances, attempt, disturbed=loud)

    fake = conduct(answer)
    assert {row.outcome.kind for row in fake.folder.load_records()} == {"ok"}
    (failed,) = (text for text in fake.show.said if "SIGKILL" in text)
    assert failed.endswith("; the disturbed one counts")


def test_configuration_gives_splits_without_duplicates() -> None:
    topology = read_topology()
    config = composed("protocol=throughput", f"protocol.instances=[1,{CORES}]", "threads.sweep=[1]")
    placed = placed_splits(config, topology)
    assert {one.split for one in placed} == {Split(1, CORES), Split(CORES, CORES), Split(1, 1)}
    for one in placed:
        assert len(one.placements) == one.split.instances
        cpus = [cpu for placement in one.placements for cpu in placement.cpus]
        assert len(set(cpus)) == len(cpus) and set(cpus) <= os.sched_getaffinity(0)
    assert placed_splits(composed("protocol=careful"), topology) == []
    assert placed_splits(composed("protocol=throughput"), topology)
    for words in (["protocol.instances=[4096]"], ["threads.sweep=[4096]"]):
        with pytest.raises(InputError, match="4096"):
            placed_splits(composed("protocol=throughput", *words), topology)


def test_each_instance_has_a_thread_for_each_of_its_cores() -> None:
    config = composed("protocol=throughput", f"protocol.instances=[{CORES}]")
    (placed,) = placed_splits(config, read_topology())
    for placement in placed.placements:
        set_, cpus = instance_settings(config, placement)
        assert set_.environment["OMP_NUM_THREADS"] == "1"
        assert cpus == [placement.cores[0][0]]
        assert f"{{{cpus[0]}}}" in set_.environment["OMP_PLACES"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["protocol.instances=[1,2]"], "protocol.instances is measured in rounds"),
        (["threads.sweep=[1]"], "threads.sweep is measured in rounds"),
        (["protocol=careful", "protocol.latency_ms=5"], "protocol.latency_ms is for several"),
        (["protocol=throughput", "threads.count=1"], "leave threads.count out"),
        (["protocol=throughput", "threads.places={0}:2:1"], "leave threads.places out"),
        (["protocol=throughput", "threads=none"], "use threads=omp"),
        (["protocol=throughput", "protocol.instances=[0]"], "auto, a list of whole numbers"),
        (["protocol=throughput", "protocol.instances=all"], "auto, a list of whole numbers"),
        (["protocol=throughput", "protocol.latency_ms=0"], "protocol.latency_ms=0"),
    ],
)
def test_what_does_not_go_together_is_refused(words: list[str], said: str) -> None:
    with pytest.raises(InputError) as refused:
        compose_config(words)
    assert said in str(refused.value)


def test_plan_of_before_these_keys_is_like_one_in_which_they_are_null() -> None:
    before = sample_records.plan(rounds=3)
    now = sample_records.plan(rounds=3, instances=None, share_cores=None, latency_ms=None)
    now = replace(now, config=changed(now.config, threads={"policy": "omp", "sweep": None}))
    before = replace(before, config=changed(before.config, threads={"policy": "omp"}))
    assert differences(before, now) == []
    assert settings(before) == settings(now)
    with_instances = replace(
        now,
        config=changed(now.config, protocol={**now.config.protocol.stored, "instances": [1, 2]}),
    )
    assert differences(before, with_instances, SAME_MODELS) == []
    assert "config.protocol.instances: was None, is [1, 2]" in differences(
        before, with_instances, SAME_RUN
    )


def test_a_sweep_has_a_core_for_each_thread_on_any_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of a socket would keep fewer threads together; the count is what was asked for."""
    cores = tuple(Core(number // 28, number // 28, number // 28, (number,)) for number in range(56))
    layout = Layout(cores, frozenset({0, 1}))
    monkeypatch.setattr("harness.run.instances.placed_splits.read_layout", lambda topology: layout)
    config = composed("protocol=careful", "threads.sweep=[1,28,30,32,56]")
    for placed in placed_splits(config, read_topology()):
        (placement,) = placed.placements
        assert len(placement.cores) == placed.split.threads
        assert placement.memory_nodes == ((0,) if placed.split.threads <= 28 else (0, 1))
