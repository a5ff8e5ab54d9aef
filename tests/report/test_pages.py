"""Pages: their links lead somewhere, and everyone can read them, with any eyes and any browser."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest

from harness import PROJECT
from harness.cli import main
from harness.nightly.page.trend_page import write_page
from harness.render.page import TEMPLATES
from harness.report.report_writer import write_report
from helpers import links
from helpers.invented_nights import invented_nights
from helpers.other_machine import on_machine
from helpers.sample_run import made_run

VOID = {"meta", "link", "br", "input", "hr", "img"}
AA = 4.5  # WCAG 2: least contrast of text


def committed() -> list[Path]:
    """Return the committed pages under results/."""
    listed = subprocess.run(
        ["git", "ls-files", "results"], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    return [PROJECT / name for name in listed.stdout.split("\n") if name.endswith((".html", ".md"))]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return a page of each kind, freshly written."""
    results, cache = tmp_path_factory.mktemp("results"), tmp_path_factory.mktemp("cache")
    run = made_run(results)
    other = on_machine(run, results, "other-2c")
    report, *_ = write_report(run, cache)
    names = [f"{folder.path.parent.name}/{folder.id}" for folder in (run, other)]
    places = [f"run.results={results}", f"run.cache={cache}"]
    assert main(["compare", *names, "name=both", *places]) == 0
    return {
        "report": report,
        "comparison": results / "comparisons" / "both" / "comparison.html",
        "history": history_page(results),
    }


def history_page(results: Path) -> Path:
    (results / "machine" / "n0001").mkdir()
    (results / "machine" / "n0001" / "nightly.md").write_text("# a night\n")
    nights = [
        replace(night, machine="machine", folder=f"machine/{night.run}")
        for night in invented_nights(30, 2)
    ]
    return write_page(results, "machine", nights)


def test_links_of_committed_pages_lead_somewhere() -> None:
    pages = committed()
    assert PROJECT / "results/example/published/report/report.html" in pages
    assert {str(page): links.dead(page) for page in pages if links.dead(page)} == {}


def test_links_of_fresh_pages_lead_somewhere(written: dict[str, Path]) -> None:
    assert {name: links.dead(page) for name, page in written.items()} == {
        name: [] for name in written
    }
    history = written["history"].read_text()
    assert 'href="../../machine/n0001/nightly.md"' in history
    assert "machine/n0002/nightly.md" not in history


@pytest.mark.slow
def test_links_of_a_report_in_another_folder_lead_to_the_run(tmp_path: Path) -> None:
    run = made_run(tmp_path / "results")
    page, *_ = write_report(run, tmp_path / "cache", into=tmp_path / "reports" / "a b" / "made")
    assert links.dead(page) == []
    assert 'href="../../../results/machine/made/plan.json"' in page.read_text()


def test_a_dead_link_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text('<a href="no.txt">a</a> <a href="#no">b</a> <p id="here"><a href="#here">c</a>')
    assert links.dead(page) == ["no.txt", "#no"]


class Outline(HTMLParser):
    """The elements of a page, each with its attributes and the elements that it is in."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str], tuple[str, ...]]] = []
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {k: v or "" for k, v in attrs}, tuple(self._open)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {k: v or "" for k, v in attrs}, tuple(self._open)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def attributes(self, *tags: str) -> list[dict[str, str]]:
        return [attributes for tag, attributes, _ in self.elements if tag in tags]


def each_page(written: dict[str, Path]) -> Iterator[tuple[str, Outline]]:
    example = PROJECT / "results/example/published/report/report.html"
    for name, page in {**written, "example": example}.items():
        yield name, Outline(page.read_text())


def test_a_screen_reader_finds_its_way(written: dict[str, Path]) -> None:
    for name, page in each_page(written):
        assert page.attributes("html") == [{"lang": "en"}], name
        assert len(page.attributes("title")) >= 1 and len(page.attributes("h1")) == 1
        for landmark in ("header", "nav", "main", "footer"):
            assert len(page.attributes(landmark)) == 1, (name, landmark)
        levels = [int(tag[1]) for tag, _, _ in page.elements if re.fullmatch("h[1-6]", tag)]
        assert all(after - before <= 1 for before, after in pairwise(levels)), (name, levels)
        ids = [attributes["id"] for _, attributes, _ in page.elements if "id" in attributes]
        assert len(ids) == len(set(ids)), name
        for svg in page.attributes("svg"):
            assert svg["role"] == "img" and svg["aria-labelledby"]
        is_drawn_by_script = name == "history"
        classes = set() if is_drawn_by_script else {"wide", "narrow"}
        assert {svg["class"] for svg in page.attributes("svg")} == classes
        assert not page.attributes("img", "iframe")
        assert bool(page.attributes("script")) == is_drawn_by_script
        assert not any("src" in script for script in page.attributes("script"))


def test_tables_have_headers_and_scroll_by_keyboard(written: dict[str, Path]) -> None:
    for name, page in each_page(written):
        assert len(page.attributes("table")) == len(page.attributes("caption")) > 0
        assert all("scope" in header for header in page.attributes("th")), name
        regions = [a for a in page.attributes("div") if a.get("class") == "scroll"]
        assert len(regions) == len(page.attributes("table"))
        for region in regions:
            assert (region["tabindex"], region["role"]) == ("0", "region")
            assert region["aria-label"]


def luminance(color: str) -> float:
    parts = color.lstrip("#")
    parts = "".join(2 * digit for digit in parts) if len(parts) == 3 else parts
    values = [int(parts[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in values]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_text_has_enough_contrast_in_every_theme() -> None:
    css = (TEMPLATES / "page.css").read_text()
    themes = [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6});", part))
              for part in re.findall(r":root \{(.*?)\}", css, re.DOTALL)]  # fmt: skip
    assert len(themes) == 3  # light, dark, print
    for theme in themes:
        for text in ("ink", "muted", "accent", "good", "bad"):
            for behind in ("page", "raised"):
                assert contrast(theme[text], theme[behind]) >= AA, (text, behind, theme[text])
        assert contrast(theme["ink"], theme["note"]) >= AA


def test_every_width_shows_one_picture_of_each_figure() -> None:
    css = (TEMPLATES / "page.css").read_text()
    assert "figure svg.narrow { display: none;" in css
    (narrow,) = re.findall(r"@media screen and \(max-width: 44rem\) \{(.*)\}", css)
    assert "svg.wide { display: none; }" in narrow and "svg.narrow { display: block; }" in narrow
