"""``./run.sh report``: what it writes agrees with the records, and cannot be made to do harm."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from harness import PROJECT
from harness.cli import main
from harness.errors import HarnessError, InputError
from harness.files.whole_files import sha256_of
from harness.report.report_writer import write_report
from harness.storage.store import RunFolder
from helpers import links
from helpers.browser import Opened
from helpers.command_line import PATIENCE_S, CommandLine, Ended
from helpers.other_machine import edit
from helpers.sample_records import LABELS
from helpers.sample_run import SECONDS, TOP1, UNSOLVED, made_run

HOSTILE = (
    '<script>document.title="taken"</script>',
    '"><img src=x onerror=alert(1)>',
    r"\write18{touch taken} 50%&_#~^${}",
    "</title></svg><svg onload=alert(2)>",
    "[1ex] $x_1$ \\input{/etc/passwd} {{ 7*7 }}",
)
HOSTILE_LABELS = dict(zip(SECONDS, HOSTILE, strict=True))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def made_report(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    folder = made_run(tmp_path_factory.mktemp("made"))
    write_report(folder, cache)
    return folder.path / "report"


@pytest.fixture(scope="module")
def hostile_report(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    folder = made_run(
        tmp_path_factory.mktemp("hostile"), labels=HOSTILE_LABELS, reason=" ".join(HOSTILE)
    )
    write_report(folder, cache)
    return folder.path / "report"


@pytest.mark.slow
def test_the_report_of_a_real_run_agrees_with_its_records_to_the_last_digit(
    smoke_run: Ended, cli: CommandLine, open_page: Callable[..., Opened]
) -> None:
    folder = cli.copy_of(smoke_run)
    ended = cli("report", f"run={folder.id}")
    assert ended.code == 0, ended.err
    first, others = ended.out.splitlines()
    page = Path(first)
    assert page == folder.path / "report" / "report.html"
    names = {str(path.relative_to(page.parent)) for path in page.parent.rglob("*.*")} - {page.name}
    assert {"table.tex", "figures/tuning.pdf"} < names
    assert others == f"and beside it tables, LaTeX and figures ({len(names)} files)"
    records = {record.label: record for record in folder.load_records()}
    labels = np.load(folder.labels)
    fp32 = records["fp32 no optimization"].validate
    assert fp32 is not None
    with (folder.path / "report" / "table.csv").open(newline="") as handle:
        rows = list(csv.DictReader(handle))
    latex = (folder.path / "report" / "table.tex").read_text()
    assert [row["method"] for row in rows] == list(records)
    for row in rows:
        record = records[row["method"]]
        assert record.validate is not None and record.optimize is not None
        with np.load(folder.method(record.method) / "predictions.npz") as kept:
            top = kept["top"]
        top1 = float((top[:, 0] == labels).mean())
        speedup = fp32.validation_s / record.validate.validation_s
        assert float(row["top1"]) == top1
        assert float(row["top5"]) == float((top[:, :5] == labels[:, None]).any(axis=1).mean())
        assert float(row["cost_s"]) == record.optimize.cost_s
        assert float(row["validation_s"]) == record.validate.validation_s
        assert float(row["inference_s"]) == sum(record.validate.forward_s)
        assert float(row["speedup"]) == speedup
        (line,) = re.findall(rf"^\{{{record.label}\}} & (.*) \\\\$", latex, re.MULTILINE)
        cells = [cell.strip().replace("$-$", "-") for cell in line.split("&")]
        assert cells[0] == f"{top1:.4f}"
        assert cells[4] == f"{record.optimize.cost_s:.2f}"
        assert cells[5] == f"{record.validate.validation_s:.2f}"
        assert cells[6] == f"{speedup:.1f}"
    opened = open_page(page)
    shown = opened.page.inner_text("body")
    for record in records.values():
        assert sha256_of(folder.path / record.path) in opened.page.text_content(
            "section[aria-labelledby=records]"
        )
    assert "so the ratios compare different networks" in shown
    assert "exactly the code and the configuration files that were measured" in shown
    assert opened.console == [] and opened.requests == [page.as_uri()]


def test_the_page_works_in_a_browser(made_report: Path, open_page: Callable[..., Opened]) -> None:
    path = made_report / "report.html"
    opened = open_page(path)
    page = opened.page
    assert page.title() == "made: run made"
    assert page.locator("h1").count() == 1
    for landmark in ("header", "nav", "main", "footer"):
        assert page.locator(f"body > {landmark}").count() == 1
    assert page.locator("table").count() == page.locator("table > caption").count() > 4
    assert page.locator("th:not([scope])").count() == 0
    assert links.dead(path) == []
    for svg in page.locator("main svg").all():
        named = svg.get_attribute("aria-labelledby").split()
        texts = [svg.locator(f"[id='{name}']").text_content() for name in named]
        assert svg.get_attribute("role") == "img" and all(texts) and len(texts) == 2
    assert page.locator("main svg.wide").count() == page.locator("main svg.narrow").count() == 6
    items = page.locator("section[aria-labelledby=checklist] li")
    assert items.count() == items.locator(".answer").count() > 60
    assert set(items.locator(".answer").all_text_contents()) >= {"yes", "in part", "no", "open"}
    assert (made_report / "checklist.md").read_text().count("\n- [") == items.count()
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))
    assert opened.console == [] and opened.requests == [path.as_uri()]


def test_the_keyboard_reaches_everything(
    made_report: Path, open_page: Callable[..., Opened]
) -> None:
    page = open_page(made_report / "report.html").page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    assert page.evaluate("document.activeElement.getBoundingClientRect().left >= 0")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "content"
    details = page.locator("section[aria-labelledby=records] details").first
    for key, is_open in (("Enter", True), ("Space", False), ("Space", True)):
        details.locator("summary").focus()
        page.keyboard.press(key)
        assert details.evaluate("element => element.open") is is_open
    page.locator("th a", has_text="int8_mse").press("Enter")  # leads into what was closed
    assert page.locator("#row-4").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone_in_both_schemes(
    scheme: str, made_report: Path, hostile_report: Path, open_page: Callable[..., Opened]
) -> None:
    for report in (made_report, hostile_report):
        narrow = open_page(report / "report.html", width=360, scheme=scheme)
        assert not narrow.scrolls_sideways()
        red = int(re.findall(r"\d+", narrow.background())[0])
        assert red > 200 if scheme == "light" else red < 60
        ink = narrow.page.evaluate("getComputedStyle(document.querySelector('svg text')).fill")
        assert (int(re.findall(r"\d+", ink)[0]) < 100) is (scheme == "light")


def test_it_prints(made_report: Path, open_page: Callable[..., Opened]) -> None:
    opened = open_page(made_report / "report.html", scheme="dark")
    assert opened.page.pdf(format="A4").startswith(b"%PDF")
    opened.page.emulate_media(media="print")
    assert opened.background() == "rgb(255, 255, 255)"
    assert not opened.page.locator("nav").is_visible()


def test_what_files_hold_is_text_in_the_page(
    hostile_report: Path, open_page: Callable[..., Opened]
) -> None:
    path = hostile_report / "report.html"
    opened = open_page(path)
    page = opened.page
    assert page.title() == "made: run made"
    assert page.locator("script, img, iframe, object, [onerror], [onload]").count() == 0
    assert opened.console == [] and opened.requests == [path.as_uri()]
    shown = page.locator("#results ~ .scroll").first.text_content()
    for label in HOSTILE:
        assert label in shown
    assert "{{ 7*7 }}" in shown and "49" not in shown
    policy = page.locator("meta[http-equiv=Content-Security-Policy]").get_attribute("content")
    assert policy.startswith("default-src 'none'") and "script" not in policy


def test_what_files_hold_is_text_in_figures(
    hostile_report: Path, open_page: Callable[..., Opened]
) -> None:
    for path in (hostile_report / "figures").glob("*.svg"):
        root = ET.parse(path).getroot()
        tags = {element.tag.rpartition("}")[2] for element in root.iter()}
        assert not tags & {"script", "img", "image", "foreignObject"}
        opened = open_page(path)
        assert opened.console == [] and opened.requests == [path.as_uri()]
    words = "".join(
        ET.parse(hostile_report / "figures" / "accuracy_speedup.svg").getroot().itertext()
    )
    assert all(label[:20] in words for label in HOSTILE)


@pytest.mark.slow
def test_what_files_hold_is_text_in_latex(hostile_report: Path) -> None:
    text = (hostile_report / "table.tex").read_text()
    code = "\n".join(line for line in text.splitlines() if not line.startswith("%"))
    assert r"{\textbackslash{}write18\{touch taken\} 50\%\&\_\#\textasciitilde{}" in code
    used = set(re.findall(r"\\([a-zA-Z]+)", code.replace(r"\\", "")))
    assert not used & {"write", "input", "immediate", "openout", "include"}
    assert "[1ex]" in code and not re.search(r"^\[", code, re.MULTILINE)


LATEX, BIBTEX = shutil.which("pdflatex"), shutil.which("bibtex")
OVERFULL = re.compile(r"Overfull .*?\(([\d.]+)pt")
CLASSES = {  # and the style of their references
    "article": (r"\documentclass{article}", "plain"),
    "twocolumn": (r"\documentclass[twocolumn]{article}", "plain"),
    "ieee": (r"\documentclass[conference]{IEEEtran}", "IEEEtran"),
    "acm": (r"\documentclass[sigconf,nonacm,balance=false]{acmart}", "ACM-Reference-Format"),
}
WIDE = r"\newcommand{\incbenchfloat}{figure*}\newcommand{\incbenchwidth}{}"


def compiled(report: Path, folder: Path, name: str, figures: str = "") -> str:
    """Compile a paper with all that a report has for LaTeX, and return the log of the last pass."""
    preamble = re.search(r"^% Preamble: (.*)$", (report / "table.tex").read_text(), re.MULTILINE)
    assert preamble is not None and LATEX is not None
    document, style = CLASSES[name]
    shutil.copy(report / "references.bib", folder)
    (folder / "paper.tex").write_text(
        f"{document}\n{preamble[1]}\n\\graphicspath{{{{{report}/}}}}\n\\begin{{document}}\n"
        f"\\title{{A}}\\author{{B}}\\maketitle\n"
        f"\\input{{{report}/table.tex}}\n\\input{{{report}/methods.tex}}\n"
        f"{figures}\\input{{{report}/figures.tex}}\n\\clearpage\n"
        f"\\bibliographystyle{{{style}}}\\bibliography{{references}}\n\\end{{document}}\n"
    )
    return log_of_paper(folder)


def log_of_paper(folder: Path) -> str:
    """Compile paper.tex with its references, and return the log of the last pass."""
    typeset = [str(LATEX), "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    passes = [typeset, *([[BIBTEX, "paper"], typeset, typeset] if BIBTEX else [])]
    for words in passes:
        ended = subprocess.run(
            words, cwd=folder, capture_output=True, errors="replace", timeout=PATIENCE_S
        )
        assert ended.returncode == 0, ended.stdout[-2000:]
    assert (folder / "paper.pdf").read_bytes().startswith(b"%PDF")
    return (folder / "paper.log").read_text(errors="replace")


@pytest.mark.skipif(LATEX is None, reason="no pdflatex is on PATH")
def test_hostile_latex_compiles(hostile_report: Path, tmp_path: Path) -> None:
    compiled(hostile_report, tmp_path, "article")
    assert not (tmp_path / "taken").exists()


@pytest.mark.skipif(LATEX is None or BIBTEX is None, reason="pdflatex or bibtex is not on PATH")
def test_the_documented_latex_compiles_with_its_references(
    made_report: Path, tmp_path: Path
) -> None:
    documented = (PROJECT / "docs" / "reports.md").read_text().partition("## In a paper")[2]
    snippet = documented.partition("```text\n")[2].partition("```")[0]
    preamble, _, body = snippet.partition("...\n")
    assert preamble and body
    shutil.copytree(made_report, tmp_path / "report")
    (tmp_path / "paper.tex").write_text(
        f"\\documentclass{{article}}\n{preamble}\\begin{{document}}\n{body}\\end{{document}}\n"
    )
    log = log_of_paper(tmp_path)
    assert "undefined" not in log, re.findall(".*undefined.*", log)


@pytest.mark.slow
@pytest.mark.skipif(LATEX is None, reason="no pdflatex is on PATH")
@pytest.mark.parametrize("figures", ["", WIDE], ids=["narrow", "wide"])
@pytest.mark.parametrize("name", CLASSES)
def test_the_latex_fits_papers(name: str, figures: str, made_report: Path, tmp_path: Path) -> None:
    of_class = re.search(r"\{(\w+)\}", CLASSES[name][0])
    assert of_class is not None
    found = subprocess.run(["kpsewhich", f"{of_class[1]}.cls"], capture_output=True)
    if found.returncode:
        pytest.skip(f"this TeX has no {of_class[1]}.cls")
    log = compiled(made_report, tmp_path, name, figures)
    assert [over for over in OVERFULL.findall(log) if float(over) > 1] == []


@pytest.mark.slow
def test_the_same_records_give_the_same_bytes(made_report: Path, cache: Path) -> None:
    before = {path: path.read_bytes() for path in made_report.rglob("*") if path.is_file()}
    written = write_report(RunFolder(made_report.parent), cache)
    assert {path: path.read_bytes() for path in written} == before
    assert sum(path.suffix == ".svg" for path in written) == 2 * 6  # wide and narrow


@pytest.mark.slow
def test_a_figure_without_data_is_left_out_with_the_reason(
    tmp_path: Path, cache: Path, open_page: Callable[..., Opened]
) -> None:
    folder = made_run(tmp_path, rounds=0, profiled=False)
    (folder.method("int8_custom") / "operator_influence.csv").unlink()
    names = {path.name for path in write_report(folder, cache)}
    assert {"batch_times.svg", "tuning.pdf"} < names
    assert not names & {"operator_influence.svg", "time_shares.svg"}
    shown = open_page(folder.path / "report" / "report.html").page.inner_text("main")
    assert "Left out: No row kept its operators' errors" in shown
    assert "Left out: How the rows ran was not looked at (protocol.profile_batches=0)" in shown
    assert "The protocol has no rounds: what is shown as one round is the validation pass" in shown


def test_files_of_other_formats_agree(made_report: Path) -> None:
    with (made_report / "table.csv").open(newline="") as handle:
        rows = {row["method"]: row for row in csv.DictReader(handle)}
    assert rows[UNSOLVED]["top1"] == "" and rows[UNSOLVED]["outcome"] == "no solution in 3 trials"
    markdown = (made_report / "table.md").read_text()
    latex = (made_report / "table.tex").read_text()
    for name, top1 in TOP1.items():
        assert float(rows[name]["top1"]) == top1
        assert re.search(rf"\| {name} +\| +{top1:.4f} ", markdown)
        assert f"& {top1:.4f} &" in latex
    assert r"\emph{no solution in 3 trials}" in latex
    with (made_report / "published.csv").open(newline="") as handle:
        pairs = list(csv.DictReader(handle))
    assert {row["method"] for row in pairs} == {"fp32", "fp32_fused"}  # the published methods here
    top1 = [(row["measured"], row["published"]) for row in pairs if row["metric"] == "top1"]
    assert top1 == [("0.9", "0.7699")] * 2
    said = (made_report / "methods.txt").read_text()
    for fact in ("a CPU", "2 cores", "MXNet 2", "1000 validation images", "batches of 100",
                 "3 rounds of 20 batches", "seed 1", "seed 9", "1 % relative", "McNemar"):  # fmt: skip
        assert fact in said
    assert "\n" not in said.rstrip("\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("rounds", "asked", "shown"),
    [(3, "null", True), (3, "false", False), (0, "true", True), (0, "null", False)],
)
def test_tables_have_intervals_where_they_are_asked_for(
    rounds: int, asked: str, shown: bool, tmp_path: Path, cache: Path
) -> None:
    folder = made_run(tmp_path, rounds=rounds)
    places = [f"run.results={tmp_path}", f"run.cache={cache}"]
    assert main(["report", f"run={folder.id}", f"table.intervals={asked}", *places]) == 0
    latex = (folder.path / "report" / "table.tex").read_text()
    assert (r"with 95 \% intervals" in latex) is shown
    assert ("[" in (folder.path / "report" / "table.md").read_text()) is shown


@pytest.mark.slow
def test_what_is_not_known_of_the_machine_is_said_in_words(tmp_path: Path, cache: Path) -> None:
    folder = made_run(tmp_path)
    nothing = {"cpu_model": None, "cores": None, "os": None, "kernel": None}
    edit(folder.path / "plan.json", lambda plan: plan["machine"].update(nothing))
    page, *_ = write_report(folder, cache)
    (lead,) = re.findall('<p class="lead">(.*?)</p>', page.read_text())
    latex = (page.parent / "table.tex").read_text()
    for text in (lead, latex):
        assert "an unknown CPU, an unknown number of cores" in text and "None" not in text


INFLUENCE_COLUMNS = "excluded,operator,error_before,error_after,kept,kind,layer,behind,feeds"


@pytest.mark.slow
def test_a_run_without_a_row_and_a_damaged_file_are_refused(tmp_path: Path, cache: Path) -> None:
    folder = made_run(tmp_path)
    influence = folder.method("int8_custom") / "operator_influence.csv"
    influence.write_text("excluded,operator,error_before,error_after,kept\na,a,much,1,True\n")
    with pytest.raises(HarnessError, match=r"operator_influence\.csv is damaged"):
        write_report(folder, cache)
    influence.write_text(f"{INFLUENCE_COLUMNS}\na,a,1,1,True,BatchNorm,featu")
    with pytest.raises(HarnessError, match=r"operator_influence\.csv is damaged.*cut off"):
        write_report(folder, cache)
    influence.unlink()
    trajectory = folder.method(UNSOLVED) / "trajectory.json"
    trajectory.write_text("[{")
    with pytest.raises(HarnessError, match=r"trajectory\.json cannot be read"):
        write_report(folder, cache)
    trajectory.write_text('[{"trial": 1}]')
    with pytest.raises(HarnessError, match=r"trajectory\.json is no trajectory"):
        write_report(folder, cache)
    trajectory.unlink()
    folder.labels.rename(folder.path / "kept.npy")
    with pytest.raises(HarnessError, match=r"labels\.npy cannot be read"):
        write_report(folder, cache)
    (folder.path / "kept.npy").rename(folder.labels)
    assert not (folder.path / "report").exists()
    (
        folder.path / "records" / "01_fp32_fused.json"
    ).unlink()  # to measure it again; its rounds stay
    assert write_report(folder, cache)
    for path in (folder.path / "records").iterdir():
        path.unlink()
    with pytest.raises(InputError, match=r"no row to report yet: \./run\.sh run\.id=made"):
        write_report(folder, cache)


@pytest.mark.slow
def test_nothing_is_written_outside_results_and_cache(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    folder = made_run(tmp_path / "results")
    hidden = {"MPLCONFIGDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME"}
    clean = {key: value for key, value in os.environ.items() if key not in hidden}
    places = [f"run.results={tmp_path / 'results'}", f"run.cache={tmp_path / 'cache'}"]
    ended = subprocess.run(
        [sys.executable, "-m", "harness", "report", f"run={folder.id}", *places],
        cwd=PROJECT,
        env={**clean, "HOME": str(home), "TMPDIR": str(home)},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert list(home.rglob("*")) == []
    assert {path.name for path in tmp_path.iterdir()} == {"home", "results", "cache"}


def test_errors_of_the_command_line(cli: CommandLine) -> None:
    ended = cli("report")
    assert ended.code == 2 and "give run=" in ended.err
    ended = cli("report", "run=never")
    assert ended.code == 2 and "no run never" in ended.err


def test_other_verbs_load_neither_matplotlib_nor_jinja() -> None:
    code = (
        "import sys, harness.run.lifecycle, harness.table.tables\n"
        "import harness.doctor.examination, harness.report.report_writer\n"
        "print([m for m in ('matplotlib', 'jinja2') if m in sys.modules])"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "[]"


def test_predictions_are_checked(tmp_path: Path, cache: Path) -> None:
    folder = made_run(tmp_path)
    np.savez(folder.method("fp32") / "predictions.npz", top=np.zeros((len(LABELS), 5), np.uint16))
    with pytest.raises(HarnessError, match="not the file that was recorded"):
        write_report(RunFolder(folder.path), cache)


def test_the_plan_is_what_the_page_says(made_report: Path) -> None:
    text = (made_report / "report.html").read_text()
    plan = made_report.parent / "plan.json"
    assert sha256_of(plan) in text
    assert json.loads(plan.read_text())["created"] in text
