"""The page of a machine's nights: written from the history, with all that it needs inside."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from harness import __version__
from harness.files.whole_files import make_folder, write_atomically
from harness.nightly.entry import NightEntry
from harness.nightly.judgements import MARKDOWN
from harness.nightly.memory.database import opened
from harness.nightly.night import listed_as
from harness.nightly.page.page_data import as_script, page_data
from harness.nightly.page.software_changes import SoftwareChange, software_changes
from harness.nightly.page.trends import trends
from harness.render.page import TEMPLATES, UPLOT, render
from harness.table.row_names import names_of

FOLDER, PAGE = "history", "index.html"
REPORT = "report/report.html"


def write_pages(results: Path) -> list[Path]:
    """Write the page of each machine that has nights, and return their paths."""
    with opened(results) as history:
        machines = {name: history.load(name) for name in history.machines()}
    return [write_page(results, machine, nights) for machine, nights in machines.items()]


def write_page(results: Path, machine: str, nights: Sequence[NightEntry]) -> Path:
    """Write the page of a machine and return its path.

    Args:
        nights: all of the machine, oldest first.
    """
    folder = results / machine / FOLDER
    make_folder(folder, "run.results")
    write_atomically(folder / PAGE, to_html(machine, nights, [_links(results, n) for n in nights]))
    return folder / PAGE


def to_html(machine: str, nights: Sequence[NightEntry], links: Sequence[Mapping[str, str]]) -> str:
    """Return the page of a machine.

    Args:
        nights: oldest first.
        links: of each night, by what they lead to, relative to the page.
    """
    labels = {row.method: row.label for night in nights for row in night.rows}
    names = names_of(labels)
    changes = software_changes(nights)
    library, script = (
        (UPLOT / "uPlot.iife.min.js").read_text(encoding="utf-8"),
        (TEMPLATES / "history.js").read_text(encoding="utf-8"),
    )
    scripts = [f"\n{text.strip()}\n" for text in (library, script)]
    styles = [UPLOT / "uPlot.min.css", TEMPLATES / "history.css"]
    return render(
        "history.html.j2",
        machine=machine,
        nights=[
            (night, link, listed_as(night.verdict or ""), _rows(night, names), lines)
            for night, link, lines in zip(nights, links, _by_night(changes, len(nights)))
        ],
        data=Markup(as_script(page_data(nights, trends(nights), changes, links, names))),
        scripts=[Markup(text) for text in scripts],
        digests=" ".join(f"'{_digest(text)}'" for text in scripts),
        style=Markup("\n".join(path.read_text(encoding="utf-8") for path in styles)),
        contents=[("charts", "Charts"), ("data", "Values"), ("nights", "Nights")],
        harness=__version__,
    )


def _digest(script: str) -> str:
    """Return the digest by which a page allows a script of its own, and no other."""
    return f"sha256-{b64encode(hashlib.sha256(script.encode()).digest()).decode()}"


def _links(results: Path, night: NightEntry) -> dict[str, str]:
    """Return the files of a night that are there, relative to the page."""
    files = {"verdict": f"{night.folder}/{MARKDOWN}", "report": f"{night.folder}/{REPORT}"}
    return {
        name: f"../../{quote(path)}" for name, path in files.items() if (results / path).is_file()
    }


def _rows(night: NightEntry, names: Mapping[str, str]) -> Mapping[str, list[str]]:
    """Return the rows of a night that are named in the list of nights, by what became of them."""
    acknowledged = sorted((night.acknowledged or {}).items())
    return {
        "regressions": [f"{names.get(m, m)}, {metric}" for m, metric in sorted(night.regressions)],
        "improved": [f"{names.get(m, m)}, {metric}" for m, metric in sorted(night.improved)],
        "acknowledged": [
            f"{names.get(m, m)}, {metric}: {reason}" for (m, metric), reason in acknowledged
        ],
    }


def _by_night(changes: Sequence[SoftwareChange], count: int) -> list[list[str]]:
    """Return what changed before each night, a line a key."""
    lines: list[list[str]] = [[] for _ in range(count)]
    for change in changes:
        lines[change.night] += change.lines
    return lines
