"""A run as a comparison shows it, and a column: one run, or those on machines of one type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from harness.compare.pricing.prices import Price
from harness.stats.intervals import Interval
from harness.storage.plan import RunPlan
from harness.table.kernels import Profile
from harness.table.roof_share import Peak
from harness.table.rows import Row
from harness.table.samples import Samples
from harness.table.served.rates import ServedRow

Classes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class MachineRate:
    """The throughput of a row on a machine.

    Attributes:
        images_per_s: of all instances together.
        interval: 95 %, over rounds; None where there is none.
        rounds: that it is of; 0 where only the validation pass was timed.
        split: how the machine was split, in words; empty for one process on all cores.
    """

    images_per_s: float
    interval: Interval | None
    rounds: int
    split: str = ""


@dataclass(frozen=True)
class ComparedRun:
    """A run as a comparison shows it; mappings are by the name of the method.

    Attributes:
        machine: the folder's name.
        rows: of the rows that have a record.
        rates: the images/s of the machine, by its best split.
        served: the highest rate of queries, by its best split; of the rows that were searched.
        times: the forward passes that count.
        predictions: each image's best class, (images,).
        models: digests of the validated models.
        labels: (images,).
        threads: how many MXNet had when the rows were validated, or how many the user asked for
            where no record says it.
        disturbed: the labels of the rows whose timings were disturbed.
        roof: roofs by data type; ``roof_note`` says why there are none, or names what disturbed them.
    """

    machine: str
    plan: RunPlan
    rows: Mapping[str, Row]
    rates: Mapping[str, MachineRate]
    served: Mapping[str, ServedRow]
    profiles: Mapping[str, Profile]
    times: Mapping[str, Samples]
    predictions: Mapping[str, Classes]
    models: Mapping[str, str]
    labels: Classes
    threads: str
    disturbed: Sequence[str]
    roof: Mapping[str, Peak]
    roof_note: str
    price: Price

    @property
    def name(self) -> str:
        return f"{self.machine}/{self.plan.run}"

    @property
    def missing(self) -> list[str]:
        """The methods of its plan that have no record: it was interrupted, or still goes on."""
        return [method for method in self.plan.methods if method not in self.rows]


@dataclass(frozen=True)
class Column:
    """A column of a comparison: one run, or the runs of one plan on machines of one type.

    Attributes:
        type: the machines' type; None where it is not known.
        machines: the number of each run's machine, from 0, in the runs' order.
    """

    runs: tuple[ComparedRun, ...]
    type: str | None
    machines: tuple[int, ...] = (0,)

    @property
    def first(self) -> ComparedRun:
        return self.runs[0]

    @property
    def machine_count(self) -> int:
        return len(set(self.machines))

    @property
    def is_pooled(self) -> bool:
        return self.machine_count > 1

    @property
    def title(self) -> str:
        """The machines' type where it is known, else the machine's folder."""
        return self.type or self.first.machine

    @property
    def counted(self) -> str:
        """How many machines it stands for, in words."""
        return "one machine" if self.machine_count == 1 else f"{self.machine_count} machines"

    @property
    def price(self) -> Price:
        """The price of an hour, which all of its machines have."""
        return self.first.price

    def by_machine(self) -> list[list[int]]:
        """Return the indices of the runs of each machine."""
        return [
            [at for at, machine in enumerate(self.machines) if machine == number]
            for number in sorted(set(self.machines))
        ]
