"""A price list, read from its file."""

from __future__ import annotations

from pathlib import Path

import yaml

from harness import PROJECT
from harness.compare.pricing.prices import Prices, parse_prices
from harness.errors import InputError

PRICES = PROJECT / "conf" / "prices.yaml"


def read_prices(path: Path) -> Prices:
    """Return the price list of a YAML file.

    Raises:
        InputError: the file is not there, is no YAML, or has a bad entry.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        return parse_prices(values, path.name)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): give prices=FILE") from None
    except (ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"{path}: {reason}; correct it as conf/prices.yaml shows") from None
