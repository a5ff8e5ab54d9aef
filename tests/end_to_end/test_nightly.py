"""Nights as a user starts them: the first, an unchanged one, a slower one, a less accurate one."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as xml

import jsonschema
import pytest

from harness import PROJECT
from harness.process.lifetime import alone_on_host
from harness.storage.store import RunFolder
from helpers.command_line import ONE_THREAD, OWN, TINY, CommandLine, Ended, load

SCHEMA = json.loads((PROJECT / "harness" / "nightly" / "nightly.schema.json").read_text())
QUICK = (  # one core's noise is large, so what is injected is larger
    "method=[fp32,mine]",
    "protocol.rounds=5",
    "protocol.batches=10",
    "protocol.warmup_s=1",
    "protocol.reruns=0",
    "protocol.roof=false",
    "nightly.trust_disturbed=true",  # other tests may disturb the rounds
    *TINY,
    "threads.proc_bind='TRUE'",  # one test here looks at times
)
SLOW = ("method.fp32._target_=my_nightly.Worse", "+method.fp32.channels=1024")


def night(results: Path, run: str) -> dict[str, Any]:
    found = load(next(results.glob(f"*/{run}/nightly.json")))
    jsonschema.validate(found, SCHEMA)
    return dict(found)


def kinds(found: dict[str, Any], kind: str) -> set[tuple[str, str]]:
    return {(row["method"], row["metric"]) for row in found["rows"] if row["kind"] == kind}


def test_a_night_waits_until_it_is_alone_on_the_host(cli: CommandLine) -> None:
    with alone_on_host(0, lambda *_: None, pytest.fail):  # other tests measure meanwhile
        started = cli.start("nightly", *QUICK)
        started.says("another night, bisect or fleet measures on this host: waiting for it")
        started.process.send_signal(signal.SIGINT)
        stopped = started.end()
        at_once = ("nightly", *QUICK, "run.wait_s=1")
        unknown = cli(*at_once, "nightly.baseline=no-such-run")
        few = cli(*at_once, "protocol.rounds=3")
    assert stopped.code == 3
    assert "looking at the model" not in stopped.err
    assert unknown.code == 2 and "no run no-such-run" in unknown.err
    said, _, waited = few.err.partition("another night, bisect or fleet measures on this host")
    assert waited and "protocol.rounds=3: no time of this night will be judged" in said


@pytest.mark.slow
@pytest.mark.quiet
def test_nights_of_the_same_code_a_slower_one_and_what_follows(
    cli: CommandLine, tmp_path: Path
) -> None:
    script = tmp_path / "tell.py"  # it is told, and fails
    script.write_text(
        "import sys; open(sys.argv[1], 'w').write(sys.stdin.read()); sys.exit('no mail today')"
    )
    telling = f"nightly.notify={sys.executable} {script} {tmp_path / 'told.json'}"
    first = cli("nightly", "run.id=n1", *QUICK, telling)
    assert first.code == 0, first.err
    assert "first night, nothing to compare with yet" in first.out
    assert "| fp32 " in first.out  # its figures
    assert night(cli.results, "n1")["verdict"] == "first"

    same = cli("nightly", "run.id=n2", *QUICK, telling)
    assert same.code == 0, same.err + same.out
    assert "accuracy unchanged" in same.out and "n1" in same.out
    found = night(cli.results, "n2")
    assert found["verdict"] in ("none", "partly")  # one earlier night may not be enough for times
    assert (found["baseline"], found["changes"]) == (["n1"], [])
    assert not kinds(found, "regression")

    assert not (tmp_path / "told.json").exists()
    slower = cli("nightly", "run.id=n3", *QUICK, *SLOW, telling)
    assert slower.code == 1, slower.err + slower.out
    assert load(tmp_path / "told.json")["verdict"] == "regression"
    assert f"nightly.notify: {sys.executable} ended with exit code 1" in slower.err
    (log,) = cli.results.glob("*/n3/nightly.notify.log")
    assert log.read_text() == "no mail today\n"
    assert "ended with exit code 1" in night(cli.results, "n3")["notes"][-1]
    assert "ended with exit code 1" in log.with_name("nightly.md").read_text()
    issue = log.with_name("nightly.issue.md").read_text()
    assert "## fp32 takes " in issue and "method.fp32.channels: was None, is 1024" in issue
    assert not list(cli.results.glob("*/n[12]/nightly.issue.md"))
    found = night(cli.results, "n3")
    assert kinds(found, "regression") == {("fp32", "batch_s")}
    assert (found["verdict"], found["again"]) == ("regression", "n3-again")
    (row,) = (row for row in found["rows"] if row["kind"] == "regression")
    assert "Timed again in turn with the model of run n2, 15 rounds each" in row["advice"]
    assert "the slowdown is confirmed. Find what changed since run n2" in row["advice"]
    assert row["in_turn"][0] > 1.025
    assert slower.out.rstrip().splitlines()[-3].startswith("Nightly on ")
    assert "./run.sh acknowledge run=n3 method=fp32 reason=WHY" in slower.out.splitlines()[-1]
    assert "suspected: fp32 takes " in slower.err
    assert "method.fp32.channels: was None, is 1024" in found["changes"]
    assert "**fp32, Batch s**" in slower.out and "**mine" not in slower.out
    again = {row.method for row in RunFolder(next(cli.results.glob("*/n3-again"))).load_records()}
    assert again >= {"fp32", "fp32_before"}
    (suite,) = xml.parse(next(cli.results.glob("*/n3/nightly.junit.xml"))).getroot()
    failed = {case.get("classname") for case in suite if case.find("failure") is not None}
    assert failed == {"fp32"} and suite.get("failures") == "1"

    # judged again from its records: nothing is measured, the verdict is the same
    repeated = cli("nightly", "run.id=n3", *TINY[-2:])
    assert repeated.code == 1 and ": timing" not in repeated.err
    assert night(cli.results, "n3")["rows"] == found["rows"]

    listed = cli("history")
    assert "fp32 batch_s" in listed.out and listed.out.count("no regression") >= 1
    refused = cli("acknowledge", "run=n2", "reason=there is nothing")
    assert refused.code == 2 and "run n2 has nothing to acknowledge" in refused.err
    known = cli("acknowledge", "run=n3", "reason=more work, on purpose")
    assert known.code == 0, known.err
    assert "acknowledged: fp32 batch_s of run n3 (more work, on purpose)" in known.out
    assert "later nights compare it from run n3 on" in known.out
    accepted = cli("nightly", "run.id=n4", *QUICK, *SLOW)
    assert accepted.code == 0, accepted.err + accepted.out

    (path,) = cli.results.glob("history.sqlite")
    before = _dump(path)
    path.unlink()
    assert "4 nights read" in cli("history", "rebuild=true").err
    assert _dump(path) == before


@pytest.mark.slow
def test_a_stopped_night_is_kept_and_goes_on(cli: CommandLine) -> None:
    """Stopped as it measures, then as it measures a slow row again; the second time it ends."""
    one_row = ("method=[fp32]", *QUICK[1:])
    assert cli("nightly", "run.id=s1", *one_row).code == 0
    slower = (*one_row, *SLOW)
    started = cli.start("nightly", "run.id=s2", *slower)
    started.says("timing, round 1")
    started.process.send_signal(signal.SIGTERM)
    stopped = started.end()
    assert stopped.code == 3
    (command,) = re.findall(
        r"; (\./run\.sh nightly run\.id=s2 .*) goes on with the rest", stopped.err
    )
    assert f"run.results={cli.results}" in command and "--conf" in command
    assert "./run.sh nightly run.id=s2" in cli("table", "s2").out
    found = night(cli.results, "s2")
    assert (found["verdict"], found["stopped"]) == ("stopped", "measuring, and nothing was judged")
    assert found["rows"] == [] and "timings were done" in found["notes"][0]
    _says_at_its_end(stopped, found)

    again = cli.start("nightly", "run.id=s2", *TINY[-2:])
    again.says("run s2-again")
    assert night(cli.results, "s2")["verdict"] == "suspected"  # in case that it is killed
    again.process.send_signal(signal.SIGTERM)
    stopped = again.end()
    assert stopped.code == 3
    found = night(cli.results, "s2")
    _says_at_its_end(stopped, found)
    assert (found["verdict"], found["stopped"]) == ("stopped", "measuring suspected rows again")
    assert ("fp32", "batch_s") in {(each["method"], each["metric"]) for each in found["suspects"]}
    assert found["headline"].startswith("STOPPED while measuring suspected rows again (")
    assert "./run.sh nightly run.id=s2 " in found["steps"][0]["command"]
    (suite,) = xml.parse(next(cli.results.glob("*/s2/nightly.junit.xml"))).getroot()
    errors = {case.get("classname") for case in suite if case.find("error") is not None}
    assert errors >= {"fp32", "night"} and suite.get("failures") == "0"
    assert (
        next(cli.results.glob("*/s2/nightly.md")).read_text().splitlines()[2].startswith("**Act:")
    )
    (line,) = (line for line in cli("history").out.splitlines() if "| s2 " in line)
    assert "| stopped " in line
    refused = cli("acknowledge", "run=s2", "reason=x")
    assert refused.code == 2 and "run s2 was stopped" in refused.err

    ended = cli("nightly", "run.id=s2", *TINY[-2:])
    assert ended.code == 1, ended.err + ended.out
    assert night(cli.results, "s2")["verdict"] == "regression"
    (path,) = cli.results.glob("history.sqlite")
    before = _dump(path)
    path.unlink()
    assert "2 nights read" in cli("history", "rebuild=true").err
    assert _dump(path) == before


def _says_at_its_end(ended: Ended, found: dict[str, Any]) -> None:
    """The last lines are the headline, the step with its command, and where every row is."""
    title, _, step = ended.out.splitlines()[-3:]
    assert title.replace("\\", "") == f"Nightly on {found['machine']}: {found['headline']}"
    assert step.startswith("**Act: ") and step.endswith(f"`{found['steps'][0]['command']}`")
    assert f"{found['run']}/nightly.md" in ended.err


def _dump(path: Path) -> list[Any]:
    with sqlite3.connect(path) as connection:
        return [
            connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2, 3").fetchall()
            for table in ("runs", "rows")
        ]


@pytest.mark.slow
def test_a_less_accurate_night(cli: CommandLine) -> None:
    """The scores of one class rise by a little: of 4000 images some turn wrong."""
    bundled = (
        "method=[int8_smart_naive]",
        "workload.images=4000",
        "protocol.rounds=0",
        "protocol.profile_batches=0",
        "protocol.roof=false",
        "baseline=int8_smart_naive",
        *ONE_THREAD,
        "--conf",
        str(OWN),
    )
    assert cli("nightly", "run.id=a1", *bundled).code == 0
    name = "int8_smart_naive"
    worse = (f"method.{name}._target_=my_nightly.Worse", f"+method.{name}.bias=0.4")
    lossy = cli("nightly", "run.id=a3", *bundled, *worse)
    assert lossy.code == 1, lossy.err + lossy.out
    found = night(cli.results, "a3")
    assert kinds(found, "regression") == {(name, "top1")}
    (row,) = (row for row in found["rows"] if row["metric"] == "top1")
    assert -2.5 < row["estimate"] < -0.8
    assert "Measured again, this was confirmed" in row["advice"]


@pytest.mark.slow
def test_a_pinned_checkout_measures_first(cli: CommandLine, tmp_path: Path) -> None:
    """The checkout here is a run.sh that starts the same code; its run is the baseline."""
    script = tmp_path / "pinned" / "run.sh"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\ncd {PROJECT} && exec {sys.executable} -m harness "$@"\n')
    script.chmod(0o755)
    quick = ("method=[mine]", "baseline=mine", "protocol.rounds=0", "protocol.roof=false", *TINY)
    ended = cli("nightly", "run.id=p1", *quick, f"nightly.pinned={script.parent}")
    assert ended.code == 0, ended.err
    found = night(cli.results, "p1")
    assert (found["verdict"], found["baseline"]) == ("none", ["p1-pinned"])
    assert {row["kind"] for row in found["rows"] if row["metric"] == "top1"} == {"none"}
    (tmp_path / "pinned" / "run.sh").write_text("#!/bin/sh\nexit 3\n")
    failed = cli("nightly", "run.id=p2", *QUICK, f"nightly.pinned={script.parent}")
    assert failed.code == 3 and "its run p2-pinned ended with exit code 3" in failed.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nightly.baseline=no-such-run"], "no run no-such-run"),
        (["nightly.runs=0"], "nightly.runs=0: use a whole number of at least 1"),
        (["nightly.pinned=/no/such/place"], "there is no run.sh; name a checkout"),
    ],
)
def test_errors_name_the_key(cli: CommandLine, words: list[str], message: str) -> None:
    ended = cli("nightly", *QUICK, *words)
    assert ended.code == 2 and message in ended.err
    assert not list(cli.results.glob("*/*"))


def test_a_run_that_was_not_measured_alike_is_refused_before_anything_is_measured(
    cli: CommandLine, smoke_run: Ended
) -> None:
    folder = cli.copy_of(smoke_run)
    ended = cli("nightly", f"nightly.baseline={folder.id}", *QUICK)
    assert ended.code == 2
    assert (
        f"run {folder.id} was not measured alike" in ended.err and "images.validated" in ended.err
    )
    assert [path.name for path in folder.path.parent.iterdir()] == [folder.id]


def test_acknowledging_needs_a_judged_night(cli: CommandLine, smoke_run: Ended) -> None:
    folder = cli.copy_of(smoke_run)
    for words, message in (
        (["reason=x"], "is no judged night"),
        (["reason= "], "reason= is empty"),
        (["reason=x", "metric=speed"], "metric=speed: use one of batch_s"),
    ):
        ended = cli("acknowledge", f"run={folder.id}", *words)
        assert ended.code == 2 and message in ended.err
