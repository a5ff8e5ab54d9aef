"""A part of the fault campaign; ``./run.sh test-faults`` does all of it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from faults.injections import INJECTIONS
from faults.scene import Base, Scene

pytestmark = pytest.mark.slow
HERE = (
    "optimise: worker out of memory",
    "rounds: worker SIGSEGV",
    "rounds: parent SIGKILL in 001_mine_1.json",
    "validate: results disk full",
    "validate: half-written 01_mine.json",
    "start: two runs of one id",
)


def test_the_campaign_hits_every_step_and_each_fault_once() -> None:
    names = [each.name for each in INJECTIONS]
    assert len(set(names)) == len(names) >= 40
    assert {each.step for each in INJECTIONS} == {
        *("start", "plan", "inspect", "prepare", "optimise", "validate", "profile", "rounds"),
        *("roof", "tables", "judging", "history"),
    }


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    return Base.made(tmp_path_factory.mktemp("base"), roof=False)


@pytest.mark.parametrize("name", HERE)
def test_a_run_survives(name: str, base: Base, tmp_path: Path) -> None:
    (injection,) = [each for each in INJECTIONS if each.name == name]
    if injection.mounts and os.geteuid():
        pytest.skip("only root may mount")
    scene = Scene(base, tmp_path / "scene")
    try:
        injection.act(scene)
    finally:
        scene.cli.close()
    assert scene.lost == 0
