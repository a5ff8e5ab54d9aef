"""What a red night tells: a command that is called, the text of an issue, and what finds the change."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.errors import InputError
from harness.nightly.night import Night, Regression
from harness.nightly.notices.issue_text import to_issue
from harness.nightly.notices.next_steps import bisect_command, steps
from harness.nightly.notices.notify import _wait_for_group, command_words, notify
from harness.nightly.second_verdicts import in_a_new_environment
from harness.nightly.verdict import BATCH, Verdict
from harness.stats.intervals import Interval

CHANGES = (
    "checkout.commit: was 'a', is 'b'",
    "code: was 'a', is 'b'",
    "machine.kernel: was '6.1', is '6.2'",
)


def regression(**changes: Any) -> Regression:
    values: dict[str, Any] = {
        "method": "int8",
        "metric": "batch_s",
        "since": "n9",
        "created": "2026-01-09T00:00:00Z",
        "said": "int8 takes 6.1 % more time",
        "level": ("n7", "n8"),
        "in_turn": True,
        "changes": CHANGES,
    }
    return Regression(**{**values, **changes})


def red(*open_: Regression, **changes: Any) -> Night:
    in_turn = Interval(1.061, 1.05, 1.07, 0.9)
    row = Verdict(
        "int8", BATCH, "regression", in_turn, 1e-5, 1e-4, 0.025, "A batch takes *longer*.",
        advice="It is confirmed.", in_turn=in_turn,
    )  # fmt: skip
    values: dict[str, Any] = {
        "machine": "m",
        "run": "n9",
        "created": "2026-01-09T00:00:00Z",
        "verdict": "regression",
        "rows": (row,),
        "baseline": ("n7", "n8"),
        "again": "n9-again",
        "failed": {},
        "changes": CHANGES,
        "shifted": (),
        "notes": (),
        "places": ("run.results=/r",),
        "words": ("run.results=/r", "workload=imagenet", "method=[a,int8]", "nightly.runs=3"),
    }
    return Night(**{**values, "open": open_, **changes})


def test_a_night_with_a_known_change_offers_the_command_that_finds_it() -> None:
    command = "./run.sh bisect good=n8 bad=n9 metric=batch_s method=int8 run.results=/r"
    assert bisect_command(red(), regression()) == command
    acknowledging, finding = steps(red(regression()))
    assert "acknowledge" in str(acknowledging.command) and finding.command == command
    assert finding.text == "This finds the change since which int8 takes 6.1 % more time:"
    for unknown in ({"changes": CHANGES[1:]}, {"changes": ()}, {"level": ()}):
        assert bisect_command(red(), regression(**unknown)) is None
    assert len(steps(red(regression(changes=())))) == 1


def test_the_issue_says_what_since_when_how_sure_why_and_how_to_measure_it() -> None:
    text = to_issue(red(regression()))
    title, *rest = text.splitlines()
    assert title.startswith("# Nightly on m: int8 takes 6.1 % more time (confirmed)")
    body = "\n".join(rest)
    assert "## int8 takes 6.1 % more time" in body
    assert r"**What.** A batch takes \*longer\*. It is confirmed." in body
    assert "**Since.** Run n9 (2026-01-09T00:00:00Z), last good run n8." in body
    assert "it takes 6.1 % more (90 % interval +5.0 to +7.0 %)" in body and "at most 1 %" in body
    assert "- code: was 'a', is 'b'" in body and "- machine.kernel" in body
    assert "`./run.sh bisect good=n8 bad=n9" in body
    again = "workload=imagenet nightly.runs=3 'method=[int8]'"
    assert f"`./run.sh nightly run.results=/r {again}` measures the row. It is red until" in body
    assert "nightly.baseline" not in text


def test_an_issue_without_a_row_or_a_change_says_so() -> None:
    told = regression(changes=(), level=(), is_notified=True)
    text = to_issue(red(told, rows=()))
    assert "The row is not measured." in text and "None is known" in text
    assert "confirmed by an earlier night" in text and "bisect" not in text


def test_a_new_environment_is_not_called_confirmed_by_measuring_again() -> None:
    (row,) = red().rows
    shift = in_a_new_environment(row, 1.06, "machine.kernel: was '6.1', is '6.2'", "n9")
    text = to_issue(red(regression(in_turn=False), rows=(shift,)))
    assert "the model of before is as slow" in text and "confirmed it" not in text
    assert "beside the other methods of the same nights" in text


def test_what_is_new_tonight_may_have_begun_before() -> None:
    found = red(regression(since="n6", level=("n4", "n5")), baseline=("n7", "n8"))
    assert steps(found)[0].text.startswith("Act: find what changed since run n5 and repair it.")
    two = (regression(since="n6", level=("n5",)), regression(method="fp32"))
    assert "since runs n5, n8 and" in steps(red(*two))[0].text
    assert "since run n8 and" in steps(red())[0].text


def test_accepting_what_is_new_closes_nothing_that_is_open_for_weeks() -> None:
    """Also where the old one is another metric of the same method."""
    (row,) = red().rows
    for old in (("fp32", "batch_s"), ("int8", "cost_s")):
        method, metric = old
        known = regression(method=method, metric=metric, since="n1", is_notified=True, changes=())
        night = red(known, regression(changes=()), rows=(row,))
        (step,) = steps(night)
        assert step.command == (
            "./run.sh acknowledge run=n9 method=int8 metric=batch_s reason=WHY run.results=/r"
        )
        rows = tuple(replace(row, method=f"m{number}") for number in range(5))
        *named, rest = steps(replace(night, rows=rows))
        assert [f"method=m{n} metric=batch_s" in str(s.command) for n, s in enumerate(named)] == [
            True, True, True
        ]  # fmt: skip
        assert rest.text.startswith("And 2 more") and rest.command is None


def test_changes_that_are_not_known_differ_from_none() -> None:
    text = to_issue(red(regression(changes=None)))
    assert "It is not known what changed" in text and "None is known" not in text
    assert bisect_command(red(), regression(changes=None)) is None


def script(folder: Path, text: str) -> str:
    path = folder / "told.py"
    path.write_text(text)
    return f"{sys.executable} {path} 'two words'"


def test_the_command_gets_the_night_on_stdin(tmp_path: Path) -> None:
    code = (
        "import sys; open(sys.argv[0] + '.json', 'w').write(sys.stdin.read()); print(sys.argv[1])"
    )
    words = command_words(script(tmp_path, code))
    assert notify(words, {"run": "n9"}, tmp_path / "log") == ""
    assert json.loads((tmp_path / "told.py.json").read_text()) == {"run": "n9"}
    assert (tmp_path / "log").read_text() == "two words\n"


def test_a_command_that_reads_nothing_is_no_failure(tmp_path: Path) -> None:
    words = command_words(script(tmp_path, "pass"))
    assert notify(words, {"much": "x" * 1_000_000}, tmp_path / "log") == ""


def test_a_failing_command_says_how_it_failed(tmp_path: Path) -> None:
    words = command_words(script(tmp_path, "raise SystemExit('no mail today')"))
    assert notify(words, {}, tmp_path / "log").endswith("ended with exit code 1")
    assert "no mail today" in (tmp_path / "log").read_text()
    gone = notify([str(tmp_path / "gone")], {}, tmp_path / "log")
    assert "cannot be started (No such file" in gone


def test_what_a_command_leaves_running_may_end(tmp_path: Path) -> None:
    """A mail program leaves the delivery to another process."""
    child = f"import time; time.sleep(1); open({str(tmp_path / 'sent')!r}, 'w')"
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}])"
    words = command_words(script(tmp_path, code))
    assert notify(words, {}, tmp_path / "log") == ""
    assert (tmp_path / "sent").exists()


def test_a_hanging_command_is_stopped_with_what_it_started(tmp_path: Path) -> None:
    child = f"import time; time.sleep(3); open({str(tmp_path / 'late')!r}, 'w')"
    code = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"subprocess.Popen([sys.executable, '-c', {child!r}])\n"
        "time.sleep(600)"
    )
    words = command_words(script(tmp_path, code))
    said = notify(words, {}, tmp_path / "log", limit_s=0.5)
    assert said.endswith("had not ended after 0.5 s and was stopped")
    time.sleep(4)
    assert not (tmp_path / "late").exists()


def leaving(folder: Path, seconds: float) -> list[str]:
    """Return a command that ends at once and leaves a process for so long."""
    child = f"import time; time.sleep({seconds})"
    code = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}])"
    return command_words(script(folder, code))


def test_what_a_command_left_running_too_long_is_told(tmp_path: Path) -> None:
    """Else a mail that was never sent would pass for one that was."""
    words = leaving(tmp_path, 600)
    said = notify(words, {}, tmp_path / "log", limit_s=0.7)
    assert said == f"what {words[0]} left running had not ended after 0.7 s and was stopped"


def test_a_failing_command_and_what_it_left_are_both_told(tmp_path: Path) -> None:
    words = leaving(tmp_path, 600)
    with Path(words[1]).open("a") as told:
        told.write("; raise SystemExit(4)")
    said = notify(words, {}, tmp_path / "log", limit_s=0.7)
    assert "ended with exit code 4; what " in said and said.endswith("was stopped")


@pytest.mark.parametrize("is_left", [True, False])
def test_what_runs_as_another_user_ends_no_night(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_left: bool
) -> None:
    """A setuid mail program cannot be signalled, and cannot be waited for without a limit."""

    def refused(group: int, number: int) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.killpg", refused)
    monkeypatch.setattr("harness.nightly.notices.notify.STOPPING_S", 0.1)
    hanging = command_words(script(tmp_path, "import time; time.sleep(3)"))
    words = leaving(tmp_path, 3) if is_left else hanging
    begun = time.monotonic()
    said = notify(words, {}, tmp_path / "log", limit_s=0.7)
    assert time.monotonic() - begun < 2.5
    end = "had not ended after 0.7 s and could not be stopped"
    assert said == (f"what {words[0]} left running {end}" if is_left else f"{words[0]} {end}")


def test_a_process_that_ended_and_that_nobody_reaps_is_not_waited_for(tmp_path: Path) -> None:
    """In a container whose first process reaps none, as this one reaps none of its own here."""
    ended = subprocess.Popen([sys.executable, "-c", ""], start_new_session=True)
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    assert _wait_for_group(ended.pid, time.monotonic())
    ended.wait()


@pytest.mark.parametrize("command", ["no-such-program x", "mail 'open", "  "])
def test_a_command_that_cannot_be_called_is_refused_before_anything_is_measured(
    command: str,
) -> None:
    with pytest.raises(InputError, match=r"nightly\.notify="):
        command_words(command)


def test_the_command_of_an_issue_has_no_keys_of_other_rows() -> None:
    """Hydra refuses a key of a row that is not chosen."""
    others = ("~method.fp32", "method.fp32.label=x", "method=[fp32,int8]", "+method.mine.a=1")
    kept = ("workload.images=100", "method.int8.label=y")
    text = to_issue(red(regression(), words=(*others, *kept)))
    (command,) = re.findall(r"`(\./run\.sh nightly [^`]*method=\[[^`]*)`", text)
    assert shlex.split(command)[2:] == [*kept, "method=[int8]"]
