"""The search for operators to keep out of int8, and for ranges to cut; it runs no network."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.methods.backend import Choice, Network
from harness.methods.noise import Noise

LOOKED_AT = 6  # of the loudest places that are left, at every step
FREE = 1e-3  # of the time: what a change counts as at least


@dataclass
class Search:
    """Goes from one choice to the next.

    Attributes:
        network: says where a choice rounds, and what it costs.
        noise: of all places.
        candidates: the operators that can be excluded.
        worth: see ``SensitivityTuneStrategy``.
    """

    network: Network
    noise: Noise
    candidates: frozenset[str]
    worth: float
    _readers: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, operator in self.network.operators.items():
            for tensor in operator.reads:
                self._readers.setdefault(tensor, []).append(name)

    def loss(self, choice: Choice) -> float:
        return self.noise.loss(self.network.present(choice))

    def flips(self, choice: Choice) -> float:
        return self.noise.flips(self.network.present(choice))

    def time(self, choice: Choice) -> float:
        return self.network.quantised(choice.excluded)[1]

    def within(self, tolerated: float, limit: float, choice: Choice) -> Choice:
        """Return ``choice`` and what more it takes.

        Args:
            tolerated: expected loss of top-1.
            limit: of the share of images whose winner is expected to change.
        """
        while True:
            before, cost = self.flips(choice), self.time(choice)
            enough = self.loss(choice) <= tolerated and before <= limit
            moves = []
            for after in self._moves(choice):
                gain = before - self.flips(after)
                slower = max(self.time(after) - cost, FREE * cost)
                if gain > 0:
                    moves.append((gain / slower, gain, _sorted(after), after))
            best = max(moves, default=None, key=lambda move: move[:3])
            if best is None:
                return choice if enough else choice.without(self.candidates)
            slope, gain, _, after = best
            pays = slope * cost / max(before, tolerated) >= self.worth
            if enough and not pays:
                return choice
            choice = after

    def _moves(self, choice: Choice) -> set[Choice]:
        """Return the choices that may silence a place: another range, its writer or readers in fp32."""
        moves: set[Choice] = set()
        for source in self.noise.loudest(self.network.present(choice))[:LOOKED_AT]:
            if source.kind == "weights":
                operators = {frozenset({source.name})}
            else:
                writer = frozenset({source.name[: -len("_output")]})
                readers = frozenset(self._readers.get(source.name, []))
                operators = {writer, readers, writer | readers, *(frozenset({r}) for r in readers)}
                ranged = self.network.ranged(source.name)
                moves |= {choice.halved(ranged, times) for times in self.noise.halvings(ranged)}
            moves |= {choice.without(group & self.candidates) for group in operators}
        return moves - {choice}


def _sorted(choice: Choice) -> tuple[list[str], list[tuple[str, int]]]:
    return sorted(choice.excluded), sorted(choice.halvings)
