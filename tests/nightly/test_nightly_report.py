"""What a night says: its headline and next step, its files, and what is acknowledged of it."""

from __future__ import annotations

import json
import re
import shutil
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as xml

import jsonschema
import pytest

from harness import PROJECT
from harness.cli import main
from harness.commands.nightly import _show, _show_stopped
from harness.config import compose_config
from harness.errors import InputError
from harness.files.whole_files import write_json
from harness.nightly import measurement
from harness.nightly.disturbed import Disturbances, is_too_disturbed, summarise
from harness.nightly.judgements import acknowledge, notable, rebuild
from harness.nightly.memory.database import opened
from harness.nightly.night import Figures, Night, Regression, headline, outcome_of
from harness.nightly.nightly_report import list_nights, to_json, to_junit, to_markdown, to_print
from harness.nightly.notices.next_steps import steps
from harness.nightly.verdict import BATCH, Gap, Kind, Verdict
from harness.render.progress import display
from harness.run.context import Context
from harness.screen import printing
from harness.stats.intervals import Interval
from harness.storage.record import RoundRecord
from harness.storage.store import RunFolder
from harness.table.metrics import COST, TOP1, TOP5, Metric
from helpers.sample_records import timed

SCHEMA = json.loads((PROJECT / "harness" / "nightly" / "nightly.schema.json").read_text())
EXAMPLE = PROJECT / "results" / "example" / "published"
SLOW = Interval(1.481, 1.4, 1.55, 0.9)
LOST = Interval(-0.8, -1.1, -0.5, 0.9)


def verdict(
    kind: Kind,
    method: str = "a",
    reason: str = "It is so.",
    metric: Metric = BATCH,
    gap: Gap | None = None,
    estimate: Interval | None = None,
) -> Verdict:
    return Verdict(method, metric, kind, estimate, None, None, 0.025, reason, gap=gap)


def timing(round_: int, method: str, attempt: int = 1, **kinds: float) -> RoundRecord:
    advice = "was high: look (top shows it)"
    disturbed = [
        {"kind": kind, "value": value, "limit": 0.1, "advice": f"{kind} {advice}"}
        for kind, value in kinds.items()
    ]
    record: RoundRecord = timed(method, round_, [1.0], attempt, disturbed)
    return record


DISTURBED = Disturbances(6, 6, 12, 12)


def night(*rows: Verdict, **changes: Any) -> Night:
    values: dict[str, Any] = {
        "machine": "m",
        "run": "r",
        "created": "2026-01-01T00:00:00Z",
        "verdict": outcome_of(rows, bool(changes.get("baseline", "b"))),
        "rows": rows,
        "baseline": ("b1", "b2"),
        "again": None,
        "failed": {},
        "changes": (),
        "shifted": (),
        "notes": (),
    }
    return Night(**{**values, **changes})


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (["none", "regression", "cannot tell"], "regression"),
        (["none", "cannot tell", "improvement"], "partly"),
        (["none", "improvement", "new"], "none"),
        (["cannot tell", "new"], "cannot tell"),
        (["change", "missing"], "none"),
        (["missing"], "cannot tell"),
    ],
)
def test_outcomes(kinds: list[Kind], expected: str) -> None:
    assert outcome_of([verdict(kind) for kind in kinds], True) == expected
    assert outcome_of([verdict(kind) for kind in kinds], False) == "first"


SAME = (verdict("none", metric=TOP1), verdict("none", metric=TOP5))


@pytest.mark.parametrize(
    ("judged", "expected"),
    [
        (night(*SAME, verdict("none")), "accuracy unchanged; time unchanged"),
        (
            night(*SAME, verdict("cannot tell", gap="disturbed"), disturbances=DISTURBED),
            "accuracy unchanged; time NOT judged (6 of 6 rounds disturbed)",
        ),
        (
            night(*SAME, verdict("none"), verdict("cannot tell", "b", gap="noise")),
            "accuracy unchanged; time: 1 unchanged, 1 NOT judged (too noisy)",
        ),
        (
            night(verdict("cannot tell", metric=COST, gap="few runs"), verdict("improvement")),
            "time better; cost not judged yet (too few earlier nights)",
        ),
        (
            night(*SAME, verdict("regression", estimate=SLOW), verdict("none", "b")),
            "a takes 48.1 % more time (confirmed); accuracy unchanged; time of other rows unchanged",
        ),
        (
            night(verdict("regression", metric=TOP1, estimate=LOST), verdict("none")),
            "a lost 0.80 points of Top-1 (confirmed); time unchanged",
        ),
        (
            night(*(verdict("regression", name, estimate=SLOW) for name in "abcde")),
            "a takes 48.1 % more time (confirmed); b takes 48.1 % more time (confirmed); "
            "c takes 48.1 % more time (confirmed); and 2 more",
        ),
        (
            night(verdict("missing"), *SAME, failed={"label of a": "failed: killed"}),
            "accuracy unchanged; NOT measured: label of a",
        ),
        (night(verdict("missing"), *SAME), "accuracy unchanged; missing: a"),
        (night(verdict("new"), baseline=()), "first night, nothing to compare with yet"),
        (
            night(verdict("new", gap="disturbed"), baseline=(), disturbances=DISTURBED),
            "first night, nothing to compare with yet; "
            "its times are NO baseline (6 of 6 rounds disturbed)",
        ),
        (
            night(
                verdict("cannot tell", estimate=SLOW, gap="few runs"),
                verdict("none", "b"),
                *SAME,
                verdict="stopped",
                stopped="measuring suspected rows again",
                suspects={("a", "batch_s"): "a takes 48.1 % more time"},
            ),
            "STOPPED while measuring suspected rows again (not confirmed: a takes 48.1 % more time); "
            "accuracy unchanged; time of other rows unchanged",
        ),
    ],
)
def test_a_headline_says_what_was_judged(judged: Night, expected: str) -> None:
    assert headline(judged) == expected
    assert f"# Nightly on m: {expected}" in to_markdown(judged).replace("\\", "")


def test_a_step_names_the_command() -> None:
    slow = night(verdict("regression", estimate=SLOW), places=("run.results=/a b",))
    (step,) = steps(slow)
    assert step.text.startswith("Act: find what changed since run b2 and repair it.")
    assert step.command == "./run.sh acknowledge run=r method=a reason=WHY 'run.results=/a b'"
    found = summarise([timing(1, "a", core_load=0.8)])
    noisy = verdict("cannot tell", "b", gap="disturbed")
    assert steps(replace(slow, rows=(*slow.rows, noisy), disturbances=found)) == (step,)
    two = night(*(verdict("regression", name) for name in "ab"))
    assert "method=all" in (steps(two)[0].command or "")
    stopped = night(verdict="stopped", stopped="measuring")
    assert steps(stopped)[0].command == "./run.sh nightly run.id=r"
    assert [step.text for step in steps(night(verdict("none")))] == ["Nothing to do."]
    disturbed = night(verdict("cannot tell", gap="disturbed"), disturbances=found, words=("k=v",))
    (step,) = steps(disturbed)
    assert (
        step.text
        == "Act before the next night, so that its times can be judged: look (top shows it). Then:"
    )
    assert step.command == "./run.sh nightly k=v"


def test_the_first_and_the_last_lines_say_whether_to_act() -> None:
    rows = (verdict("regression", estimate=SLOW), *(verdict("none", f"m{at}") for at in range(9)))
    judged = night(*rows, changes=("versions.mxnet: was 1, is 2",), shifted=(("m1", "r9", 1.06),))
    title, _, step, *_ = to_markdown(judged).splitlines()
    assert title.startswith("# Nightly on m: a takes 48.1 % more time (confirmed)")
    assert step.startswith("**Act: ") and step.endswith("method=a reason=WHY`")
    printed = to_print(judged)
    assert printed.splitlines()[-3:] == [title[2:], "", step]
    assert "| m1" not in printed and len(printed.splitlines()) < 16
    assert "m1 takes 6.0 % more time since run r9" in printed
    assert "acknowledge run=r9 method=m1 metric=batch_s" in printed


def test_one_step_names_all_that_the_next_night_needs() -> None:
    few = night(
        verdict("cannot tell", gap="disturbed"),
        figures=(Figures("a", 0.0123, 3, 3, None, None, None),),
        disturbances=summarise([timing(1, "a", core_load=0.8)]),
        words=("method=[a]", "protocol.rounds=3", "run.results=/r"),
    )
    (step,) = steps(few)
    assert step.text.endswith(
        "can be judged: look (top shows it); and give protocol.rounds=5 or more. Then:"
    )
    assert step.command == "./run.sh nightly 'method=[a]' run.results=/r protocol.rounds=5"


def test_a_first_night_prints_its_figures() -> None:
    figures = (Figures("a", 0.0123, 20, 2, 0.75, None, None),)
    first = night(verdict("new"), baseline=(), figures=figures)
    assert [step.text[:13] for step in steps(first)] == ["Nothing to do"]
    few = replace(first, figures=(replace(figures[0], rounds=4),))
    (step,) = steps(few)
    assert step.text.endswith("can be judged: give protocol.rounds=5 or more. Then:")
    assert step.command == "./run.sh nightly protocol.rounds=5"
    printed = to_print(first)
    (row,) = (line for line in printed.splitlines() if line.startswith("| a "))
    assert [cell.strip() for cell in row.split("|")[2:-1]] == [
        "0.0123",
        "20",
        "2",
        "0.7500",
        "",
        "",
    ]


def test_what_disturbed_a_night_and_what_to_do() -> None:
    """Of two attempts the undisturbed one counts; of two disturbed ones the last."""
    found = summarise(
        [
            timing(1, "a", core_load=0.8),
            timing(1, "a", 2),
            timing(1, "b", core_load=0.9),
            timing(1, "b", 2, core_load=0.4),
            timing(2, "a", core_load=0.5, waited_share=0.3),
            timing(2, "b"),
        ]
    )
    assert (found.rounds, found.of_rounds, found.timings, found.of_timings) == (2, 2, 2, 4)
    core, waited = found.causes
    assert (core.kind, core.timings, core.worst) == ("core_load", 2, 0.5)
    assert (waited.kind, waited.timings) == ("waited_share", 1)
    assert (core.what, core.remedy) == ("core_load was high", "look (top shows it)")
    text = to_markdown(night(verdict("none"), disturbances=found)).replace("\\", "")
    assert "Disturbed: 2 of 2 rounds, 2 of 4 timings" in text
    assert (
        "2 of 4 timings (core_load up to 0.5, 0.1 is the limit): core_load was high. To do:" in text
    )
    assert [is_too_disturbed(count, 6) for count in (3, 4)] == [False, True]
    assert [is_too_disturbed(count, 5) for count in (2, 3)] == [False, True]


def test_a_night_on_a_terminal_ends_with_a_command_to_copy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(printing, "is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "40")
    long = f"run.results=/{'long/' * 20}"
    judged = night(verdict("regression", estimate=SLOW), changes=("mxnet",), places=(long,))
    _show(judged, RunFolder(Path("m") / "r"))
    shown = capsys.readouterr().out
    assert not re.search(r"[*|`]|^#", shown, re.MULTILINE)
    assert shown.splitlines()[-1] == steps(judged)[0].command
    title = " ".join(shown[shown.index("Nightly on m") : shown.index("Act: ")].split())
    assert title == "Nightly on m: a takes 48.1 % more time (confirmed)"


def test_a_night_that_is_stopped_prints_its_headline_and_its_step(
    judged_run: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*_: Any) -> int:
        raise KeyboardInterrupt("run.id=published")

    (judged_run.path / "nightly.json").unlink()
    words = ["experiment=nightly", f"run.results={judged_run.path.parent.parent}"]
    composed = compose_config(words)
    monkeypatch.setattr(measurement, "open_folder", lambda *_: (judged_run, composed))
    monkeypatch.setattr(measurement, "alone_on_host", lambda *_: nullcontext())
    monkeypatch.setattr(measurement, "measure_folder", stopped)
    with pytest.raises(KeyboardInterrupt, match="published"):
        measurement.measure_night(Context(composed, (), display()), _show_stopped)
    shown = capsys.readouterr()
    title, _, step = shown.out.splitlines()[-3:]
    assert title == "Nightly on m: STOPPED while measuring, and nothing was judged"
    assert step.startswith("**Act: ") and "`./run.sh nightly run.id=published" in step
    assert f"every row: {judged_run.path / 'nightly.md'}" in shown.err


def test_a_count_of_rows_without_a_difference_is_none_of_nothing() -> None:
    text = to_markdown(night(verdict("none"), verdict("cannot tell", "b", gap="noise")))
    assert "(b1 to b2): 1 cannot tell, 1 without a difference." in text


def test_hostile_text_stays_text() -> None:
    """A label or a reason comes from files: it must not become markup or break the XML."""
    nasty = 'a | b <script>alert(1)</script>\n# x "y" & \x00\x1b \ufffe ` `` c'
    judged = night(
        verdict("regression", nasty, nasty), failed={nasty: nasty}, notes=(nasty,), places=(nasty,)
    )
    text = to_markdown(judged)
    assert "\n# x" not in text
    assert "<script>" not in "".join(text.split("`")[::2])  # outside of code
    assert all(
        line.count("|") - line.count("\\|") == 6 for line in text.splitlines() if line[:1] == "|"
    )
    (suite,) = xml.fromstring(to_junit(judged))
    (failure,) = suite.iter("failure")
    assert failure.get("message", "").startswith("a | b <script>")
    assert suite.get("errors") == "1"
    jsonschema.validate(to_json(judged), SCHEMA)


def test_junit_counts_what_it_holds() -> None:
    rows = (verdict("cannot tell", gap="noise"), verdict("none", "b"), verdict("regression", "c"))
    (suite,) = xml.fromstring(to_junit(night(*rows)))
    assert (suite.get("skipped"), suite.get("failures"), suite.get("errors")) == ("1", "1", "0")
    waits = {("c", "batch_s"): "c takes 9 % more time"}
    (suite,) = xml.fromstring(to_junit(night(*rows, verdict="suspected", suspects=waits)))
    counts = [suite.get(name) for name in ("tests", "skipped", "failures", "errors")]
    assert counts == ["4", "1", "0", "2"]
    assert len(list(suite.iter("testcase"))) == 4 and len(list(suite.iter("error"))) == 2
    jsonschema.validate(to_json(night(*rows, verdict="suspected", suspects=waits)), SCHEMA)


@pytest.fixture
def judged_run(tmp_path: Path) -> RunFolder:
    """A copy of the committed run, as a night with shifts of two rows."""
    folder = RunFolder(tmp_path / "m" / "published")
    shutil.copytree(EXAMPLE, folder.path)
    rows = [
        verdict("regression", "fp32", estimate=SLOW),
        verdict("improvement", "fp32_fused"),
        verdict("none", "int8_full_naive"),
        verdict("change", "fp32", metric=TOP1),
    ]
    write_json(folder.path / "nightly.json", to_json(night(*rows)))
    return folder


def test_a_shift_is_acknowledged_by_name(judged_run: RunFolder) -> None:
    with pytest.raises(InputError, match=r"more than one row \(fp32 batch_s; fp32_fused batch_s"):
        acknowledge(judged_run, "", "all", "on purpose")
    with pytest.raises(InputError, match="nothing to acknowledge of int8_full_naive, only fp32"):
        acknowledge(judged_run, "int8_full_naive", "all", "on purpose")
    with pytest.raises(InputError, match="has nothing to acknowledge of fp32 top5"):
        acknowledge(judged_run, "fp32", "top5", "on purpose")
    entry, rows = acknowledge(judged_run, "fp32", "all", "on purpose")
    assert rows == [("fp32", "batch_s"), ("fp32", "top1")]
    assert entry.acknowledges("fp32", "batch_s") and not entry.acknowledges("fp32_fused", "batch_s")
    entry, rows = acknowledge(judged_run, "", "all", "faster")  # the one that is left
    assert rows == [("fp32_fused", "batch_s")]
    assert entry.acknowledges("fp32", "top1") and entry.acknowledges("fp32_fused", "batch_s")
    with pytest.raises(InputError, match="nothing to acknowledge; all of it is acknowledged"):
        acknowledge(judged_run, "all", "all", "again")


def test_an_open_regression_whose_row_is_gone_fails_and_can_be_acknowledged(
    judged_run: RunFolder,
) -> None:
    gone = Regression("gone", "cost_s", "r0", "2026-01-01T00:00:00Z", "gone costs 30 % more")
    gone = replace(gone, is_notified=True)
    red = night(verdict("none", "fp32"), verdict="regression", open=(gone,))
    (suite,) = xml.fromstring(to_junit(red))
    assert [suite.get(name) for name in ("tests", "failures", "errors")] == ["2", "1", "0"]
    (failure,) = suite.iter("failure")
    assert str(failure.get("message")).startswith("gone costs 30 % more: still open since run r0")
    write_json(judged_run.path / "nightly.json", to_json(red))
    (step,) = steps(red)
    assert step.command == "./run.sh acknowledge run=r method=gone reason=WHY"
    _, rows = acknowledge(judged_run, "gone", "all", "the row was dropped")
    assert rows == [("gone", "cost_s")]


def test_all_shifts_are_acknowledged_at_once(judged_run: RunFolder) -> None:
    entry, rows = acknowledge(judged_run, "all", "all", "new host")
    assert len(rows) == 3
    assert not entry.acknowledges("int8_full_naive", "batch_s")


def test_a_night_without_a_shift_is_refused(judged_run: RunFolder) -> None:
    path = judged_run.path / "nightly.json"
    write_json(path, to_json(night(verdict("none", "fp32"))))
    with pytest.raises(InputError, match="its verdict is: no regression"):
        acknowledge(judged_run, "all", "all", "nothing")
    partly = night(verdict("none", "fp32"), verdict("cannot tell", "fp32_fused"))
    write_json(path, to_json(partly))
    with pytest.raises(InputError, match="no regression; not all was judged"):
        acknowledge(judged_run, "all", "all", "nothing")
    stopped = night(verdict("regression", "fp32"), verdict="stopped", stopped="measuring")
    write_json(path, to_json(stopped))
    with pytest.raises(InputError, match=r"was stopped.*nightly run\.id=published goes on"):
        acknowledge(judged_run, "fp32", "all", "too early")
    assert not (judged_run.path / "acknowledged.json").exists()


def test_what_a_stopped_night_suspects_is_no_regression(judged_run: RunFolder) -> None:
    stopped = night(verdict("regression", "fp32"), verdict="stopped", stopped="measuring")
    write_json(judged_run.path / "nightly.json", to_json(stopped))
    with opened(judged_run.path.parent.parent) as history:
        saved, unreadable = rebuild(history, judged_run.path.parent.parent)
        assert (len(saved), unreadable) == (1, [])
        (entry,) = history.load("m")
    assert (entry.verdict, entry.regressions, entry.is_judged) == ("stopped", frozenset(), False)
    listed = list_nights(judged_run.path.parent.parent)
    assert "| stopped " in listed and "fp32 batch_s" not in listed


def test_the_nights_on_a_terminal_are_no_markdown(
    judged_run: RunFolder, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["history", "rebuild=true", f"run.results={judged_run.path.parent.parent}"]
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("# m\n\n| Measured")
    monkeypatch.setattr(printing, "is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "100")
    assert main(words[:1] + words[2:]) == 0
    shown = capsys.readouterr().out
    assert "fp32 batch_s" in shown and "|" not in shown and "#" not in shown


def test_a_shift_that_later_nights_found_is_acknowledged_where_it_began(
    judged_run: RunFolder,
) -> None:
    path = judged_run.path / "nightly.json"
    write_json(path, to_json(night(verdict("none", "fp32"))))
    later = night(verdict("none", "fp32"), shifted=(("fp32", "published", 1.06),))
    write_json(judged_run.path.with_name("later") / "nightly.json", to_json(later))
    assert notable(judged_run) == [("fp32", "batch_s")]
    write_json(
        judged_run.path.with_name("later") / "nightly.json", to_json(replace(later, shifted=()))
    )
    assert notable(judged_run) == []
