"""Machines of a type as one column: what is pooled, what is refused, and what is said of it."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.cli import main
from harness.stats.machines import typical_machine
from harness.storage.store import RunFolder
from helpers.browser import Opened
from helpers.other_machine import MACS, edit, on_machine, times_scaled, with_roof
from helpers.sample_run import made_run
from helpers.server_records import as_server, searched

TYPES = {"c7i.xlarge": 1.0, "m7i.xlarge": 0.4}  # and how long their batches take
SPREAD = (1.0, 1.004, 0.997)  # of the machines of a type
Compare = Callable[..., tuple[int, str, str, Path]]


def instance(kind: str, number: int) -> dict[str, Any]:
    return {
        "instance_type": kind,
        "region": "us-east-1",
        "instance_id": f"{kind[0]}{number}",
        "purchase": "spot",
    }


@pytest.fixture
def machines(tmp_path: Path) -> list[RunFolder]:
    """Return runs on three machines each of two types of EC2, in turn."""
    origin = made_run(tmp_path / "origin")
    folders = []
    for number, factor in enumerate(SPREAD):
        for kind, slower in TYPES.items():
            name = f"{kind}-{number}"
            folder = on_machine(origin, tmp_path / "results", name, ec2=instance(kind, number))
            times_scaled(folder, slower * factor)
            folders.append(folder)
    return folders


@pytest.fixture
def compare(
    machines: list[RunFolder], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Compare:
    """Return a function that compares runs, and gives code, output, errors and the folder."""

    def run(*words: str, of: list[RunFolder] | None = None) -> tuple[int, str, str, Path]:
        named = [f"{folder.path.parent.name}/{folder.id}" for folder in of or machines]
        results = tmp_path / "results"
        code = main(["compare", *named, f"run.results={results}", "name=types", *words])
        told = capsys.readouterr()
        return code, told.out, told.err, results / "comparisons" / "types"

    return run


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


def row(folder: Path, machine: str, method: str = "int8_smart") -> dict[str, str]:
    (own,) = (
        one
        for one in rows_of(folder / "comparison.csv")
        if (one["method"], one["machine"]) == (method, machine)
    )
    return own


def test_machines_of_a_type_are_one_column(compare: Compare) -> None:
    code, out, err, folder = compare()
    assert code == 0, err
    assert "methods on c7i.xlarge (3 machines), m7i.xlarge (3 machines)\n" in out
    assert len(out.splitlines()) <= 11
    each = [
        one
        for one in rows_of(folder / "machines.csv")
        if (one["method"], one["column"]) == ("int8_smart", "m7i.xlarge")
    ]
    assert [one["machine"] for one in each] == ["1", "2", "3"]
    rates = [float(one["images_per_s"]) for one in each]
    pooled, typical = row(folder, "m7i.xlarge"), typical_machine(rates)
    assert (pooled["machines"], row(folder, "c7i.xlarge")["machines"]) == ("3", "3")
    for end, value in (("", typical.estimate), ("_low", typical.low), ("_high", typical.high)):
        assert float(pooled[f"images_per_s{end}"]) == pytest.approx(value, rel=1e-12)
    # not narrower for the rounds of each machine: the range, stretched by Student's quantiles
    assert typical.high / typical.low > max(SPREAD) / min(SPREAD)
    assert float(pooled["ratio"]) == pytest.approx(1 / TYPES["m7i.xlarge"], rel=1e-9)
    cost = 0.2016 / 3600 * 1e6 / typical.estimate
    assert float(pooled["cost_per_million"]) == pytest.approx(cost, rel=1e-12)
    # a speedup within a run is the same on all: its interval has no width
    low, high = (float(pooled[f"inference_speedup_{end}"]) for end in ("low", "high"))
    assert low == pytest.approx(high)


def test_rates_of_queries_have_an_interval_between_machines(
    compare: Compare, machines: list[RunFolder]
) -> None:
    for number, folder in enumerate(machines):
        as_server(folder)
        folder.save(searched("int8_smart", 40 * SPREAD[number // len(TYPES)]))
    machines[0].save(searched("int8_custom"))
    code, _, err, folder = compare()
    assert code == 0, err
    each = [
        float(one["queries_per_s"])
        for one in rows_of(folder / "machines.csv")
        if (one["method"], one["column"]) == ("int8_smart", "c7i.xlarge")
    ]
    pooled, typical = row(folder, "c7i.xlarge"), typical_machine(each)
    for end, value in (("", typical.estimate), ("_low", typical.low), ("_high", typical.high)):
        assert float(pooled[f"queries_per_s{end}"]) == pytest.approx(value, rel=1e-12)
    alone = row(folder, "c7i.xlarge", "int8_custom")
    assert (alone["queries_per_s"], alone["queries_per_s_low"]) == ("40.0", "")
    assert (pooled["server_machines"], alone["server_machines"]) == ("3", "1")
    text = (folder / "comparison.md").read_text()
    assert "int8_custom was searched for a rate of queries on 1 of these machines" in text


def test_a_type_with_a_machine_that_kept_no_rate_does_not_win(
    compare: Compare, machines: list[RunFolder]
) -> None:
    for number, folder in enumerate(machines):
        as_server(folder)
        no_rate = {"highest": None} if number == 0 else {}
        folder.save(searched("int8_custom", 80 - number % 2, **no_rate))
    code, out, err, folder = compare()
    assert code == 0, err
    first = row(folder, "c7i.xlarge", "int8_custom")
    assert first["queries_per_s"] != "" and first["server_machines_without"] == "1"
    assert "Most queries in time: int8_custom on m7i.xlarge" in out
    text = (folder / "comparison.md").read_text()
    assert "int8_custom kept the target at no rate of queries on 1 of these machines" in text


def test_differences_between_types(compare: Compare) -> None:
    _, out, _, folder = compare()
    assert "Between types: 5 of 5 differences in images/s hold" in out
    text = (folder / "comparison.md").read_text()
    part = text[text.index("## Differences between types: images/s") :]
    line = next(one for one in part.splitlines() if one.startswith("| int8_smart"))
    assert "2.50 faster, p " in line
    assert "cheaper" in text[text.index("## Differences between types: cost") :]


def test_types_that_do_not_differ(compare: Compare, machines: list[RunFolder]) -> None:
    for folder in machines[1::2]:
        times_scaled(folder, 1 / TYPES["m7i.xlarge"])
    _, out, _, folder = compare()
    assert "Between types: 0 of 5 differences in images/s hold" in out
    assert "1.00 not shown, p 1 " in (folder / "comparison.md").read_text()


def test_one_machine_says_so_and_is_not_ranked(compare: Compare, machines: list[RunFolder]) -> None:
    _, out, _, folder = compare(of=[*machines[::2], machines[1]])
    assert "methods on c7i.xlarge (3 machines), m7i.xlarge (one machine)\n" in out
    assert "Between types" not in out
    text = (folder / "comparison.md").read_text()
    assert "m7i.xlarge (one machine): its intervals are of that machine" in text
    assert "do not hold for the type" in text
    assert "Differences between types" not in text
    assert float(row(folder, "m7i.xlarge-0")["ratio_low"]) < 2.5  # rounds against machines
    _, out, _, folder = compare(of=machines[:2])
    text = (folder / "comparison.md").read_text()
    assert "m7i.xlarge: one machine. Its intervals are of that machine" in text
    assert "on c7i.xlarge, m7i.xlarge\n" in out


def test_runs_of_one_machine_count_as_one(compare: Compare, machines: list[RunFolder]) -> None:
    again = on_machine(machines[0], machines[0].path.parents[1], "again")
    times_scaled(again, 1.1)
    _, out, _, folder = compare(of=[*machines[::2], again])
    assert "on c7i.xlarge (3 machines)\n" in out
    own = [one for one in rows_of(folder / "machines.csv") if one["method"] == "int8_smart"]
    assert [one["machine"] for one in own] == ["1", "2", "3", "1"]
    rates = [float(one["images_per_s"]) for one in own]
    expected = typical_machine([math.sqrt(rates[0] * rates[3]), *rates[1:3]])
    assert float(row(folder, "c7i.xlarge")["images_per_s"]) == pytest.approx(expected.estimate)
    assert "4 runs; those of one machine count as one" in (folder / "comparison.md").read_text()
    # two runs of the only machine are no type: they stay apart
    _, out, _, _ = compare(of=[machines[0], again])
    assert "machines)" not in out


def test_a_machine_counts_once_in_the_share_of_the_roof(
    compare: Compare, machines: list[RunFolder]
) -> None:
    again = on_machine(machines[0], machines[0].path.parents[1], "again")
    own, roofs = [*machines[::2], again], (1000.0, 2000.0, 4000.0, 3000.0)
    for run, gops in zip(own, roofs, strict=True):
        with_roof(run, gops)
    _, _, _, folder = compare(of=own)
    each = [one for one in rows_of(folder / "machines.csv") if one["method"] == "int8_smart"]
    assert [one["machine"] for one in each] == ["1", "2", "3", "1"]
    shares = [
        float(one["images_per_s"]) * 2 * MACS / (1e9 * gops)
        for one, gops in zip(each, roofs, strict=True)
    ]
    expected = ((shares[0] + shares[3]) / 2 + shares[1] + shares[2]) / 3
    assert float(row(folder, "c7i.xlarge")["share_of_roof"]) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("without", [0, 1])  # the first machine, whose run says most, or another
def test_a_type_has_no_share_of_the_roof_where_a_machine_has_none(
    compare: Compare, machines: list[RunFolder], without: int
) -> None:
    own = machines[::2]
    for number, run in enumerate(own):
        if number != without:
            with_roof(run, 1000.0)
    _, _, _, folder = compare(of=own)
    pooled = row(folder, "c7i.xlarge")
    said = "roof not measured on all machines"
    assert (pooled["share_of_roof"], pooled["share_missing"]) == ("", said)
    text = (folder / "comparison.md").read_text()
    assert f"Share of the roof, int8_smart on c7i.xlarge (3 machines): {said}." in text


def test_the_notes_say_how_columns_were_compared(
    compare: Compare, machines: list[RunFolder]
) -> None:
    of_rounds, of_sides = "Welch's t over both runs' rounds", "Student's t from the intervals"
    for own, said, other in (
        (machines[:2], of_rounds, of_sides),
        (machines, of_sides, of_rounds),
    ):
        _, _, _, folder = compare(of=own)
        text = (folder / "comparison.md").read_text()
        assert said in text and other not in text


def test_unlike_plans_are_refused(compare: Compare, machines: list[RunFolder]) -> None:
    edit(machines[2].path / "plan.json", lambda plan: plan["machine"].update(cpu_model="older"))
    edit(machines[3].path / "plan.json", lambda plan: plan["threads"].update(count=1))
    edit(machines[5].path / "plan.json", lambda plan: plan["config"]["method"].pop("int8_mse"))
    code, out, err, folder = compare()
    assert code == 2 and out == "" and not folder.exists()
    assert "runs on machines c7i.xlarge are not of one plan; against c7i.xlarge-0/made:" in err
    assert "c7i.xlarge-1/made: machine.cpu_model: was 'a CPU', is 'older'" in err
    assert "m7i.xlarge-1/made: threads.count: was 2, is 1" in err
    assert "m7i.xlarge-2/made: config.method.int8_mse" in err and "--apart" in err
    code, out, err, _ = compare("--apart")
    assert code == 0 and "machines)" not in out, err
    code, _, err, folder = compare("--force")
    assert code == 0, err
    assert "Not one column: runs on machines c7i.xlarge" in (folder / "comparison.md").read_text()


def test_another_protocol_is_refused_as_ever(compare: Compare, machines: list[RunFolder]) -> None:
    edit(machines[2].path / "plan.json", lambda plan: plan["config"]["protocol"].update(batches=9))
    code, _, err, _ = compare()
    assert code == 2 and "config.protocol.batches: 10 in c7i.xlarge-0/made" in err


def test_a_laboratory_names_its_machines(tmp_path: Path, compare: Compare) -> None:
    origin, folders = made_run(tmp_path / "lab"), []
    for name in ("lab-1", "lab-2"):
        folder = on_machine(origin, tmp_path / "results", name)
        keys = {"machine_type": "xeon", "machine": name}
        edit(folder.path / "plan.json", lambda plan, own=keys: plan["config"].update(own))
        folders.append(folder)
    code, out, err, folder = compare("price.xeon=0.5", of=folders)
    assert code == 0 and "on xeon (2 machines)\n" in out, err
    assert row(folder, "xeon")["price_per_hour"] == "0.5"
    for run in folders:  # machines that are not told apart are not pooled
        edit(run.path / "plan.json", lambda plan: plan["config"].update(machine=None))
    _, out, _, _ = compare(of=folders)
    assert "machines)" not in out


def test_a_row_that_failed_on_a_machine(compare: Compare, machines: list[RunFolder]) -> None:
    (path,) = (machines[0].path / "records").glob("*int8_custom*")
    path.unlink()
    _, out, _, folder = compare()
    assert row(folder, "c7i.xlarge", "int8_custom")["machines"] == "2"
    text = (folder / "comparison.md").read_text()
    assert "int8_custom has times on 2 of these machines" in text
    assert "c7i.xlarge (3 machines) has 1 row missing" in out


def test_the_page_of_types_in_a_browser(compare: Compare, open_page: Callable[..., Opened]) -> None:
    _, _, _, folder = compare()
    for width, scheme in ((1400, "light"), (400, "dark")):
        opened = open_page(folder / "comparison.html", width, scheme)
        assert opened.console == [] and not opened.scrolls_sideways()
        main_text = opened.page.locator("main").inner_text()
        assert "m7i.xlarge (3 machines)" in main_text and "Cost of a million images" in main_text
        assert opened.page.locator("section[aria-labelledby=ranked] tbody tr").count() == 5
        assert opened.page.locator("section[aria-labelledby=ranked-cost] tbody tr").count() == 5
        assert opened.page.locator("figure svg:visible").count() == 2
        size = opened.page.evaluate(
            "parseFloat(getComputedStyle(document.querySelector('main td')).fontSize)"
        )
        assert size >= 12
