"""Where a process's time goes: seconds by phase, from before it was started."""

from __future__ import annotations

import time


class Phases:
    """Adds up seconds by phase; a phase is what lies between two calls of ``end``.

    Args:
        began: what ``time.monotonic()`` gave in the parent right before it started this process;
            Linux has one such clock for all of them.
    """

    def __init__(self, began: float) -> None:
        self._last = began
        self.seconds: dict[str, float] = {}

    def end(self, phase: str) -> None:
        """Count the time since the last call as ``phase``."""
        now = time.monotonic()
        self.seconds[phase] = self.seconds.get(phase, 0.0) + now - self._last
        self._last = now
