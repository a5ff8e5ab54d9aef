"""The screen that shows findings, and the exit code that they mean."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.doctor.finding import BAD, OK, UNKNOWN, WARN, Finding
from harness.render.escape import one_line, plain

STYLES = {OK: "green", WARN: "yellow", BAD: "bold red", UNKNOWN: "cyan"}


def exit_code(findings: Sequence[Finding]) -> int:
    """Return 2 if something is bad, else 0."""
    return 2 if any(finding.mark == BAD for finding in findings) else 0


def render(findings: Sequence[Finding], console: Console) -> None:
    """Print one line per finding, its advice below it, and the verdict."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        table.add_row(
            Text(finding.mark, STYLES[finding.mark]),
            Text(one_line(finding.name)),
            Text(plain(finding.value)),
        )
        if finding.advice and finding.mark != OK:
            table.add_row("", "", Text(plain(f"-> {finding.advice}"), "italic"))
    console.print(table)
    bad, warn = (sum(finding.mark == mark for finding in findings) for mark in (BAD, WARN))
    verdict = f"{bad} to solve before a run" if bad else "this machine can measure"
    style = STYLES[BAD if bad else WARN if warn else OK]
    console.print(Text(f"{verdict}, {warn} warning(s)", style))
