"""A judged night for people and machines: Markdown for a chat or a pull request, JSON, JUnit XML."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as xml

from harness.nightly.database import opened
from harness.nightly.entry import NightEntry
from harness.nightly.night import Night
from harness.nightly.verdict import Verdict
from harness.render.escape import markdown, markdown_cell
from harness.render.escape import xml as xml_text
from harness.render.markdown_table import markdown_table

SCHEMA = 1  # of the JSON: harness/nightly/nightly.schema.json
HEADLINES = {
    "regression": "regression",
    "none": "no regression",
    "cannot tell": "cannot tell",
    "first": "first night: nothing to compare with yet",
}
ORDER = ("regression", "missing", "new", "improvement", "change", "cannot tell", "none")


def to_markdown(night: Night) -> str:
    """Return the headline, regressions with their reasons, and the rest folded away."""
    parts = [f"# {markdown_cell(_title(night))}", markdown(_summary(night))]
    parts += [
        f"**{markdown_cell(row.method)}, {row.metric.title}**: {markdown_cell(row.reason)}"
        for row in night.regressions
    ]
    if night.failed:
        listed = "\n".join(f"- {markdown(k)}: {markdown_cell(v)}" for k, v in night.failed.items())
        parts.append(f"Not measured:\n\n{listed}")
    parts += [f"Note: {markdown_cell(note)}." for note in night.notes]
    parts += [
        f"Note: {method} takes {100 * (ratio - 1):+.1f} % since run {since}. A known shift is "
        f"acknowledged with `./run.sh acknowledge run={since} method={method} reason=...`"
        for method, since, ratio in night.shifted
    ]
    if night.changes:
        listed = "\n".join(f"- {markdown(line)}" for line in night.changes)
        parts.append(f"{markdown(f'Changed since run {night.baseline[-1]}:')}\n\n{listed}")
    if night.rows:
        parts.append(_folded("Every row", _table(night)))
    return "\n\n".join(parts) + "\n"


def short(night_markdown: str) -> str:
    """Return the text to print: the Markdown without the folded rows."""
    return night_markdown.split("<details>", 1)[0].rstrip() + "\n"


def to_json(night: Night) -> dict[str, Any]:
    """Return the night for programs, as ``nightly.schema.json`` describes it."""
    return {
        "schema": SCHEMA,
        "machine": night.machine,
        "run": night.run,
        "created": night.created,
        "verdict": night.verdict,
        "baseline": list(night.baseline),
        "again": night.again,
        "rows": [_row(row) for row in night.rows],
        "failed": dict(night.failed),
        "changes": list(night.changes),
        "shifts": [
            {"method": method, "since": since, "ratio": ratio}
            for method, since, ratio in night.shifted
        ],
        "notes": list(night.notes),
    }


def to_junit(night: Night) -> str:
    """Return JUnit's XML: a test case a row; regressions fail, undecided rows are skipped."""
    failures = len(night.regressions)
    skipped = sum(row.kind in ("cannot tell", "missing", "new") for row in night.rows)
    counts = {
        "tests": str(len(night.rows) + len(night.failed)),
        "failures": str(failures),
        "errors": str(len(night.failed)),
        "skipped": str(skipped),
    }
    suites = xml.Element("testsuites", counts)
    suite = xml.SubElement(
        suites,
        "testsuite",
        {"name": f"nightly {night.machine}", "timestamp": night.created.rstrip("Z"), **counts},
    )
    for row in night.rows:
        case = xml.SubElement(suite, "testcase", {"classname": row.method, "name": row.metric.name})
        if row.kind == "regression":
            failure = xml.SubElement(case, "failure", {"type": row.kind, "message": row.reason})
            failure.text = row.reason
        elif row.kind in ("cannot tell", "missing", "new"):
            xml.SubElement(case, "skipped", {"message": f"{row.kind}: {row.reason}"})
        else:
            xml.SubElement(case, "system-out").text = f"{row.kind}: {row.reason}"
    for label, outcome in night.failed.items():
        case = xml.SubElement(suite, "testcase", {"classname": label, "name": "measured"})
        xml.SubElement(case, "error", {"type": "outcome", "message": outcome})
    for element in suites.iter():
        element.attrib = {key: xml_text(value) for key, value in element.attrib.items()}
        element.text = element.text and xml_text(element.text)
    xml.indent(suites)
    return xml.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _title(night: Night) -> str:
    return f"Nightly on {night.machine}: {HEADLINES[night.verdict]}"


def _summary(night: Night) -> str:
    counted = ", ".join(f"{night.count(kind)} {kind}" for kind in ORDER if night.count(kind))  # type: ignore[arg-type]
    compared = (
        f" against {len(night.baseline)} earlier run{'s' if len(night.baseline) > 1 else ''} "
        f"({night.baseline[0]} to {night.baseline[-1]})"
        if night.baseline
        else ""
    )
    again = f" Suspected rows were measured again in run {night.again}." if night.again else ""
    return f"Run {night.run}{compared}: {counted or 'no row was compared'}.{again}"


def _table(night: Night) -> str:
    ordered = sorted(night.rows, key=lambda row: ORDER.index(row.kind))
    rows = [[row.method, row.metric.title, row.kind, row.reason] for row in ordered]
    headers = ["Method", "Metric", "Verdict", "Why"]
    return markdown_table(headers, rows)


def _folded(title: str, text: str) -> str:
    return f"<details>\n<summary>{title}</summary>\n\n{text}\n\n</details>"


def _row(row: Verdict) -> dict[str, Any]:
    estimate = row.estimate
    return {
        "method": row.method,
        "metric": row.metric.name,
        "kind": row.kind,
        "estimate": None if estimate is None else estimate.estimate,
        "interval": None if estimate is None else [estimate.low, estimate.high],
        "level": None if estimate is None else estimate.level,
        "p_value": row.p_value,
        "adjusted_p": row.adjusted_p,
        "threshold": row.threshold,
        "suspected": row.suspected,
        "reason": row.reason,
    }


def list_nights(results: Path) -> str:
    """Return the nights of every machine, oldest first."""
    with opened(results) as history:
        parts = [_machine(name, history.load(name)) for name in history.machines()]
    return "\n\n".join(parts or ["no night yet: ./run.sh nightly measures one"]) + "\n"


def _machine(name: str, entries: list[NightEntry]) -> str:
    rows = [
        [
            entry.created,
            entry.run,
            entry.verdict or "",
            ", ".join(f"{method} {metric}" for method, metric in sorted(entry.regressions)),
            "; ".join(
                f"{method} {metric}: {reason}"
                for (method, metric), reason in sorted((entry.acknowledged or {}).items())
            ),
        ]
        for entry in entries
    ]
    headers = ["Measured", "Run", "Verdict", "Regressions", "Acknowledged"]
    return f"# {markdown_cell(name)}\n\n{markdown_table(headers, rows)}"
