"""The commands that would quieten a machine, as lines of a shell: printed, and never run here."""

from __future__ import annotations

from collections.abc import Sequence

from harness.doctor.finding import OK, Finding
from harness.render.escape import one_line

NOTHING = "# nothing to change: no finding of ./run.sh doctor has a command that would help"
HEAD = "# Read before you paste. Each line lasts until the machine starts again, or until its undo."


def to_shell(findings: Sequence[Finding]) -> list[str]:
    """Return one line a command, with a comment that says what it changes and how to undo it."""
    fixes = [fix for finding in findings if finding.mark != OK for fix in finding.fixes]
    lines = [
        one_line(f"{fix.command} # {fix.changes}; undo: {fix.undo}") for fix in dict.fromkeys(fixes)
    ]
    return [HEAD, *lines] if lines else [NOTHING]
