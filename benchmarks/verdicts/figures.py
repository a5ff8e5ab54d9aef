"""The figures of a part of the benchmark, each with what is wanted of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A measured figure.

    Attributes:
        part: of the benchmark: a section of the report.
        case: the simulated situation, such as a kind of noise.
        rounds: of a run; None where there are none.
        what: the name of the figure, with its unit: a column of the section's table.
        least, most: what is wanted, ends included; None for no limit.
        repeats, seed: of the simulation; 0 before they are known.
    """

    part: str
    case: str
    rounds: int | None
    what: str
    value: float
    least: float | None = None
    most: float | None = None
    repeats: int = 0
    seed: int = 0

    @property
    def met(self) -> bool | None:
        """Whether it is as wanted; None where nothing is."""
        if self.least is None and self.most is None:
            return None
        low = self.least is None or self.value >= self.least
        return low and (self.most is None or self.value <= self.most)
