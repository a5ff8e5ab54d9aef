"""The page of a machine's nights: its lines, marks and changes, and its elements in a browser."""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.nightly.baseline import last_good
from harness.nightly.entry import METRICS
from harness.nightly.judge import typical_s
from harness.nightly.judgements import JudgedRow
from harness.nightly.night import Regression
from harness.nightly.page.page_data import as_script, page_data
from harness.nightly.page.software_changes import software_changes
from harness.nightly.page.trend_page import to_html, write_page, write_pages
from harness.nightly.page.trends import SHOWN, Trend, measured, trends
from harness.render.page import UPLOT
from harness.storage.store import COMMITTED
from helpers.browser import Opened
from helpers.hostile_text import TEXTS
from helpers.invented_nights import invented_nights

DATA = '<script type="application/json"'
LIMIT_MB = 3.0
WIDTHS = (400, 1000, 1400)


def data_in(page: str) -> dict[str, Any]:
    (text,) = re.findall(r'<script type="application/json" id="history">(.*?)</script>', page)
    return dict(json.loads(text))


def by_key(lines: list[Trend]) -> dict[tuple[str, str], Trend]:
    return {(line.method, line.metric.name): line for line in lines}


def test_every_metric_of_a_night_has_a_line() -> None:
    assert {metric.name for metric in SHOWN} == set(METRICS)
    nights = invented_nights(3, 2)
    lines = by_key(trends(nights))
    assert set(lines) == {(f"int8_{n}", metric) for n in range(2) for metric in METRICS}
    row = nights[2].row("int8_1")
    assert row is not None and row.times is not None and row.correct is not None
    line = lines["int8_1", "batch_s"]
    assert line.value[2] == pytest.approx(1e3 * typical_s(row.times))
    assert line.low[2] < line.value[2] < line.high[2]
    assert lines["int8_1", "top1"].value[2] == pytest.approx(100 * row.correct[0].mean())
    cost = measured(row, "cost_s")
    assert cost is not None and cost.value == row.cost_s and math.isnan(cost.low)


def test_rows_that_were_not_measured_leave_a_gap() -> None:
    nights = invented_nights(4, 2)
    nights[1] = replace(nights[1], rows=nights[1].rows[1:])
    few = nights[2].rows[0]
    assert few.times is not None
    nights[2] = replace(nights[2], rows=(replace(few, times=few.times[:2], cost_s=None),))
    line, cost = (by_key(trends(nights))["int8_0", name] for name in ("batch_s", "cost_s"))
    assert np.isnan(line.value).tolist() == [False, True, False, False]
    assert np.isnan(line.low).tolist() == [False, True, True, False]  # two rounds have no interval
    assert np.isnan(cost.value).tolist() == [False, True, True, False]


@pytest.mark.parametrize("trusts", [False, True])
def test_the_baselines_are_those_that_nights_were_judged_by(trusts: bool) -> None:
    nights = invented_nights(150, 3, rounds=5, batches=2, images=20)
    nights = [
        replace(
            night,
            trusts_disturbed=trusts,
            compared_with=3 + at % 4,
            alike=dict(night.alike, task=at // 70),
            rows=tuple(
                replace(row, disturbed=5 * (at % 7 == 3))
                for row in night.rows
                if at > 100 or not night.acknowledges(row.method, "batch_s")  # not measured then
            ),
        )
        for at, night in enumerate(nights)
    ]
    lines = by_key(trends(nights))
    for at, night in enumerate(nights):
        before = last_good(nights[:at], night.alike, night.compared_with, trusts)
        for (method, metric), line in lines.items():
            values = [
                _value(entry.row(method), metric)
                for entry, run in zip(before.entries, before.runs, strict=True)
                if _counts(run, method, metric)
            ]
            ends = (min(values), max(values)) if values else (math.nan, math.nan)
            assert (line.base_low[at], line.base_high[at]) == pytest.approx(ends, nan_ok=True)


def test_an_acknowledgement_of_an_earlier_night_frees_those_after_it() -> None:
    nights = invented_nights(12, 1, images=20)
    key = ("int8_0", "batch_s")
    open_ = (Regression(*key, nights[3].run, nights[3].created, "worse"),)
    for at in range(3, 9):
        nights[at] = replace(nights[at], open=open_, regressions=frozenset({key}))
    nights[3] = replace(nights[3], acknowledged={key: "meant"})
    line = by_key(trends(nights))[key]
    for at in (4, 9, 11):
        before = last_good(nights[:at], nights[at].alike, 5)
        values = [
            _value(one.row("int8_0"), "batch_s")
            for one, run in zip(before.entries, before.runs, strict=True)
            if _counts(run, *key)
        ]
        assert (line.base_low[at], line.base_high[at]) == (min(values), max(values))


def test_a_shift_that_began_before_tonight_is_new_tonight() -> None:
    night, *_ = invented_nights(1, 1)
    key = ("int8_0", "batch_s")
    for told, kind in ((False, "regression"), (True, "open")):
        open_ = Regression(*key, "before", night.created, "worse", is_notified=told)
        shown = replace(night, open=(open_,), regressions=frozenset({key}))
        assert [
            mark[3] for mark in page_data([shown], [], [], [{}], {})["marks"] if mark[1] == key[0]
        ] == [kind]


def _counts(run: Any, method: str, metric: str) -> bool:
    if metric == "batch_s":
        return method in run.times
    kept = {name.name: rows for name, rows in (*run.once.items(), *run.correct.items())}
    return method in kept.get(metric, {})


def _value(row: Any, metric: str) -> float:
    point = measured(row, metric)
    assert point is not None
    return point.value * next(one.factor for one in SHOWN if one.name == metric)


def test_what_changed_between_nights_has_a_kind_and_short_digests() -> None:
    first, *_ = invented_nights(1, 1)
    of_first = first.environment
    now = replace(
        first,
        run="n1",
        alike={**first.alike, "images": {"validated": 100}},
        environment={
            **of_first,
            "machine": {"kernel": "6.2.0", "microcode": "0x9", "os": "Debian 13"},
            "packages": {"idna": "3.11"},
            "code": "c" * 64,
            "checkout": {"commit": "d" * 40, "clean": False},
            "method": {"int8_0": {"quantize_mode": "full"}},
        },
    )
    changes = {change.kind: change.lines for change in software_changes([first, first, now])}
    assert {change.night for change in software_changes([first, first, now])} == {2}
    assert set(changes) == {*("kernel", "microcode", "system", "lock", "code", "settings", "task")}
    assert "checkout.commit: was '000000000000', is 'dddddddddddd'" in changes["code"]
    assert "checkout.clean: was True, is False" in changes["code"]
    assert changes["lock"] == ("packages.idna: was '3.0', is '3.11'",)
    assert changes["task"] == ("images.validated: was 200, is 100",)
    assert software_changes([first]) == software_changes([]) == []


@pytest.mark.parametrize(
    ("row", "change"),
    [
        (JudgedRow("m", "batch_s", "change", 1.01, 0.025), "small"),
        (JudgedRow("m", "batch_s", "change", 1.06, 0.025), "machine"),
        (JudgedRow("m", "batch_s", "change", 0.9, 0.025), "machine"),
        (JudgedRow("m", "validate_mb", "change", 0.7, 0.1), "machine"),
        (JudgedRow("m", "top1", "change", -0.05, 0.1), "small"),
        (JudgedRow("m", "top1", "change", -0.4, 0.1), "machine"),
        (JudgedRow("m", "batch_s", "cannot tell", 1.06, 0.025, "machine"), "machine"),
        (JudgedRow("m", "batch_s", "cannot tell", 1.06, 0.025, "noise"), None),
        (JudgedRow("m", "batch_s", "regression", 1.06, 0.025), None),
    ],
)
def test_a_change_that_only_the_machine_can_have_made(row: JudgedRow, change: str | None) -> None:
    assert row.change == change


def test_packed_numbers_are_those_of_the_lines() -> None:
    nights = invented_nights(50, 3)
    nights[7] = replace(nights[7], rows=nights[7].rows[1:])
    lines = trends(nights)
    data = json.loads(as_script(page_data(nights, lines, [], [{}] * 50, {})))
    for packed, line in zip(data["lines"], lines, strict=True):
        assert (packed["method"], packed["metric"]) == (line.method, line.metric.name)
        values = np.full(50, math.nan)
        known = [(at, value) for at, value in enumerate(packed["values"]) if value is not None]
        for at, value in known:
            values[at] = value * packed["unit"]
        np.testing.assert_allclose(values, line.value, atol=0.51 * packed["unit"])
        for at, value in known:
            if packed["low"]:
                low = (value + packed["low"][at]) * packed["unit"]
                assert low == pytest.approx(line.low[at], abs=1.01 * packed["unit"])


def test_a_page_without_nights_and_one_without_values() -> None:
    empty = to_html("m", [], [])
    assert data_in(empty)["nights"] == [] and "0 nights" in empty
    stopped = replace(invented_nights(1, 1)[0], rows=(), verdict="stopped")
    assert data_in(to_html("m", [stopped], [{}]))["lines"] == []


def test_text_of_files_stays_text() -> None:
    night = invented_nights(1, 1)[0]
    for text in (*TEXTS.values(), "</script><script>alert(1)</script>", "<!--<script>"):
        row = replace(night.rows[0], label=text)
        known = replace(night, rows=(row,), acknowledged={("int8_0", "batch_s"): text})
        page = to_html(text, [known], [{}])
        assert page.count("<script") == 3 and page.count("</script") == 3
        data_in(page)


def test_scripts_are_allowed_by_their_digests_alone() -> None:
    page = to_html("m", invented_nights(2, 1), [{}, {}])
    (policy,) = re.findall(r'Content-Security-Policy" content="(.*?)"', page)
    assert "default-src 'none'" in policy and policy.count("'sha256-") == 2
    assert "unsafe-inline" not in policy.partition("script-src ")[2].partition(";")[0]


def test_the_library_of_charts_is_as_its_package_has_it() -> None:
    said = (UPLOT / "README.md").read_text()
    digests = re.findall(r"^\| `(\S+)` \| `([0-9a-f]{64})` \|$", said, re.MULTILINE)
    assert {name for name, _ in digests} | {"README.md"} == {p.name for p in UPLOT.iterdir()}
    for name, digest in digests:
        assert hashlib.sha256((UPLOT / name).read_bytes()).hexdigest() == digest, name
    version = re.search(r"^\| version \| (\S+) \|$", said, re.MULTILINE)
    assert version is not None
    assert f"(v{version[1]})" in (UPLOT / "uPlot.iife.min.js").read_text(encoding="utf-8")[:100]


@pytest.mark.slow
def test_a_thousand_nights_of_ten_methods_stay_small() -> None:
    nights = invented_nights(1000, 10)
    page = to_html(
        "m", nights, [{"verdict": f"../../{night.folder}/nightly.md"} for night in nights]
    )
    assert len(page.encode()) < LIMIT_MB * 1e6


def test_the_example_is_what_its_history_gives(tmp_path: Path) -> None:
    example = COMMITTED / "history"
    if not example.is_dir():
        pytest.skip("this checkout has no example of a history")
    shutil.copy(example / "history.sqlite", tmp_path)
    (written,) = write_pages(tmp_path)
    committed, now = ((path.read_text()) for path in (example / "index.html", written))
    assert committed.partition(DATA)[0] == now.partition(DATA)[0]
    data, again = data_in(committed), data_in(now)
    assert len(data["nights"]) == 60
    assert {"regression", "acknowledged"} <= {mark[3] for mark in data["marks"]}
    assert {"code", "lock"} <= {change[1] for change in data["changes"]}
    for line, other in zip(data.pop("lines"), again.pop("lines"), strict=True):
        for key, value in line.items():  # another CPU may round the last digit otherwise
            if isinstance(value, list):
                values = [np.array(one, dtype=float) for one in (value, other[key])]
                np.testing.assert_allclose(*values, atol=2)
            else:
                assert value == other[key]
    assert data == again


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = tmp_path_factory.mktemp("results")
    (results / "invented" / "n0020").mkdir(parents=True)
    (results / "invented" / "n0020" / "nightly.md").write_text("# a night\n")
    return write_page(results, "invented", invented_nights(130, 3))


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_width_shows_the_charts(
    page: Path, open_page: Callable[..., Opened], scheme: str
) -> None:
    for width in WIDTHS:
        opened = open_page(page, width, scheme)
        opened.page.wait_for_selector("html[data-drawn]", state="attached")
        assert opened.console == [] and opened.requests == [page.as_uri()]
        assert not opened.scrolls_sideways()
        assert opened.page.locator("figure.trend canvas").count() == 3
        box = opened.page.locator("figure.trend canvas").first.bounding_box()
        assert box["width"] <= width and box["x"] >= 0
        assert opened.page.locator("#legend li").count() >= 8
        assert opened.page.locator("#controls").is_visible()
        colors = opened.page.evaluate(
            "(() => { const c = document.querySelector('figure.trend canvas');"
            "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
            "const seen = new Set();"
            "for (let i = 0; i < d.length; i += 4) if (d[i + 3] > 250) seen.add(d[i] + ',' + d[i + 1]"
            " + ',' + d[i + 2]); return [...seen]; })()"
        )
        line = {"light": "0,114,178", "dark": "74,168,224"}[scheme]
        mark = {"light": "184,56,0", "dark": "255,155,102"}[scheme]
        assert {line, mark} <= set(colors)
    assert (opened.background() == "rgb(254, 254, 254)") == (scheme == "light")


@pytest.mark.slow
def test_filters_zoom_and_the_table(page: Path, open_page: Callable[..., Opened]) -> None:
    opened = open_page(page)
    seen = opened.page
    seen.select_option("#metric", "top1")
    seen.uncheck("#methods input[value=int8_1]")
    assert seen.locator("figure.trend h3").all_inner_texts() == ["int8 number 0", "int8 number 2"]
    assert "%" in seen.locator("figure.trend figcaption").first.inner_text()
    seen.click("text=Last 30")
    assert "nights=101-130" in seen.url and "metric=top1" in seen.url
    seen.click("#values summary")
    assert seen.locator("#values-body tr").count() == 30
    assert seen.locator("#values-head th").count() == 4
    assert seen.locator("#values-body th").first.inner_text() == "n0129"
    seen.select_option("#metric", "")
    assert seen.locator("figure.trend").count() == 12
    seen.select_option("#metric", "batch_s")
    seen.check("input[value=log]")
    assert seen.locator("figure.trend canvas").count() == 2
    again = open_page(page)  # an address leads to the same view
    again.page.goto(seen.url)
    again.page.reload()
    assert again.page.is_checked("input[value=log]")
    assert not again.page.is_checked("#methods input[value=int8_1]")
    plot = seen.locator("figure.trend .u-over").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    middle = box["y"] + box["height"] / 2
    seen.mouse.move(box["x"] + 0.2 * box["width"], middle)
    seen.mouse.down()
    seen.mouse.move(box["x"] + 0.5 * box["width"], middle, steps=4)
    seen.mouse.up()
    first, last = map(int, re.findall(r"nights=(\d+)-(\d+)", seen.url)[0])
    assert 104 <= first < last <= 120
    seen.mouse.dblclick(box["x"] + 0.5 * box["width"], middle)
    assert "nights=" not in seen.url
    seen.click("#no-methods")
    assert "No method is chosen" in seen.locator("#figures").inner_text()
    assert opened.console == []


@pytest.mark.slow
def test_the_keyboard_reaches_every_night(page: Path, open_page: Callable[..., Opened]) -> None:
    opened = open_page(page)
    seen = opened.page
    plot = seen.locator("figure.trend .plot").first
    assert plot.get_attribute("role") == "slider"
    assert plot.get_attribute("aria-label") == "int8 number 0, Time of a batch, by night"
    plot.focus()
    seen.keyboard.press("Home")
    assert plot.get_attribute("aria-valuenow") == "1"
    for key in ("PageDown", "PageDown"):
        seen.keyboard.press(key)
    assert plot.get_attribute("aria-valuenow") == "21"
    text = plot.get_attribute("aria-valuetext")
    assert text.startswith("n0020, 2026-01-21 02:00: ") and "regression (int8_0 takes 6.0 %" in text
    assert "new: code or commit" in text
    night = seen.locator("#night")
    assert night.get_attribute("aria-live") == "polite" and "n0020" in night.inner_text()
    assert "checkout.commit: was" in night.inner_text()
    seen.keyboard.press("+")
    assert "nights=" in seen.url
    seen.keyboard.press("0")
    assert "nights=" not in seen.url
    seen.keyboard.press("ArrowRight")
    assert "n0021" in night.inner_text() and "still open" in night.inner_text()
    seen.keyboard.press("ArrowLeft")
    assert night.locator("a").get_attribute("href") == "../../invented/n0020/nightly.md"
    assert opened.console == []
