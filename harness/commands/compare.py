"""``./run.sh compare``: runs beside each other, methods by machines."""

from __future__ import annotations

import hashlib
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from harness.compare.compared_run import compared_run
from harness.compare.comparison import Comparison, compare
from harness.compare.comparison_text import disagreements_to_csv, to_csv, to_markdown
from harness.compare.html_comparison import to_html
from harness.compare.prices import Price, Prices, price, prices_of
from harness.compare.unlike import unlike
from harness.config import CONF, compose_config, project_path
from harness.errors import InputError
from harness.storage import form
from harness.storage.plan import RunPlan
from harness.storage.store import RunFolder, find_run
from harness.storage.whole_files import write_atomically
from harness.words import plain

FOLDER = "comparisons"
PRICES = CONF / "prices.yaml"
LONGEST_NAME = 120
FORCE, OWN = "--force", "price."


@dataclass(frozen=True)
class Asked:
    """What the user typed after the verb.

    Attributes:
        runs: RUN or MACHINE/RUN, the one that the others are relative to first.
        force: compare what was not measured alike, and say so first.
        prices: the price list.
        own: prices per hour by machine's folder, that go before the list's.
        name: of the folder under ``results/comparisons/``; None makes one of the runs' names.
        rest: overrides of the configuration.
    """

    runs: tuple[str, ...]
    force: bool
    prices: Path
    own: dict[str, float]
    name: str | None
    rest: tuple[str, ...]

    @classmethod
    def of(cls, words: Sequence[str]) -> Asked:
        """Return the words' meaning.

        Raises:
            InputError: fewer than two runs are named, or a name or a price is none.
        """
        runs = tuple(word for word in words if "=" not in word and word != FORCE)
        pairs = [tuple(word.split("=", 1)) for word in words if "=" in word]
        own = {
            key[len(OWN) :]: _own_price(key, value) for key, value in pairs if key.startswith(OWN)
        }
        named = {key: plain(value) for key, value in pairs if key in ("name", "prices")}
        name = named.get("name")
        if name is not None and not form.name(name):
            raise InputError(f"name={name}: use {form.name.__doc__}")
        if len(runs) < 2:
            raise InputError("name two runs or more: ./run.sh compare RUN RUN")
        return cls(
            runs,
            FORCE in words,
            project_path(named["prices"]) if "prices" in named else PRICES,
            own,
            name,
            tuple(
                f"{key}={value}"
                for key, value in pairs
                if key not in named and not key.startswith(OWN)
            ),
        )


def compare_runs(words: Sequence[str], folders: Sequence[Path]) -> int:
    """Compare runs, write the page, Markdown and CSV, print the Markdown, return the exit code.

    Raises:
        InputError: a run is not there, is named twice, or was measured otherwise than another and
            this is not forced; the price list has a bad entry.
        HarnessError: a record or a file of predictions is damaged.
    """
    asked = Asked.of(words)
    results = project_path(compose_config(asked.rest, folders).values["run"]["results"])
    found = [find_run(results, each) for each in asked.runs]
    for number, folder in enumerate(found):
        if folder.path in [other.path for other in found[:number]]:
            raise InputError(f"{asked.runs[number]} is named twice: name each run once")
    plans = [_planned(folder) for folder in found]
    if not asked.force:
        _check_alike(plans, asked.runs)
    machines = [folder.path.parent.name for folder in found]
    idle = sorted(set(asked.own) - set(machines))
    if idle:
        known = ", ".join(dict.fromkeys(machines))
        raise InputError(f"{OWN}{idle[0]}: no run is of that machine; they are {known}")
    prices = read_prices(asked.prices)
    comparison = compare(
        [
            compared_run(folder, _price(machine, plan, prices, asked.own))
            for folder, machine, plan in zip(found, machines, plans)
        ]
    )
    told = (
        f"by {prices.name}, dated {prices.dated}, in {prices.currency} ({prices.source}). "
        "Prices change: check them."
    )
    into = results / FOLDER / (asked.name or _name(comparison))
    text = to_markdown(comparison, told)
    files = {
        "comparison.html": to_html(comparison, told, shlex.join(["./run.sh", "compare", *words])),
        "comparison.md": text,
        "comparison.csv": to_csv(comparison),
        "disagreements.csv": disagreements_to_csv(comparison),
    }
    for file, content in files.items():
        write_atomically(into / file, content)
    print(text, end="")
    print(into / "comparison.html", file=sys.stderr)
    return 0


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


def _own_price(key: str, text: str) -> float:
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
