"""``./run.sh history`` and ``acknowledge``: the nights as text, and what is known of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.errors import InputError
from harness.nightly.baseline import METRICS
from harness.nightly.database import NAME, Damaged, opened
from harness.nightly.entry import NightEntry
from harness.nightly.judgements import ANY, acknowledge, rebuild
from harness.render.escape import markdown_cell
from harness.render.markdown_table import markdown_table
from harness.storage.store import RunFolder


def listing(results: Path) -> str:
    """Return the nights of every machine, oldest first."""
    with opened(results) as history:
        parts = [_machine(name, history.load(name)) for name in history.machines()]
    return "\n\n".join(parts or ["no night yet: ./run.sh nightly measures one"]) + "\n"


def rebuilt(results: Path) -> Iterator[str]:
    """Save all judged runs under ``results`` again; yield what was done and what cannot be read."""
    try:
        with opened(results) as history:
            saved, unreadable = rebuild(history, results)
            for machine in history.machines():
                history.load(machine)  # what it keeps of runs whose folders are gone may be damaged
    except Damaged:
        (results / NAME).replace(results / f"{NAME}.damaged")
        (results / f"{NAME}-journal").unlink(missing_ok=True)
        yield f"{NAME} is damaged: it is {NAME}.damaged now"
        with opened(results) as history:
            saved, unreadable = rebuild(history, results)
    yield f"{saved} nights read from {results}"
    yield from (f"left out: {line}" for line in unreadable)


def acknowledged(results: Path, folder: RunFolder, method: str, metric: str, reason: str) -> str:
    """Acknowledge a shift in a run's records and in the history; return what that means.

    Raises:
        InputError: no such method or metric, no judged night, or no reason.
    """
    if metric not in (*METRICS, ANY):
        raise InputError(f"metric={metric}: use one of {', '.join(METRICS)}")
    entry = acknowledge(folder, method, metric, reason)
    with opened(results) as history:
        history.save(entry)
    row = "every row" if method == ANY else method
    what = "" if metric == ANY else f" in {metric}"
    return (
        f"acknowledged: later nights compare {row}{what} from run {folder.id} on ({reason.strip()})"
    )


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
