"""Comparisons: of runs made by hand where every number is known, and of a real one."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness.cli import main
from harness.compare.pricing.prices import cost_per_million, parse_prices
from harness.compare.unlike import unlike, words_for
from harness.config import CONF
from harness.facts.typed import decode, plain
from harness.stats.speed import speedup_apart, throughput
from harness.storage import store
from harness.storage.plan import RANDOM_WEIGHTS
from harness.storage.record import Split
from harness.storage.store import RunFolder
from harness.table.served.rates import NO_RATE
from helpers import links, sample_records
from helpers.browser import Opened
from helpers.command_line import CommandLine, Ended
from helpers.other_machine import MACS, edit, on_machine, predicting, times_scaled, with_roof
from helpers.sample_run import made_run
from helpers.server_records import as_server, searched

SLOW, FAST = "slow-cpu-2c", "fast-cpu-4c"
EC2 = {"instance_type": "c7i.xlarge", "region": "us-east-1", "reason": None}
DIFFERENT = {3: 9, 7: 2, 500: 1}  # images, and what the fast machine predicts
Compared = Callable[..., tuple[int, str, str, Path]]


@pytest.fixture
def runs(tmp_path: Path) -> tuple[RunFolder, RunFolder]:
    """Return a run on a slow and, twice as fast, on a fast machine, an EC2 instance."""
    origin = made_run(tmp_path / "origin")
    slow = on_machine(origin, tmp_path / "results", SLOW, cpu_model="a slow CPU")
    fast = on_machine(origin, tmp_path / "results", FAST, cpu_model="a fast CPU", ec2=EC2)
    times_scaled(fast, 0.5)
    predicting(fast, "int8_smart", DIFFERENT)
    with_roof(slow, 1000.0)
    with_roof(fast, 4000.0)
    return slow, fast


@pytest.fixture
def compared(
    runs: tuple[RunFolder, RunFolder], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Compared:
    """Return a function that compares the two, and gives code, output, errors and the folder."""

    def run(*words: str) -> tuple[int, str, str, Path]:
        named = [f"{folder.path.parent.name}/{folder.id}" for folder in runs]
        results = tmp_path / "results"
        code = main(["compare", *named, f"run.results={results}", "name=both", *words])
        told = capsys.readouterr()
        return code, told.out, told.err, results / "comparisons" / "both"

    return run


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle))


def cell(folder: Path, method: str, machine: str) -> dict[str, str]:
    (found,) = (
        row
        for row in rows_of(folder / "comparison.csv")
        if (row["method"], row["machine"]) == (method, machine)
    )
    return found


def test_methods_by_machines(compared: Compared, runs: tuple[RunFolder, RunFolder]) -> None:
    code, out, err, folder = compared()
    assert code == 0, err
    assert len(out.splitlines()) <= 10
    said, out = out, (folder / "comparison.md").read_text()
    best = float(cell(folder, "int8_custom", FAST)["images_per_s"])
    assert f"Fastest: int8_custom on c7i.xlarge, {best:.1f} [" in said
    assert f"  next: int8_custom on {SLOW}, " in said  # int8_smart is faster, not accurate enough
    assert "Predictions: 1 of 5 methods differ, most int8_smart: 3 of 1000 images" in said
    slow, fast = cell(folder, "int8_smart", SLOW), cell(folder, "int8_smart", FAST)
    times = np.array(
        [r.facts.timed[0].forward_s for r in runs[1].load_rounds() if r.method == "int8_smart"]
    )
    rate = throughput(times, sample_records.BATCH)
    assert float(fast["images_per_s"]) == pytest.approx(rate.estimate, rel=1e-12)
    assert float(fast["images_per_s_low"]) == pytest.approx(rate.low, rel=1e-12)
    assert float(fast["ratio"]) == pytest.approx(2.0, rel=1e-12)
    apart = speedup_apart(2 * times, times)
    assert float(fast["ratio_low"]) == pytest.approx(apart.low, rel=1e-12)
    assert slow["ratio"] == slow["ratio_low"] == ""
    assert fast["inference_speedup"] == pytest.approx(slow["inference_speedup"])
    # prices: c7i.xlarge by the list; the other machine is on none
    assert (fast["price_per_hour"], slow["price_per_hour"]) == ("0.1785", "")
    per_image = 0.1785 / 3600 / rate.estimate
    assert float(fast["cost_per_million"]) == pytest.approx(1e6 * per_image, rel=1e-12)
    assert float(fast["cost_per_million_low"]) < float(fast["cost_per_million"])
    assert f"no price for {SLOW} in prices.yaml" in out
    assert "0.1785 USD an hour (c7i.xlarge in us-east-1; prices.yaml of 2026-01-19)" in out
    # roof: 2 * 10^9 operations an image, of 4000 * 10^9 a second
    share = rate.estimate * 2 * MACS / 4e12
    assert float(fast["share_of_roof"]) == pytest.approx(share, rel=1e-12)
    assert float(slow["share_of_roof"]) == pytest.approx(2 * share, rel=1e-12)
    assert f"{100 * share:.1f} %" in out
    assert "4000 [4000, 4000], brgconv:avx512_core_vnni" in out
    assert "bf16 is missing: oneDNN ran f32 instead" in out
    # a row without a solution says so, in every run
    assert cell(folder, "int8_bayesian", FAST)["outcome"] == "no solution in 3 trials"
    assert out.count("no solution in 3 trials") == 2


def without_baseline(folder: RunFolder) -> None:
    """Leave fp32 out of a run, so that no loss is known."""
    edit(folder.path / "plan.json", lambda plan: plan["config"]["method"].pop("fp32"))
    (path,) = (folder.path / "records").glob("*_fp32.json")
    path.unlink()


def test_a_row_of_unknown_accuracy_wins_nothing(
    compared: Compared, runs: tuple[RunFolder, RunFolder]
) -> None:
    without_baseline(runs[1])
    _, out, _, _ = compared("--force")
    assert f"Fastest: int8_custom on {SLOW}, " in out  # the fast machine's are not known
    without_baseline(runs[0])
    code, out, err, folder = compared()
    assert code == 0, err
    for question in ("Fastest", "Cheapest", "Most of its roof"):
        assert f"{question}: no row is known to meet the criterion of the tuning\n" in out
    page = (folder / "comparison.html").read_text()
    assert "no row is known to meet the criterion of the tuning" in page


def test_rows_of_random_weights_are_accurate_enough(
    compared: Compared, runs: tuple[RunFolder, RunFolder]
) -> None:
    for folder in runs:
        without_baseline(folder)
        edit(folder.path / "plan.json", lambda plan: plan.update(warnings=[RANDOM_WEIGHTS]))
    _, out, _, _ = compared()
    assert "Fastest: int8_smart on c7i.xlarge, " in out


def test_files_that_a_comparison_no_longer_has_are_deleted(
    compared: Compared, runs: tuple[RunFolder, RunFolder]
) -> None:
    _, _, _, folder = compared()
    assert {"cost.svg", "cost_narrow.pdf", "roof.svg"} <= {
        path.name for path in (folder / "figures").iterdir()
    }
    (folder / "machines.csv").write_text("of an earlier comparison")
    others = [folder / "notes.txt", folder / "figures" / "mine.svg"]
    for path in others:
        path.write_text("mine")
    elsewhere = {**EC2, "region": "eu-west-1"}  # without a price
    edit(runs[1].path / "plan.json", lambda plan: plan["machine"].update(ec2=elsewhere))
    for run in runs:
        (run.path / "roof.json").unlink()
    code, _, err, _ = compared()
    assert code == 0, err
    assert {path.name for path in folder.iterdir()} == {
        *("comparison.html", "comparison.md", "comparison.csv", "disagreements.csv"),
        *("figures", "notes.txt"),
    }
    assert {path.name for path in (folder / "figures").iterdir()} == {
        *("throughput.svg", "throughput.pdf", "throughput_narrow.svg", "throughput_narrow.pdf"),
        "mine.svg",
    }


def test_the_notes_say_that_a_split_is_compared_in_another_way(
    compared: Compared, runs: tuple[RunFolder, RunFolder]
) -> None:
    of_rounds, of_sides = "Welch's t over both runs' rounds", "Student's t from the intervals"
    _, _, _, folder = compared()
    text = (folder / "comparison.md").read_text()
    assert of_rounds in text and of_sides not in text and "of a split" not in text
    for number in (1, 2, 3):
        record = sample_records.together("fp32", number, Split(2, 2), [0.5, 0.5])
        runs[0].save(replace(record, run="made"))
    code, _, err, folder = compared()
    assert code == 0, err
    assert cell(folder, "fp32", SLOW)["split"] == "2 instances of 1 thread, batch 100"
    text = (folder / "comparison.md").read_text()
    assert of_rounds in text and of_sides in text  # one row has a split, the others have none
    assert "Images/s of a split are from the run's table by instances." in text


def test_rates_of_queries_are_compared_by_their_best_split(
    compared: Compared, runs: tuple[RunFolder, RunFolder]
) -> None:
    _, out, _, folder = compared()
    assert "Most queries" not in out
    assert "Queries a second" not in (folder / "comparison.md").read_text()
    for run, factor in ((runs[0], 1.0), (runs[1], 2.0)):
        as_server(run)
        for method, rate in (("int8_custom", 80.0), ("int8_smart", 90.0)):
            run.save(searched(method, factor * rate))
            alone = searched(method, 10.0, split=Split(1, 2), placed=[[0, 1]])
            run.save(replace(alone, facts=(alone.facts or [])[:1]))
    none = searched("fp32", highest=None)
    runs[0].save(none)
    code, out, err, folder = compared()
    assert code == 0, err
    fast = cell(folder, "int8_custom", FAST)
    assert (fast["queries_per_s"], fast["server_split"]) == ("160.0", "2 instances of 1 thread")
    assert fast["queries_per_s_low"] == ""  # a machine is searched once
    assert cell(folder, "fp32", SLOW)["queries_per_s"] == ""
    # int8_smart is faster, and not accurate enough to win
    assert "Most queries in time: int8_custom on c7i.xlarge, 160.00 queries/s" in out
    text = (folder / "comparison.md").read_text()
    assert "p99 of their latency at most 50 ms" in text and NO_RATE in text
    assert "int8_smart" in next(one for one in text.splitlines() if "disturbed" in one)


def test_prices_of_the_command_line_and_of_a_file(compared: Compared, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        f"dated: 2026-02-03\nsource: a bill\ncurrency: EUR\nmachines: {{{SLOW}: 0.2, {FAST}: 9}}\n"
    )
    code, out, err, folder = compared(f"prices={mine}", f"price.{FAST}=0.4")
    assert code == 0, err
    assert cell(folder, "fp32", SLOW)["price_per_hour"] == "0.2"
    assert cell(folder, "fp32", FAST)["price_per_hour"] == "0.4"  # not 9
    assert "EUR for a million images" in out
    assert "mine.yaml, dated 2026-02-03, in EUR (a bill)" in (folder / "comparison.md").read_text()


def test_a_region_without_prices(compared: Compared, runs: tuple[RunFolder, RunFolder]) -> None:
    elsewhere = {**EC2, "region": "eu-west-1"}
    edit(runs[1].path / "plan.json", lambda plan: plan["machine"].update(ec2=elsewhere))
    _, out, _, folder = compared()
    assert "Cheapest: no machine has a price: give price.MACHINE=N" in out
    text = (folder / "comparison.md").read_text()
    assert "no price for c7i.xlarge in eu-west-1 in prices.yaml" in text
    assert "## Cost" not in text
    assert cell(folder, "fp32", FAST)["cost_per_million"] == ""


def test_disagreement_lists_exactly_the_images(compared: Compared) -> None:
    _, _, _, folder = compared()
    out = (folder / "comparison.md").read_text()
    listed = rows_of(folder / "disagreements.csv")
    best = sample_records.predicted(0.6, 0.95)[:, 0]
    assert [
        (row["method"], int(row["image"]), int(row["label"]), int(row["prediction_b"]))
        for row in listed
    ] == [("int8_smart", image, sample_records.LABELS[image], c) for image, c in DIFFERENT.items()]
    assert [int(row["prediction_a"]) for row in listed] == [int(best[i]) for i in DIFFERENT]
    assert {row["run_a"] for row in listed} == {f"{SLOW}/made"}
    (total,) = (line for line in out.splitlines() if line.startswith("| int8_smart: "))
    assert [part.strip() for part in total.split("|")][2:4] == ["3 of 1000", "0.300"]
    page = (folder / "comparison.html").read_text()
    assert all(f'<th scope="row">{image}</th>' in page for image in DIFFERENT)


def test_another_mxnet_is_refused_and_shown_with_force(
    compared: Compared, runs: tuple[RunFolder, RunFolder]
) -> None:
    edit(runs[1].path / "plan.json", lambda plan: plan["versions"].update(mxnet="2.0.0b2"))
    edit(runs[1].path / "plan.json", lambda plan: plan["config"]["protocol"].update(batches=11))
    code, out, err, folder = compared()
    assert code == 2 and out == "" and not folder.exists()
    assert f"versions.mxnet: 2 in {SLOW}/made, 2.0.0b2 in {FAST}/made" in err
    assert "config.protocol.batches" in err and "--force" in err
    assert f"measure the others as {SLOW}/made was:\n  ./run.sh protocol.batches=10\n" in err
    code, out, err, folder = compared("--force")
    assert code == 0, err
    assert (
        "not measured alike, 2 settings differ (--force): versions.mxnet, config.protocol.batches"
        in out
    )
    out = (folder / "comparison.md").read_text()
    assert out.index("| versions.mxnet") < out.index("| config.protocol.batches")
    assert out.index("2.0.0b2") < out.index("## Machines")
    page = (folder / "comparison.html").read_text()
    assert page.index("versions.mxnet") < page.index('<h2 id="machines">')


def test_what_follows_from_another_difference_is_not_listed(
    runs: tuple[RunFolder, RunFolder],
) -> None:
    def change(plan: Any) -> None:
        plan["overrides"] = ["tuning.max_trials=5", "machine=other", "run.id=x", "protocol=quick"]
        plan["config"]["protocol"]["name"] = "quick"
        plan["config"]["tuning"]["max_trials"] = 5
        plan["config"]["workload"]["images"] = 500
        plan["images"] = 500
        plan["config"]["method"]["int8_mse"]["options"]["max_trials"] = 5
        plan["config"]["method"]["int8_custom"]["options"]["max_trials"] = 7

    def change_first(plan: Any) -> None:
        plan["overrides"] = ["machine=one", "protocol.rounds=7"]
        plan["config"]["workload"]["images"] = None

    edit(runs[0].path / "plan.json", change_first)
    edit(runs[1].path / "plan.json", change)
    first, second = (folder.load_plan() for folder in runs)
    assert first is not None and second is not None
    found = unlike([first, second])
    assert {one.key: one.values for one in found} == {
        "config.protocol.name": ("made", "quick"),
        "config.workload.images": ("null", "500"),
        "config.tuning.max_trials": ("3", "5"),
        "config.method.int8_custom.options.max_trials": ("3", "7"),
    }
    typed = words_for(found, first, second)
    assert typed[0] == "machine=other"  # the other run's own word; what differs is replaced
    assert typed[1:3] == [
        "protocol=made",
        "protocol.rounds=7",
    ]  # a name, and what it was changed by
    assert sorted(typed[3:]) == ["tuning.max_trials=3", "workload.images=null"]
    assert "machine=other" not in words_for(found, first, replace(second, foreign=True))


def test_missing_and_disturbed_rows_are_told(
    compared: Compared, runs: tuple[RunFolder, RunFolder]
) -> None:
    def disturb(record: Any) -> None:
        record["facts"]["timed"][0]["disturbed"] = [sample_records.LOAD]

    edit(runs[1].path / "rounds" / "002_fp32_1.json", disturb)
    (path,) = (runs[1].path / "records").glob("*int8_custom*")
    path.unlink()
    edit(runs[1].path / "plan.json", lambda plan: plan["config"]["protocol"].update(batches=11))
    code, out, err, folder = compared("--force")
    assert code == 0, err
    assert "1 setting differs (--force): config.protocol.batches\n" in out
    assert "Read with care: c7i.xlarge has 1 row missing and 1 row disturbed\n" in out
    page = (folder / "comparison.html").read_text()
    assert "1 of the 6 rows of c7i.xlarge are missing" in page
    assert "Timings of c7i.xlarge were disturbed" in page


def test_what_a_machine_may_differ_in(runs: tuple[RunFolder, RunFolder]) -> None:
    def change(plan: Any) -> None:
        plan["threads"].update(count=64, environment={"OMP_NUM_THREADS": "64"})
        plan["config"]["run"] = {"results": "elsewhere"}
        plan["config"]["protocol"]["roof"] = True
        plan["config"]["workload"]["rec"] = "/mnt/val.rec"
        del plan["config"]["method"]["fp32"]

    edit(runs[1].path / "plan.json", change)
    plans = [folder.load_plan() for folder in runs]
    assert unlike([plan for plan in plans if plan]) == []


def test_an_engine_differs_only_between_runs_that_have_rows_of_it(tmp_path: Path) -> None:
    first, newer, without = (
        made_run(tmp_path / name, engines={"int8_custom": "onnxruntime"}) for name in "abc"
    )
    edit(
        newer.path / "plan.json",
        lambda plan: plan["versions"]["engines"]["onnxruntime"].update(onnxruntime="1.3"),
    )

    def leave_out(plan: Any) -> None:
        del plan["config"]["method"]["int8_custom"], plan["versions"]["engines"]

    edit(without.path / "plan.json", leave_out)
    plans = [plan for plan in (run.load_plan() for run in (first, newer, without)) if plan]
    assert unlike([plans[0], plans[2]]) == []
    key = "versions.engines.onnxruntime.onnxruntime"
    assert [(one.key, one.values) for one in unlike(plans)] == [(key, ("1.2", "1.3", "-"))]


def test_other_images_are_not_compared(
    compared: Compared, runs: tuple[RunFolder, RunFolder]
) -> None:
    record = {"path": "val.rec", "bytes": 1, "sha256": "ab" * 32}
    edit(runs[0].path / "plan.json", lambda plan: plan["files"].update(rec=record))
    code, _, err, _ = compared()
    assert code == 2 and "files.rec.sha256: abab" in err
    code, out, _, folder = compared("--force")
    assert code == 0 and "no two runs validated the same images" in out
    assert "the runs validated different images" in (folder / "comparison.md").read_text()
    assert rows_of(folder / "disagreements.csv") == []


def test_three_runs_one_without_a_row_or_rounds(
    compared: Compared,
    runs: tuple[RunFolder, RunFolder],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    third = on_machine(runs[0], tmp_path / "results", "third-1c")
    edit(third.path / "plan.json", lambda plan: plan["config"]["method"].pop("int8_mse"))
    edit(third.path / "plan.json", lambda plan: plan["config"]["protocol"].update(rounds=0))
    for path in [*(third.path / "records").glob("*int8_mse*"), third.path / "roof.json"]:
        path.unlink()
    (path,) = (third.path / "records").glob("*int8_custom*")
    path.unlink()  # planned, not measured yet
    code, _, err, folder = compared("third-1c/made", "--force")
    assert code == 0, err
    assert cell(folder, "int8_mse", "third-1c")["outcome"] == "not in this run"
    assert cell(folder, "int8_custom", "third-1c")["outcome"] == "not measured yet"
    assert cell(folder, "fp32", "third-1c")["share_missing"] == "roof not measured"
    text = (folder / "comparison.md").read_text()
    assert "Roof of third-1c: not measured; ./run.sh run.id=made protocol.roof=true adds it" in text
    monkeypatch.setattr(store, "COMMITTED", tmp_path / "results")
    code, _, err, folder = compared("third-1c/made", "--force")
    assert code == 0, err
    text = (folder / "comparison.md").read_text()
    assert "Roof of third-1c: not measured, and the project's committed example" in text
    assert "protocol.roof=true" not in text
    pairs = {(row["run_a"], row["run_b"]) for row in rows_of(folder / "disagreements.csv")}
    assert pairs == {(f"{SLOW}/made", f"{FAST}/made"), (f"{FAST}/made", "third-1c/made")}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["no-such-run"], "no run no-such-run under"),
        ([f"{SLOW}/made"], f"{SLOW}/made is named twice"),
        (["../made"], "no run ../made under"),
        (["made"], f"run made exists for several machines: name one of {FAST}/made, {SLOW}/made"),
        (["price.other=1"], f"price.other: no run is of that machine; they are {SLOW}, {FAST}"),
        ([f"price.{SLOW}=free"], f"price.{SLOW}=free: give a price per hour"),
        ([f"price.{SLOW}=nan"], f"price.{SLOW}=nan: give a price per hour"),
        (["name=../out"], "name=../out: use a plain name"),
        (["prices=/no/such.yaml"], "/no/such.yaml cannot be read"),
        (["--forced"], "--forced: there is no such option"),
        (["no.such.key=1"], "no.such.key: there is no such key"),
    ],
)
def test_bad_words(compared: Compared, words: list[str], told: str) -> None:
    code, out, err, folder = compared(*words)
    assert code == 2 and told in err
    assert out == "" and not folder.exists()


def test_fewer_than_two_runs_and_options_of_other_verbs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["compare", "one"]) == 2
    assert "name two runs or more" in capsys.readouterr().err
    assert main(["table", "--force"]) == 2
    assert main(["table", "one"]) == 2


GOOD = {"dated": "2026-01-01", "source": "s", "currency": "USD"}


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({**GOOD, "machines": {"a": "cheap"}}, "machines.a: 'cheap' is no price per hour"),
        ({**GOOD, "machines": {"a": 0}}, "machines.a: 0 is no price"),
        ({**GOOD, "machines": {"a": True}}, "machines.a: True is no price"),
        ({**GOOD, "ec2": {"us-east-1": {"c7i.large": -1}}}, "ec2.us-east-1.c7i.large: -1 is no"),
        ({**GOOD, "ec2": {"us-east-1": 3}}, "ec2.us-east-1: 3 is no list"),
        ({**GOOD, "ec2": ["c7i.large"]}, "ec2: ['c7i.large'] is no list"),
        ({**GOOD, "price": {}}, "price: there is no such key; the keys are dated, source"),
        ({"source": "s", "currency": "USD"}, "dated is missing"),
        ({**GOOD, "currency": "US dollars"}, "currency: 'US dollars' is no short name"),
        ([], "holds no keys"),
        (None, "holds no keys"),
    ],
)
def test_bad_price_files(compared: Compared, tmp_path: Path, values: Any, told: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(values))
    code, _, err, folder = compared(f"prices={path}")
    assert code == 2 and f"{path}: {told}" in err
    assert not folder.exists()


def test_a_price_file_that_is_no_yaml(compared: Compared, tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("dated: [")
    code, _, err, _ = compared(f"prices={tmp_path / 'bad.yaml'}")
    assert code == 2 and "bad.yaml: while parsing" in err


def test_the_projects_prices() -> None:
    prices = parse_prices(yaml.safe_load((CONF / "prices.yaml").read_text()), "prices.yaml")
    assert (prices.dated, prices.currency) == ("2026-01-19", "USD")
    of_type = prices.ec2["us-east-1"]
    assert {name.split(".")[0] for name in of_type} == {"c6i", "c7i", "m7i", "c7a", "m7a"}
    for name, price in of_type.items():  # a family's price is per CPU, but for metal
        family, size = name.split(".")
        cpus = {"medium": 1, "large": 2, "xlarge": 4}.get(size) or (
            4 * int(size.removesuffix("xlarge")) if size.endswith("xlarge") else None
        )
        if cpus:
            assert math.isclose(price / cpus, of_type[f"{family}.large"] / 2, rel_tol=1e-9), name


@given(st.floats(1e-3, 1e6), st.floats(1e-4, 1e3))
def test_cost_is_the_price_of_the_hours_that_a_million_images_take(
    rate: float, hour: float
) -> None:
    assert math.isclose(cost_per_million(rate, hour) * rate * 3600, hour * 1e6, rel_tol=1e-9)


TIMES = arrays(
    np.float64, st.tuples(st.integers(2, 6), st.integers(1, 9)), elements=st.floats(0.1, 9)
)


@settings(max_examples=50)
@given(TIMES, TIMES, st.floats(0.1, 10))
def test_speedup_between_machines(one: np.ndarray, other: np.ndarray, factor: float) -> None:
    there, back = speedup_apart(one, other), speedup_apart(other, one)
    assert there.low <= there.estimate <= there.high
    assert np.isclose(there.estimate * back.estimate, 1)
    assert np.isclose(there.low * back.high, 1) or there.low < 1e-100
    scaled = speedup_apart(factor * one, other)
    assert np.isclose(scaled.estimate, factor * there.estimate)
    assert there.between_rounds is True


def test_speedup_between_machines_with_one_round() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.uniform(1, 1.1, (1, 40)), rng.uniform(2, 2.1, (5, 20))
    found = speedup_apart(other, one)
    assert found.between_rounds is False
    assert found.low < found.estimate < found.high
    with pytest.raises(ValueError, match="carries no interval"):
        speedup_apart(other, one[:, :5])


@given(st.sampled_from(["versions", "config"]), st.text(min_size=1), st.text(), st.text())
def test_one_changed_setting_is_found_and_named(part: str, key: str, old: str, new: str) -> None:
    def changed(value: str) -> Mapping[str, Any]:
        before = getattr(sample_records.plan(), part)
        return {part: decode({**plain(before), f"x{key}": value}, type(before))}

    plans = [replace(sample_records.plan(), **changed(value)) for value in (old, new)]
    found = unlike(plans)
    assert [(one.key, one.values) for one in found] == (
        [(f"{part}.x{key}", (old, new))] if old != new else []
    )
    assert unlike([plans[0], plans[0]]) == []


def test_the_page_in_a_browser(
    compared: Compared, open_page: Callable[..., Opened], runs: tuple[RunFolder, RunFolder]
) -> None:
    hostile = "<script>alert(1)</script>"
    edit(runs[0].path / "plan.json", lambda plan: plan["machine"].update(cpu_model=hostile))
    for run in runs:
        as_server(run)
        run.save(searched("int8_custom"))
    _, _, _, folder = compared("--force")
    path = folder / "comparison.html"
    assert links.dead(path) == []
    for width, scheme in ((1280, "light"), (360, "dark")):
        opened = open_page(path, width, scheme)
        assert opened.console == []
        assert opened.requests == [path.as_uri()]
        assert not opened.scrolls_sideways()
        assert opened.page.locator("h1").inner_text() == f"{SLOW}, c7i.xlarge"
        assert opened.page.locator("main > section > .scroll > table").count() == 2
        assert opened.page.locator(".beside table").count() == 9
        assert opened.page.locator("figure svg:visible").count() == 3
        assert hostile in opened.page.locator("main").inner_text()
        details = opened.page.locator("section[aria-labelledby=disagreement] details").first
        details.locator("summary").focus()
        opened.page.keyboard.press("Enter")
        assert details.locator("tbody tr").count() == len(DIFFERENT)


@pytest.mark.slow
def test_a_real_run_as_if_on_two_machines(cli: CommandLine, smoke_run: Ended) -> None:
    here = on_machine(smoke_run.folder, cli.results, "here-2c")
    there = on_machine(smoke_run.folder, cli.results, "there-2c", cpu_model="another", ec2=EC2)
    predicting(there, "fp32_fused", {5: 3, 9: 3})
    ended = cli("compare", f"here-2c/{here.id}", f"there-2c/{there.id}")
    assert ended.code == 0, ended.err
    (folder,) = (cli.results / "comparisons").iterdir()
    assert folder.name == f"here-2c.{here.id}_there-2c.{there.id}"
    plan = json.loads((there.path / "plan.json").read_text())
    for method in plan["config"]["method"]:
        one, other = cell(folder, method, "here-2c"), cell(folder, method, "there-2c")
        assert one["images_per_s"] == other["images_per_s"] != ""
        assert float(other["ratio"]) == pytest.approx(1)
        assert float(other["cost_per_million"]) > 0
    listed = {row["method"] for row in rows_of(folder / "disagreements.csv")}
    assert listed == {"fp32_fused"}
    text = (folder / "comparison.md").read_text()
    assert "each its own" not in text  # copies of one model
