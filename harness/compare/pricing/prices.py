"""The price of a machine an hour, by a dated list that the user edits."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from harness.facts.machine_facts import Instance
from harness.facts.typed import JsonObject
from harness.stats.intervals import Interval

OWN = "price."  # begins the word that gives a machine's price on the command line
KEYS = ("dated", "source", "currency", "ec2", "machines")
CURRENCY = re.compile(r"\S{1,8}")
HOURS = 1e6 / 3600  # of a machine that makes one image a second, for a million images


@dataclass(frozen=True)
class Price:
    """A machine's price an hour, None where there is none; ``note`` says where it is from, or why."""

    per_hour: float | None
    note: str
    currency: str = ""


@dataclass(frozen=True)
class Prices:
    """A price list.

    Attributes:
        name: of its file.
        dated: when the prices were true.
        ec2: by region and instance type, per hour.
        machines: by name of a folder under ``results/``, per hour.
    """

    name: str
    dated: str
    source: str
    currency: str
    ec2: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    machines: Mapping[str, float] = field(default_factory=dict)

    @property
    def note(self) -> str:
        """Where the prices are from, for the readers of a comparison."""
        return (
            f"by {self.name}, dated {self.dated}, in {self.currency} ({self.source}). "
            "Prices change: check them."
        )

    def with_own(
        self, names: Sequence[str], instance: Instance | None, own: Mapping[str, float]
    ) -> Price:
        """Return the price of a machine: the user's own if there is one, else as ``of``.

        Args:
            names: by which the user may have given it, the folder's first.
        """
        for name in names:
            if name in own:
                note = f"{own[name]:g} {self.currency} an hour ({OWN}{name}=)"
                return Price(own[name], note, self.currency)
        return self.of(names[0], instance)

    def of(self, machine: str, instance: Instance | None) -> Price:
        """Return the price of a machine: by its folder's name, else as an EC2 instance.

        Args:
            instance: the facts of EC2 in the plan of the run; None where it has none.
        """
        kind, region = (instance.instance_type, instance.region) if instance else (None, None)
        if machine in self.machines:
            return self._listed(self.machines[machine], machine)
        if kind is None:
            return Price(None, f"no price for {machine} in {self.name}")
        where = f"{kind} in {region or 'an unknown region'}"
        per_hour = self.ec2.get(region or "", {}).get(kind)
        if per_hour is None:
            return Price(None, f"no price for {where} in {self.name}")
        return self._listed(per_hour, where)

    def _listed(self, per_hour: float, what: str) -> Price:
        return Price(
            per_hour,
            f"{per_hour:g} {self.currency} an hour ({what}; {self.name} of {self.dated})",
            self.currency,
        )


def parse_prices(values: Any, name: str) -> Prices:
    """Return the price list that a YAML file's value holds.

    Raises:
        ValueError: a key is missing or unknown, or a value is no price; the message names the key.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"holds no keys; it needs {', '.join(KEYS)}")
    unknown = [str(key) for key in values if key not in KEYS]
    if unknown:
        raise ValueError(f"{unknown[0]}: there is no such key; the keys are {', '.join(KEYS)}")
    for key in ("dated", "source", "currency"):
        if not str(values.get(key) or "").strip():
            raise ValueError(f"{key} is missing")
    if not CURRENCY.fullmatch(str(values["currency"])):
        raise ValueError(f"currency: {values['currency']!r} is no short name such as USD")
    regions = _mapping(values.get("ec2"), "ec2")
    return Prices(
        name,
        str(values["dated"]),
        str(values["source"]).strip(),
        str(values["currency"]),
        {region: _priced(of_type, f"ec2.{region}") for region, of_type in regions.items()},
        _priced(values.get("machines"), "machines"),
    )


def cost_per_million(images_per_s: float, per_hour: float) -> float:
    """Return the cost of a million images on a machine that does nothing else."""
    return per_hour * HOURS / images_per_s


def cost_interval(rate: Interval, per_hour: float) -> Interval:
    """Return the cost of a million images with the interval of the throughput, in images/s."""
    estimate, low, high = (
        cost_per_million(images_per_s, per_hour)
        for images_per_s in (rate.estimate, rate.high, rate.low)
    )
    return Interval(estimate, low, high, rate.level, rate.between_rounds)


def parse_price(value: Any, key: str) -> float:
    """Return a price per hour.

    Raises:
        ValueError: it is no number above 0.
    """
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 < value < math.inf:
        raise ValueError(f"{key}: {value!r} is no price per hour, a number above 0")
    return float(value)


def _priced(values: Any, key: str) -> dict[str, float]:
    return {
        name: parse_price(value, f"{key}.{name}") for name, value in _mapping(values, key).items()
    }


def _mapping(values: Any, key: str) -> JsonObject:
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise ValueError(f"{key}: {values!r} is no list of names with their prices")
    return {str(name): value for name, value in values.items()}
