"""Whatever the text fields of records hold, what is written of them is text to its format's parser."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, get_args
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from harness.cli import call
from harness.facts.typed import _described, _is_object, fault
from harness.fleet import fleet_report
from harness.fleet.schedule import Attempt, Job
from harness.nightly import judgements, nightly_report
from harness.nightly.aa import report as aa_report
from harness.nightly.night import Night
from harness.nightly.nightly_report import list_nights
from harness.nightly.verdict import BATCH, Verdict
from harness.render import terminal
from harness.render.escape import csv_cell, markdown, markdown_cell, one_line, plain, xml
from harness.render.markdown_table import markdown_table
from harness.render.progress import Lines, Screen
from harness.report.latex import escaped
from harness.report.methods_text import methods_text
from harness.report.report_writer import write_report
from harness.storage.plan import RunPlan
from harness.storage.record import MethodRecord, RoofRecord, RoundRecord
from harness.storage.store import RunFolder
from harness.table.csv_table import csv_text
from harness.table.tables import write_tables
from helpers import sample_records
from helpers.hostile_text import KEPT, TEXTS, everywhere, fields, filled, has_text, is_text
from helpers.sample_run import made_run

NUMBER = re.compile(r"[+-]?[\d.]+(e[+-]?\d+)?")
FORMULA = tuple("=+-@")
MACHINE = {  # what a plan tells of its machine beyond its type
    "hypervisor": "KVM",
    "microcode": "0x1",
    "virtual": True,
    "cache_bytes": {"L1d": 1024},
    "ec2": {"instance_type": "c6i", "region": "here", "reason": "none"},
}
INLINE = {"link_open", "image", "html_inline", "em_open", "code_inline", "s_open"}
BLOCKS = {"html_block", "hr", "blockquote_open", "fence", "code_block", "ordered_list_open"}


# --- a parser of each format


def check_plain(text: str) -> None:
    assert text == plain(text)
    text.encode()


def check_markdown(text: str, allowed: tuple[str, ...] = ()) -> None:
    """Hold every table to its header's columns, and all text to being text."""
    check_plain(text)
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    kinds = {token.type for token in tokens}
    kinds |= {child.type for token in tokens for child in token.children or ()}
    assert not kinds & (INLINE | BLOCKS) - set(allowed), kinds
    tables = [token for token in tokens if token.type == "table_open"]
    lines = text.splitlines()
    for table in tables:
        assert table.map is not None
        rows = [lines[at] for at in range(*table.map)]
        counts = {len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) for row in rows}
        assert len(counts) == 1, rows
    in_tables = sum(token.map[1] - token.map[0] for token in tables if token.map)
    assert in_tables == sum(line.startswith("|") for line in lines)


def check_csv(text: str) -> list[list[str]]:
    check_plain(text)
    rows = list(csv.reader(io.StringIO(text), strict=True))
    assert {len(row) for row in rows} == {len(rows[0])}
    assert len(text.splitlines()) == len(rows)
    for cell in (cell for row in rows for cell in row):
        assert not cell.startswith(FORMULA) or NUMBER.fullmatch(cell), cell
    return rows


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def check_html(text: str) -> None:
    check_plain(text)
    page = _Page()
    page.feed(text)
    page.close()
    assert page.open == []
    assert not {tag for tag, _ in page.tags} & {"script", "img", "iframe", "object", "b"}
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")]
        assert not (attributes.get("href") or "").lower().startswith(("http", "javascript"))
    assert "http://h/" not in [each.get("src") for _, each in page.tags]


COMMANDS = {
    "begin", "end", "centering", "caption", "label", "footnotesize", "setlength", "tabcolsep",
    "toprule", "midrule", "bottomrule", "multicolumn", "emph", "addlinespace", "tiny", "allowbreak",
    "textbackslash", "textasciitilde", "textasciicircum", "textless", "textgreater", "textbar", "char",
    "ensuremath", "times", "pm", "textquoteleft", "ldots", "textendash", "raggedright", "par", "medskip",
    "textwidth", "emergencystretch", "cite", "providecommand", "newcommand", "leavevmode", "setbox",
    "hbox", "includegraphics", "ifdim", "wd", "linewidth", "resizebox", "box", "else", "fi", "def",
    "incbenchfloat", "incbenchwidth", "incbenchpicture", "incbenchname",
}  # fmt: skip


def check_latex(text: str) -> None:
    check_plain(text)
    code = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    assert code.isascii()
    bare = code.replace(r"\\", "")
    assert set(re.findall(r"\\([a-zA-Z]+)", bare)) <= COMMANDS
    bare = re.sub(r"\\[{}&%$#_]", "", bare)
    assert bare.count("{") == bare.count("}") and "%" not in bare and "#" not in bare
    assert "^^" not in bare and not re.search(r"(?m)^\[", code)
    widths = {line.count("&") for line in bare.splitlines() if " & " in line}
    assert len(widths - {1}) <= 2  # of both halves' rows; the others have a cell over all of them


def check_xml(text: str) -> ET.Element:
    check_plain(text)
    return ET.fromstring(text)


CHECKS = {
    ".md": check_markdown,
    ".csv": check_csv,
    ".html": check_html,
    ".tex": check_latex,
    ".txt": check_plain,
    ".svg": check_xml,
}


# --- every field of every record


@pytest.fixture(params=list(TEXTS), scope="module")
def text(request: pytest.FixtureRequest) -> str:
    return TEXTS[request.param]


def edit(path: Path, kind: Any, text: str, keep: tuple[str, ...] = ()) -> None:
    stored = json.loads(path.read_text())
    stages = [key for key, value in stored.items() if value is None]
    made_ = filled(stored, kind, text, (*keep, *stages))
    assert fault(made_, kind) is None
    path.write_text(json.dumps(made_))


def hostile_run(results: Path, text: str, run: str = "made") -> RunFolder:
    """Return a run of which every text field of every record holds the text."""
    folder = made_run(results, run=run)
    edit(folder.path / "plan.json", RunPlan, text, KEPT)
    plan = json.loads((folder.path / "plan.json").read_text())
    plan["machine"] |= everywhere(MACHINE, text)
    plan["versions"] = everywhere({**plan["versions"], "numpy": "1", "scipy": "1"}, text)
    (folder.path / "plan.json").write_text(json.dumps(plan))
    for path in (folder.path / "records").glob("*.json"):
        edit(path, MethodRecord, text)
    for path in (folder.path / "rounds").glob("*.json"):
        edit(path, RoundRecord, text)
    roof = {"run": run, "outcome": {"kind": "ok", "reason": None, "log": None, "trials": None}}
    kernel = {"dtype": "int8", "kind": "convolution", "macs": 1000, "ms": [1.0, 2.0]}
    facts_ = {"kernels": [kernel], "missing": {}, "disturbed": []}
    stored = filled({**roof, "facts": facts_, "schema": 2}, RoofRecord, text)
    folder.save(RoofRecord.from_dict(stored, folder.path))
    influence = folder.method("int8_custom") / "operator_influence.csv"
    with influence.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        header = ["excluded", "operator", "error_before", "error_after", "kept"]
        writer.writerow([*header, "kind", "layer", "behind", "feeds"])
        word = csv_cell(text) or "x"
        writer.writerow([word, word, 0.5, 0.1, True, word, word, word, word])
    return folder


@pytest.fixture(scope="module")
def run(text: str, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    return hostile_run(tmp_path_factory.mktemp("hostile"), text)


@pytest.mark.slow
def test_tables_and_report(
    run: RunFolder, text: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    write_tables(run)
    written_ = write_report(run, tmp_path_factory.getbasetemp() / "figures")
    found = [path for path in (*run.path.glob("*"), *written_) if path.suffix in CHECKS]
    assert {path.suffix for path in found} == set(CHECKS)
    for path in found:
        CHECKS[path.suffix](path.read_text(encoding="utf-8"))
    rows = check_csv((run.path / "table.csv").read_text())
    labels = [row[0] for row in rows[1:]]
    assert len(labels) == len(set(labels)) == 6
    kernels = check_csv((run.path / "kernels.csv").read_text())
    assert {row[0] for row in kernels[1:]} == set(labels[:5])


@pytest.mark.slow
def test_comparison(run: RunFolder, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    results = run.path.parent.parent
    other = hostile_run(results, text, "other")
    words = ["made", other.id, f"run.results={results}", "--force", "name=both"]
    with terminal.printed_plainly():
        assert call(["compare", *words]) == 0
    check_plain(capsys.readouterr().out)
    found = [path for path in (results / "comparisons" / "both").rglob("*.*")]
    assert {".csv", ".html", ".md"} <= {path.suffix for path in found}
    for path in found:
        if path.suffix not in CHECKS:
            continue
        CHECKS[path.suffix](path.read_text(encoding="utf-8"))


def test_night_and_acknowledgement(run: RunFolder, text: str) -> None:
    kinds: Any = ("regression", "cannot tell", "none")
    night = Night(
        machine=text, run=text, created=text, verdict="regression",
        rows=tuple(Verdict(text, BATCH, kind, None, None, None, 0.025, text) for kind in kinds),
        baseline=(text, text), again=text, failed={text: text}, changes=(text,),
        shifted=(("fp32", "base", 1.1),), notes=(text,),
    )  # fmt: skip
    check_markdown(nightly_report.to_markdown(night), ("html_block", "strong_open", "code_inline"))
    assert nightly_report.to_markdown(night).count("<details>") == 1
    suite = check_xml(nightly_report.to_junit(night).split("\n", 1)[1])
    assert len(list(suite.iter("testcase"))) == 4
    json.loads(json.dumps(nightly_report.to_json(night)))
    made_ = filled({"verdict": "none", "rows": [], "shifts": []}, judgements.Stored, text)
    (run.path / "nightly.json").write_text(json.dumps({**made_, "verdict": "none", "rows": []}))
    known = filled([], list[judgements.Acknowledgement], text)
    (run.path / "acknowledged.json").write_text(json.dumps(known))
    from harness.nightly.judgements import rebuild
    from harness.nightly.memory.database import opened

    with opened(run.path.parent.parent) as history:
        saved, unreadable = rebuild(history, run.path.parent.parent)
    assert len(saved) == 1, unreadable
    check_markdown(list_nights(run.path.parent.parent))


def test_fleet_and_repeats(text: str) -> None:
    attempts = [Attempt("n", text, "lost", text)]
    jobs = [Job(text, text, text, "arrived", 3, text, attempts), Job("r", text, "n", reason=text)]
    report = fleet_report.to_markdown(text, jobs)
    check_markdown(report)
    assert sum(line.startswith("|") for line in report.splitlines()) == 4
    assert aa_report.markdown(f"Left out: {text}.").startswith("Left out: ")


def test_progress_and_what_verbs_print(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    with terminal.printed_plainly():
        print(text)
        lines.note(text)
        screen = Screen(terminal.console(stderr=True))
        screen.note(text)
        with screen.step(text) as report:
            report(1, 2, text)
        with lines.step(text) as report:
            report(1, 2, text)
    told = capsys.readouterr()
    check_plain(told.out)
    check_plain(told.err)
    if "[red]" in text:
        assert "[red]r[/]" in told.err  # no markup


@pytest.mark.parametrize("kind", [RunPlan, MethodRecord, RoundRecord, RoofRecord])
def test_the_fields_are_those_of_the_types(kind: Any) -> None:
    assert has_text(kind)

    def leaves(value: Any, at: Any) -> Iterator[Any]:
        _, bare = _described(at)
        if is_text(at):
            yield value
        elif _is_object(bare):
            for key, (inner, _) in fields(bare).items():
                if has_text(inner):
                    yield from leaves(value[key], inner)
        elif isinstance(value, list):
            yield from leaves(value[0], get_args(bare)[0])

    assert set(leaves(filled(None, kind, "here"), kind)) == {"here"}


# --- the functions themselves


@given(st.text())
def test_markdown_is_text(text: str) -> None:
    md = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    for escaped_ in (f"- {markdown(text)}", f"# {markdown_cell(text)}"):
        tokens = md.parse(escaped_)
        children = [child for token in tokens for child in token.children or ()]
        assert {child.type for child in children} <= {"text", "text_special"}
        shown = "".join(child.content for child in children)
        assert shown == " ".join(one_line(text).split())
    check_markdown(markdown_table(["a", text], [[text, "b"], ["c", text]]))


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_csv_has_as_many_cells_and_no_formula(cells: list[str]) -> None:
    rows = check_csv(csv_text(["x"] * len(cells), [cells]))
    assert rows[-1] == [csv_cell(cell) for cell in cells] or cells == [""]


@pytest.mark.parametrize("number", ["-0.05", "+1", "-1e-7", "-inf", -0.05, -3, None, ""])
def test_numbers_stay_numbers(number: Any) -> None:
    assert csv_cell(number) == number


@given(st.text())
def test_xml_can_be_parsed(text: str) -> None:
    element = ET.Element("a", {"b": xml(text)})
    element.text = xml(text)
    ET.fromstring(ET.tostring(element, encoding="unicode"))


def test_letters_that_latex_has_are_kept() -> None:
    assert escaped("é ü ß Č 5 °") == (r"{\'{e}} {\"{u}} {\ss} {\v{C}} 5 \ensuremath{^\circ}")
    assert escaped("漢") == "U+6F22"


def test_the_paragraph_is_one_line() -> None:
    plan = replace(sample_records.plan(), warnings=("a\nb",))
    workload = {**plan.workload.stored, "name": "two\nlines"}
    plan = sample_records.configured(plan, workload=workload)
    assert "\n" not in methods_text(plan, [], [])
