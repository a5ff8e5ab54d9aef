"""A judged night for people and machines: Markdown for a chat or a pull request, JSON, JUnit XML."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as xml

from harness.nightly.disturbed import Disturbances
from harness.nightly.entry import NightEntry
from harness.nightly.memory.database import opened
from harness.nightly.night import Night, headline, listed_as, open_since
from harness.nightly.notices.next_steps import Step, steps
from harness.nightly.reasons import percent_more, runs
from harness.nightly.verdict import BATCH, MEMORY, Verdict
from harness.render.escape import markdown, markdown_cell, markdown_code
from harness.render.escape import xml as xml_text
from harness.render.markdown_table import markdown_table

SCHEMA = 4  # of the JSON: harness/nightly/nightly.schema.json
KEEPS_OPEN = 3  # the first schema that has open regressions
LEAST_P = 1e-9  # no noise is known well enough to tell smaller ones apart
SKIPPED = ("cannot tell", "missing", "new")
ORDER = (
    "regression",
    "suspected",
    "missing",
    "cannot tell",
    "new",
    "change",
    "improvement",
    "none",
)


def to_markdown(night: Night) -> str:
    """Return the headline and the next step, then the reasons; every row is folded away."""
    parts = [f"# {markdown_cell(title(night))}", *map(_step, steps(night)), *_details(night)]
    if night.rows:
        parts.append(_folded("Every row", _table(night)))
    return "\n\n".join(parts) + "\n"


def to_print(night: Night) -> str:
    """Return the text to print: as the Markdown, without its folded rows, the headline last."""
    ending = [markdown_cell(title(night)), *map(_step, steps(night))]
    return f"{details(night)}\n" + "\n\n".join(ending) + "\n"


def details(night: Night) -> str:
    """Return all of that but for its ending, the headline and the steps."""
    return "\n\n".join(_details(night)) + "\n"


def _step(step: Step) -> str:
    return f"**{markdown_cell(step.text)}**" + (
        f" {markdown_code(step.command)}" if step.command else ""
    )


def _details(night: Night) -> list[str]:
    """Return what stands below the headline: reasons, figures of a first night, what disturbed it."""
    parts = [markdown(_summary(night))]
    parts += [
        f"**{markdown_cell(row.method)}, {row.metric.title}**: {markdown_cell(row.sentences)}"
        for row in night.regressions
    ]
    if night.failed:
        listed = "\n".join(f"- {markdown(k)}: {markdown_cell(v)}" for k, v in night.failed.items())
        parts.append(f"Not measured:\n\n{listed}")
    if night.disturbances.causes:
        parts.append(_disturbances(night.disturbances))
    if night.verdict == "first":
        parts.append(_figures(night))
    parts += [f"Note: {markdown_cell(note)}." for note in night.notes]
    parts += [_shift(night, *shift) for shift in night.shifted]
    if night.changes:
        listed = "\n".join(f"- {markdown(line)}" for line in night.changes)
        parts.append(f"{markdown(f'Changed since run {night.baseline[-1]}:')}\n\n{listed}")
    return parts


def _shift(night: Night, method: str, since: str, ratio: float) -> str:
    words = (f"run={since}", f"method={method}", f"metric={BATCH.name}", "reason=WHY")
    return (
        markdown_cell(
            f"Note: {method} takes {percent_more(ratio)} time since run {since}. If that is known:"
        )
        + f" {markdown_code(night.command('acknowledge', *words))}"
    )


def _disturbances(found: Disturbances) -> str:
    """Return what disturbed the rounds, how often and how much, and what to do about it."""
    listed = [
        markdown(
            f"{cause.timings} of {found.of_timings} timings ({cause.kind} up to {cause.worst:.3g}, "
            f"{cause.limit:.3g} is the limit): {cause.what}. To do: {cause.remedy}."
        )
        for cause in found.causes
    ]
    return (
        f"Disturbed: {found.rounds} of {found.of_rounds} rounds, {found.timings} of "
        f"{found.of_timings} timings (a row in a round).\n\n" + "\n".join(f"- {x}" for x in listed)
    )


def _figures(night: Night) -> str:
    """Return the figures of every row of a night that there is nothing to compare with."""
    has_memory = any(each.optimize_mb or each.validate_mb for each in night.figures)
    memory = [metric.title for metric in MEMORY] if has_memory else []
    headers = ["Method", "Batch s", "Rounds", "Disturbed", "Top-1", "Top-5", "Cost s", *memory]
    body = [
        [
            each.method,
            _figure(each.batch_s, ".4g"),
            str(each.rounds),
            str(each.disturbed),
            _figure(each.top1, ".4f"),
            _figure(each.top5, ".4f"),
            _figure(each.cost_s, ".2f"),
            *(_figure(one, ".0f") for one in (each.optimize_mb, each.validate_mb) if memory),
        ]
        for each in night.figures
    ]
    return markdown_table(headers, body, ["left", *["right"] * (len(headers) - 1)])


def _figure(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def to_json(night: Night) -> dict[str, Any]:
    """Return the night for programs, as ``nightly.schema.json`` describes it."""
    tested = {shift[:3] for shift in night.tested}
    untested = [shift for shift in night.shifted if shift not in tested]
    return {
        "schema": SCHEMA,
        "machine": night.machine,
        "run": night.run,
        "created": night.created,
        "verdict": night.verdict,
        "baseline": list(night.baseline),
        "again": night.again,
        "headline": headline(night),
        "steps": [{"text": step.text, "command": step.command} for step in steps(night)],
        "stopped": night.stopped or None,
        "suspects": [
            {"method": method, "metric": metric, "text": said}
            for (method, metric), said in night.suspects.items()
        ],
        "disturbed": _disturbed(night.disturbances),
        "figures": [asdict(each) for each in night.figures],
        "rows": [_row(row) for row in night.rows],
        "failed": dict(night.failed),
        "changes": list(night.changes),
        "shifts": [
            {"method": method, "since": since, "ratio": ratio, "tested": False}
            for method, since, ratio in untested
        ]
        + [
            {
                "method": shift.method,
                "since": shift.since,
                "ratio": shift.ratio,
                "tested": True,
                "controlled": shift.is_controlled,
            }
            for shift in night.tested
        ],
        "open": [
            {
                **asdict(regression),
                "level": list(regression.level),
                "changes": None if regression.changes is None else list(regression.changes),
            }
            for regression in night.open
        ],
        "fixed": [regression.since for regression in night.fixed],
        "notes": list(night.notes),
    }


def _disturbed(found: Disturbances) -> dict[str, Any]:
    causes = [asdict(cause) for cause in found.causes]
    return {**asdict(found), "causes": causes}


def to_junit(night: Night) -> str:
    """Return JUnit's XML: a test case a row.

    Regressions fail, also open ones whose row the night does not have; rows that were not judged are
    skipped; rows that were not measured, and a night that is unfinished, are errors.
    """
    unfinished = _unfinished(night)
    failures = [row for row in night.regressions if _waits(row, night) is None]
    skipped = [row for row in night.rows if row.kind in SKIPPED and _waits(row, night) is None]
    waiting = sum(_waits(row, night) is not None for row in night.rows)
    rows = {row.key for row in night.rows}
    without_row = [regression for regression in night.open if regression.key not in rows]
    tests = len(night.rows) + len(without_row) + len(night.failed) + bool(unfinished)
    counts = {
        "tests": str(tests),
        "failures": str(len(failures) + len(without_row)),
        "errors": str(len(night.failed) + waiting + bool(unfinished)),
        "skipped": str(len(skipped)),
    }
    suites = xml.Element("testsuites", counts)
    suite = xml.SubElement(
        suites,
        "testsuite",
        {"name": f"nightly {night.machine}", "timestamp": night.created.rstrip("Z"), **counts},
    )
    properties = xml.SubElement(suite, "properties")
    xml.SubElement(properties, "property", {"name": "headline", "value": headline(night)})
    for row in night.rows:
        case = xml.SubElement(suite, "testcase", {"classname": row.method, "name": row.metric.name})
        waits = _waits(row, night)
        if waits is not None:
            xml.SubElement(case, "error", {"type": night.verdict, "message": waits})
        elif row.kind == "regression":
            failure = xml.SubElement(case, "failure", {"type": row.kind, "message": row.sentences})
            failure.text = row.sentences
        elif row.kind in SKIPPED:
            xml.SubElement(case, "skipped", {"message": f"{row.kind}: {row.sentences}"})
        else:
            xml.SubElement(case, "system-out").text = f"{row.kind}: {row.sentences}"
    for regression in without_row:
        names = {"classname": regression.method, "name": regression.metric}
        case = xml.SubElement(suite, "testcase", names)
        xml.SubElement(case, "failure", {"type": "regression", "message": open_since(regression)})
    for label, outcome in night.failed.items():
        case = xml.SubElement(suite, "testcase", {"classname": label, "name": "measured"})
        xml.SubElement(case, "error", {"type": "outcome", "message": outcome})
    if unfinished:
        case = xml.SubElement(suite, "testcase", {"classname": "night", "name": "finished"})
        xml.SubElement(case, "error", {"type": night.verdict, "message": unfinished})
    for element in suites.iter():
        element.attrib = {key: xml_text(value) for key, value in element.attrib.items()}
        element.text = element.text and xml_text(element.text)
    xml.indent(suites)
    return xml.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _waits(row: Verdict, night: Night) -> str | None:
    """Return what is suspected of a row that was not measured again yet; None of other rows."""
    said = night.suspects.get((row.method, row.metric.name))
    return None if said is None else f"{said}, not confirmed. {row.sentences}"


def _unfinished(night: Night) -> str:
    return headline(night) if night.is_unfinished else ""


def title(night: Night) -> str:
    """Return the headline with the name of the machine."""
    return f"Nightly on {night.machine}: {headline(night)}"


def _summary(night: Night) -> str:
    counts = Counter(_shown_kind(row, night) for row in night.rows)
    named = {"none": "without a difference"}
    counted = ", ".join(f"{counts[kind]} {named.get(kind, kind)}" for kind in ORDER if counts[kind])
    ends = (night.baseline[0], night.baseline[-1]) if night.baseline else ()
    compared = (
        f" against {runs(len(night.baseline))} ({' to '.join(dict.fromkeys(ends))})"
        if night.baseline
        else ""
    )
    again = f" Suspected rows were measured again in run {night.again}." if night.again else ""
    return f"Run {night.run}{compared}: {counted or 'no row was compared'}.{again}"


def _table(night: Night) -> str:
    ordered = sorted(night.rows, key=lambda row: ORDER.index(_shown_kind(row, night)))
    rows = [
        [
            row.method,
            row.metric.title,
            _shown_kind(row, night),
            _p_value(row.adjusted_p),
            row.sentences,
        ]
        for row in ordered
    ]
    return markdown_table(["Method", "Metric", "Verdict", "p (Holm)", "Why"], rows)


def _shown_kind(row: Verdict, night: Night) -> str:
    return row.kind if _waits(row, night) is None else "suspected"


def _p_value(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.1g}" if value >= LEAST_P else f"below {LEAST_P:g}"


def _folded(title: str, text: str) -> str:
    return f"<details>\n<summary>{title}</summary>\n\n{text}\n\n</details>"


def _row(row: Verdict) -> dict[str, Any]:
    estimate, interval = row.estimate, row.interval
    return {
        "method": row.method,
        "metric": row.metric.name,
        "kind": row.kind,
        "estimate": None if estimate is None else estimate.estimate,
        "interval": None if interval is None else [interval.low, interval.high],
        "level": None if interval is None else interval.level,
        "p_value": row.p_value,
        "adjusted_p": row.adjusted_p,
        "threshold": row.threshold,
        "suspected": row.suspected,
        "reason": row.reason,
        "advice": row.advice,
        "gap": row.gap,
        "in_turn": None
        if row.in_turn is None
        else [row.in_turn.estimate, row.in_turn.low, row.in_turn.high],
    }


def list_nights(results: Path) -> str:
    """Return the nights of every machine, oldest first."""
    with opened(results) as history:
        machines = history.machines()
        parts = [_machine(name, history.load(name, with_rows=False)) for name in machines]
    return "\n\n".join(parts or ["no night yet: ./run.sh nightly measures one"]) + "\n"


def _machine(name: str, entries: list[NightEntry]) -> str:
    rows = [
        [
            entry.created,
            entry.run,
            listed_as(entry.verdict or ""),
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
