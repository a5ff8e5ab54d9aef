"""How a run measures time: how often, in which order, after which warm-up."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from harness.errors import InputError


@dataclass(frozen=True)
class Protocol:
    """A protocol of ``conf/protocol/``.

    Attributes:
        rounds: how often every method is timed, each time in a fresh process; with 0 the one pass
            over the validation images is all that is timed, as published.
        batches: timed in each round.
        warmup_s: longest warm-up of a round, in seconds.
        reruns: how often a disturbed round is repeated at most.
        sweep: batch sizes to time in each round besides the workload's own.
        sweep_batches: timed at each of these.
        profile_batches: run once more, untimed, under oneDNN's verbose mode; 0 leaves it out.
        roof: whether the machine's peak is measured, too (``harness/table/roof_share.py``).
        seed: of the order of the methods.
    """

    name: str
    rounds: int
    batches: int
    warmup_s: float
    reruns: int
    sweep: tuple[int, ...]
    sweep_batches: int
    profile_batches: int
    roof: bool
    seed: int

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Protocol:
        """Return the protocol of a configuration that has its form.

        Raises:
            InputError: a key is missing or unknown, or two values do not go together.
        """
        keys = {each.name for each in fields(cls)}
        odd = [*sorted(keys - {*values}), *sorted({*values} - keys)]
        if odd:
            raise InputError(
                f"protocol.{odd[0]}: protocol has exactly the keys of conf/protocol/careful.yaml; "
                "type protocol=careful and set those"
            )
        made = cls(**{**values, "sweep": tuple(values["sweep"])})
        if made.rounds and not made.batches:
            raise InputError("protocol.batches=0: rounds need batches to time; give at least 1")
        if made.sweep and not (made.rounds and made.sweep_batches):
            raise InputError(
                "protocol.sweep is timed in rounds: choose protocol=careful, or give "
                "protocol.rounds and protocol.sweep_batches"
            )
        return made

    def sizes(self, batch_size: int) -> dict[int, int]:
        """Return how many batches a round times at each batch size, the workload's own first."""
        swept = {size: self.sweep_batches for size in self.sweep if size != batch_size}
        return {batch_size: self.batches, **swept}

    def order(self, round_: int, methods: Sequence[str]) -> list[str]:
        """Return the methods in the order in which a round measures them.

        Randomised and interleaved: each round has every method once, so that what drifts or comes
        back at intervals meets all alike (Abedi and Brecht, "Conducting repeatable experiments in
        highly variable cloud computing environments", ICPE 2017).
        """
        shuffled = sorted(methods)
        random.Random(f"{self.seed}/{round_}").shuffle(shuffled)
        return shuffled
