"""Who measures waits for who measures already, and not for ever for a stranger."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.files import locks
from harness.files.locks import StillHeld
from harness.process import lifetime
from harness.process.lifetime import alone_on_host

HOLDS = """
import fcntl, os, sys
file = os.open(sys.argv[1], os.O_RDONLY)
if sys.argv[2] == "stranger":
    os.setuid(65534)
fcntl.flock(file, fcntl.LOCK_EX)
print("holds", flush=True)
sys.stdin.read()
"""
LIMIT_S = 0.05


@pytest.fixture
def everyones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the test's own folders stand for the root folder and this user's own."""
    (tmp_path / "own").mkdir()
    (tmp_path / "everyones").mkdir()
    monkeypatch.setattr(locks, "LOCAL", (tmp_path / "own",))
    monkeypatch.setattr(lifetime, "EVERYONES", tmp_path / "everyones")
    return tmp_path / "everyones"


@pytest.fixture
def held(everyones: Path, request: pytest.FixtureRequest) -> Iterator[int]:
    """Let another process hold everyone's lock; give its number."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(everyones), request.param],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stdout.readline() == b"holds\n"
    yield process.pid
    process.communicate()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts a process of another user")
@pytest.mark.parametrize("held", ["stranger"], indirect=True)
def test_a_stranger_who_holds_everyones_lock_does_not_stop_a_night(held: int) -> None:
    told: list[str] = []
    noted: list[str] = []
    with alone_on_host(LIMIT_S, lambda holder, seconds: told.append(holder), noted.append):
        pass
    assert told[0].startswith(f"pid {held} of user ")
    (warning,) = noted
    assert "this measurement is not alone on this host" in warning and f"pid {held} " in warning


@pytest.mark.parametrize("held", ["own"], indirect=True)
def test_a_measurement_of_ones_own_stops_a_second_one_after_the_limit(held: int) -> None:
    refused = pytest.raises(StillHeld, match=rf"pid {held} .* run\.wait_s=SECONDS")
    with refused, alone_on_host(LIMIT_S, lambda *_: None, pytest.fail):
        pass


def test_two_of_one_user_are_kept_apart_by_a_lock_that_no_other_user_can_take(
    everyones: Path,
) -> None:
    with alone_on_host(0, lambda *_: pytest.fail(), pytest.fail):
        own = locks.local_folder()
        assert not own.stat().st_mode & 0o077
        with locks.held(own / lifetime.MEASURING, None) as alone:
            assert not alone
        with locks.held(everyones, None) as alone:
            assert not alone
