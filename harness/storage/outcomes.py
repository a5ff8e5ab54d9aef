"""The kinds of outcomes: how a row, a round or a worker's job ends. Standard library alone."""

from __future__ import annotations

OK = "ok"
NO_SOLUTION = "no solution"
FAILED = "failed"
TIMEOUT = "timeout"
INTERRUPTED = "interrupted"
INVALID = "invalid"
REFUSED = "refused"  # the method cannot do this here, and says why
KINDS = (OK, NO_SOLUTION, REFUSED, FAILED, TIMEOUT, INTERRUPTED, INVALID)
FINISHED = frozenset({OK, NO_SOLUTION, REFUSED})  # the others are repeated when a run continues
INPUT = "input"  # of a worker's job alone: the user's input is at fault, which ends the run
