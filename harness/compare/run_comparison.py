"""Runs beside each other, methods by machines: read, compared and written."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from harness import PROJECT
from harness.compare.compared_run import compared_run
from harness.compare.comparison import Comparison, compare
from harness.compare.comparison_text import disagreements_to_csv, to_csv, to_markdown
from harness.compare.html_comparison import to_html
from harness.compare.prices import Price, Prices, price, prices_of
from harness.compare.unlike import unlike
from harness.errors import InputError
from harness.storage import form
from harness.storage.plan import RunPlan
from harness.storage.store import RunFolder, find_run, write_atomically

FOLDER = "comparisons"
PRICES = PROJECT / "conf" / "prices.yaml"
LONGEST_NAME = 120
FORCE, OWN = "--force", "price."


@dataclass(frozen=True)
class Request:
    """What is to be compared.

    Attributes:
        runs: RUN or MACHINE/RUN, the one that the others are relative to first.
        command: the words of a command line that compares the same.
        force: compare what was not measured alike, and say so first.
        prices: the price list.
        own: prices per hour by machine's folder, that go before the list's.
        name: of the folder under ``results/comparisons/``; None makes one of the runs' names.
    """

    runs: tuple[str, ...]
    command: tuple[str, ...]
    force: bool = False
    prices: Path = PRICES
    own: Mapping[str, float] = field(default_factory=dict)
    name: str | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be compared.

        Raises:
            InputError: fewer than two runs are named, or the name is none.
        """
        if self.name is not None and not form.name(self.name):
            raise InputError(f"name={self.name}: use {form.name.__doc__}")
        if len(self.runs) < 2:
            raise InputError("name two runs or more: ./run.sh compare RUN RUN")


def compare_runs(request: Request, results: Path) -> tuple[str, Path]:
    """Compare runs and write the page, Markdown and CSV.

    Returns:
        the Markdown, and the page.

    Raises:
        InputError: a run is not there, is named twice, or was measured otherwise than another and
            this is not forced; the price list has a bad entry.
        HarnessError: a record or a file of predictions is damaged.
    """
    folders = [find_run(results, run) for run in request.runs]
    for number, folder in enumerate(folders):
        if folder.path in [other.path for other in folders[:number]]:
            raise InputError(f"{request.runs[number]} is named twice: name each run once")
    plans = [_planned(folder) for folder in folders]
    if not request.force:
        _check_alike(plans, request.runs)
    machines = [folder.path.parent.name for folder in folders]
    idle = sorted(set(request.own) - set(machines))
    if idle:
        known = ", ".join(dict.fromkeys(machines))
        raise InputError(f"{OWN}{idle[0]}: no run is of that machine; they are {known}")
    prices = read_prices(request.prices)
    comparison = compare(
        [
            compared_run(folder, _price(machine, plan, prices, request.own))
            for folder, machine, plan in zip(folders, machines, plans)
        ]
    )
    told = (
        f"by {prices.name}, dated {prices.dated}, in {prices.currency} ({prices.source}). "
        "Prices change: check them."
    )
    into = results / FOLDER / (request.name or _name(comparison))
    text = to_markdown(comparison, told)
    command = shlex.join(["./run.sh", "compare", *request.command])
    files = {
        "comparison.html": to_html(comparison, told, command),
        "comparison.md": text,
        "comparison.csv": to_csv(comparison),
        "disagreements.csv": disagreements_to_csv(comparison),
    }
    for file, content in files.items():
        write_atomically(into / file, content)
    return text, into / "comparison.html"


def _check_alike(plans: Sequence[RunPlan], names: Sequence[str]) -> None:
    different = unlike(plans)
    if different:
        told = "\n".join(
            f"  {one.key}: " + ", ".join(f"{v} in {name}" for v, name in zip(one.values, names))
            for one in different
        )
        raise InputError(
            f"these runs were not measured alike:\n{told}\n"
            f"measure them alike, or add {FORCE} to compare them all the same"
        )


def read_prices(path: Path) -> Prices:
    """Return a price list.

    Raises:
        InputError: the file is not there, is no YAML, or has a bad entry.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
        return prices_of(values, path.name)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): give prices=FILE") from None
    except (ValueError, yaml.YAMLError) as error:
        told = " ".join(str(error).split())
        raise InputError(f"{path}: {told}; correct it as conf/prices.yaml shows") from None


def own_price(key: str, text: str) -> float:
    """Return a price per hour that is typed as ``price.MACHINE=N``.

    Raises:
        InputError: it is no number above 0.
    """
    try:
        return price(float(text), key)
    except ValueError:
        raise InputError(f"{key}={text}: give a price per hour, a number above 0") from None


def _price(machine: str, plan: RunPlan, prices: Prices, own: Mapping[str, float]) -> Price:
    if machine in own:
        return Price(own[machine], f"{own[machine]:g} {prices.currency} an hour ({OWN}{machine}=)")
    return prices.of(machine, plan.machine.get("ec2"))


def _planned(folder: RunFolder) -> RunPlan:
    plan = folder.load_plan()
    assert plan is not None  # find_run found it by its plan
    return plan


def _name(comparison: Comparison) -> str:
    runs = [run.plan.run for run in comparison.runs]
    if len(set(runs)) < len(runs):
        runs = [f"{run.machine}.{run.plan.run}" for run in comparison.runs]
    name = "_".join(runs)
    if len(name) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{runs[0][:80]}_and_{len(runs) - 1}_more_{digest}"
