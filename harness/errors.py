"""The three ways a run ends badly; the command line turns each into its exit code."""

from __future__ import annotations


class InputError(Exception):
    """The user's input is at fault: the message names the culprit and the next step. Exit code 2."""


class HarnessError(Exception):
    """The harness or a method failed through no fault of the input. Exit code 3."""


class NoSolution(Exception):
    """A method searched and found no model that meets its criterion.

    Attributes:
        trials: how many models were evaluated.
    """

    def __init__(self, message: str, trials: int) -> None:
        super().__init__(message)
        self.trials = trials


class TuningTimeout(Exception):
    """A method's own time limit ended before it found a model that meets its criterion."""
