"""``./run.sh compare``: runs beside each other, methods by machines."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from harness.compare import run_comparison
from harness.compare.compared_run import FORCE
from harness.compare.prices import OWN
from harness.compare.run_comparison import PRICES, Request, own_price
from harness.config import compose_config, project_path
from harness.words import plain


def compare_runs(words: Sequence[str], folders: Sequence[Path]) -> int:
    """Compare runs, print the Markdown and the path of the page, and return the exit code.

    Raises:
        InputError, HarnessError: as ``run_comparison.compare_runs``; or a price is none.
    """
    pairs = [tuple(word.split("=", 1)) for word in words if "=" in word]
    named = {key: plain(value) for key, value in pairs if key in ("name", "prices")}
    request = Request(
        runs=tuple(word for word in words if "=" not in word and word != FORCE),
        command=tuple(words),
        force=FORCE in words,
        prices=project_path(named["prices"]) if "prices" in named else PRICES,
        own={key[len(OWN) :]: own_price(key, value) for key, value in pairs if key.startswith(OWN)},
        name=named.get("name"),
    )
    overrides = [
        f"{key}={value}" for key, value in pairs if key not in named and not key.startswith(OWN)
    ]
    results = project_path(compose_config(overrides, folders).values["run"]["results"])
    text, page = run_comparison.compare_runs(request, results)
    print(text, end="")
    print(page, file=sys.stderr)
    return 0
