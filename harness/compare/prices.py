"""What a machine costs an hour, by a dated list that the user edits."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

KEYS = ("dated", "source", "currency", "ec2", "machines")
CURRENCY = re.compile(r"\S{1,8}")
HOURS = 1e6 / 3600  # of a machine that makes one image a second, for a million images


@dataclass(frozen=True)
class Price:
    """A machine's price an hour; None where there is none, and in either case a word on it."""

    per_hour: float | None
    told: str


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

    def of(self, machine: str, instance: Mapping[str, Any] | None) -> Price:
        """Return what a machine costs: by its folder's name, else as an EC2 instance.

        Args:
            instance: what the plan's machine says of EC2; None where it does not.
        """
        kind, region = (instance or {}).get("instance_type"), (instance or {}).get("region")
        if machine in self.machines:
            return self._found(self.machines[machine], machine)
        if kind is None:
            return Price(None, f"no price for {machine} in {self.name}")
        where = f"{kind} in {region or 'an unknown region'}"
        found = self.ec2.get(region or "", {}).get(kind)
        if found is None:
            return Price(None, f"no price for {where} in {self.name}")
        return self._found(found, where)

    def _found(self, per_hour: float, what: str) -> Price:
        return Price(
            per_hour,
            f"{per_hour:g} {self.currency} an hour ({what}; {self.name} of {self.dated})",
        )


def prices_of(values: Any, name: str) -> Prices:
    """Return the price list of a YAML file's value.

    Raises:
        ValueError: something in it is missing, unknown or no price; the message names the key.
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
    """Return what a million images cost on a machine that does nothing else."""
    return per_hour * HOURS / images_per_s


def price(value: Any, key: str) -> float:
    """Return a price per hour.

    Raises:
        ValueError: it is no number above 0.
    """
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not number or not 0 < value < math.inf:
        raise ValueError(f"{key}: {value!r} is no price per hour, a number above 0")
    return float(value)


def _priced(values: Any, key: str) -> dict[str, float]:
    return {name: price(each, f"{key}.{name}") for name, each in _mapping(values, key).items()}


def _mapping(values: Any, key: str) -> dict[str, Any]:
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise ValueError(f"{key}: {values!r} is no list of names with their prices")
    return {str(name): each for name, each in values.items()}
