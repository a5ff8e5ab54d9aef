"""The kinds of outcomes: how a row, a round or a worker's job ends. Standard library alone."""

from __future__ import annotations

from typing import Final, Literal

Kind = Literal["ok", "no solution", "refused", "failed", "timeout", "interrupted", "invalid"]
OK: Final = "ok"
NO_SOLUTION: Final = "no solution"
FAILED: Final = "failed"
TIMEOUT: Final = "timeout"
INTERRUPTED: Final = "interrupted"
INVALID: Final = "invalid"
REFUSED: Final = "refused"  # the method cannot do this here, and says why
FINISHED = frozenset({OK, NO_SOLUTION, REFUSED})  # the others are repeated when a run continues
# of a job alone: the user's input is at fault; in a job of all rows it ends the run
INPUT: Final = "input"
