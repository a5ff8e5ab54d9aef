"""Ctrl-C once and twice, from a real terminal; what stops a run at once is in test_run.py."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import PROJECT
from harness.process.interrupt import finishing, resumable
from helpers.command_line import OWN, TINY, CommandLine, Started, no_stray, same_after, until

CONF = ("--conf", str(OWN))


@pytest.fixture(autouse=True)
def interrupts() -> Iterator[None]:
    """A shell starts what runs in the background with Ctrl-C ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


# --- the block that puts a Ctrl-C off


def test_the_first_is_put_off_to_the_end_of_the_block() -> None:
    done, said = [], []
    with pytest.raises(KeyboardInterrupt):
        with finishing("the row", said.append):
            signal.raise_signal(signal.SIGINT)
            done.append("rest of the block")
        done.append("after it")
    assert done == ["rest of the block"]
    assert said == ["stopping when the row is recorded; Ctrl-C again stops now"]
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_the_second_counts_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), finishing("the row", lambda text: None):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        pytest.fail("it went on")


def test_an_error_in_the_block_comes_first() -> None:
    with pytest.raises(ValueError), finishing("the row", lambda text: None):
        signal.raise_signal(signal.SIGINT)
        raise ValueError


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with finishing("the row", lambda text: pytest.fail(text)):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_message_may_come_while_something_is_printed() -> None:
    def reentrant(text: str) -> None:
        raise RuntimeError("reentrant call inside <_io.BufferedWriter>")

    with pytest.raises(KeyboardInterrupt), finishing("the row", reentrant):
        signal.raise_signal(signal.SIGINT)


def test_a_stop_names_its_run() -> None:
    with pytest.raises(KeyboardInterrupt, match=r"run\.id=ID"), resumable("run.id=ID"):
        raise KeyboardInterrupt


# --- whole runs


class Terminal:
    """A terminal with a harness in its foreground."""

    def __init__(self, cli: CommandLine, *words: str) -> None:
        self.master, slave = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-m", "harness", *words, *cli.places(words)],
            cwd=PROJECT,
            stdin=slave,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        self.started = Started(process, cli.results)
        cli.started.append(self.started)

    def press_ctrl_c(self) -> None:
        """The kernel sends SIGINT to the whole foreground process group."""
        os.write(self.master, b"\x03")


@pytest.fixture
def terminal(cli: CommandLine) -> Iterator[Terminal]:
    words = ("method=[waiting,fp32]", "baseline=waiting", *TINY)
    terminal = Terminal(cli, *words)
    yield terminal
    os.close(terminal.master)


@pytest.mark.slow
def test_ctrl_c_once_finishes_the_row_and_stops(terminal: Terminal, cli: CommandLine) -> None:
    started = terminal.started
    waiting = started.makes("*/*/methods/waiting/waiting")
    terminal.press_ctrl_c()
    started.says("stopping when row waiting is recorded; Ctrl-C again stops now")
    (waiting.parent / "go").touch()
    ended = started.end()
    assert ended.code == 3
    assert ended.outcomes == {"waiting": "ok"}
    assert ended.records["waiting"].validate is not None
    run = ended.folder
    assert f"interrupted: what is finished is kept; run.id={run.id} goes on" in ended.err
    assert "| waiting" in (run.path / "table.md").read_text()
    no_stray(cli.results)
    kept = same_after([*(run.path / "records").iterdir(), waiting.parent / "model-0000.params"])

    ended = cli(f"run.id={run.id}", *CONF)
    assert (ended.code, ended.outcomes) == (0, {"waiting": "ok", "fp32": "ok"}), ended.err
    assert same_after(list(kept)) == kept


@pytest.mark.slow
def test_ctrl_c_twice_stops_now(terminal: Terminal, cli: CommandLine) -> None:
    started = terminal.started
    started.makes("*/*/methods/waiting/waiting")
    terminal.press_ctrl_c()
    started.says("Ctrl-C again stops now")
    assert started.worker().is_running()
    terminal.press_ctrl_c()
    ended = started.end()
    assert (ended.code, ended.outcomes) == (3, {"waiting": "interrupted"})
    no_stray(cli.results)


@pytest.mark.slow
def test_ctrl_c_before_anything_is_recorded_stops_now(cli: CommandLine, tmp_path: Path) -> None:
    started = cli.start("method=[fp32]", *TINY)
    started.says("looking at the model")
    started.worker()
    started.process.send_signal(signal.SIGINT)
    ended = started.end()
    assert (ended.code, ended.out) == (3, "")
    assert ended.err.splitlines()[-1] == "interrupted: no run was begun"
    no_stray(cli.results)
    assert not list(cli.results.glob("*/*"))


@pytest.mark.slow
def test_ctrl_c_in_the_rounds_finishes_the_timing(cli: CommandLine) -> None:
    started = cli.start("method=[fp32]", "protocol=quick", "protocol.rounds=500", *TINY)
    started.makes("*/*/rounds/001_fp32_1.json")
    started.worker()
    started.process.send_signal(signal.SIGINT)
    started.says("is recorded; Ctrl-C again stops now")
    ended = started.end()
    assert ended.code == 3
    rounds = ended.folder.load_rounds()
    assert 2 <= len(rounds) < 500
    assert all(each.outcome.kind == "ok" for each in rounds)
    until(lambda: not list(ended.folder.path.rglob(".*.part")), "no half-written record")
