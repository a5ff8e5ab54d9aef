"""Exports: what is in them, and which runs they take. Schemas of readers hold what they read."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from harness.cli import main
from harness.commands.kept import export as verb
from harness.errors import InputError
from harness.export.exported_run import ExportedRun, export_values
from harness.export.formats import FORMATS, LIST, export_files
from harness.storage.plan import Checkout
from harness.storage.record import Outcome, Split
from harness.table.loaded_run import load_run
from harness.table.metrics import QUERIES, THROUGHPUT
from helpers.exported_runs import later
from helpers.sample_run import UNSOLVED, made_run
from helpers.server_records import as_server, searched

SCHEMAS = Path(__file__).parent
COMMIT = "c" * 40
SIZES = (1, 64)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ExportedRun:
    folder = made_run(tmp_path_factory.mktemp("results"), sweep=SIZES)
    return export_values(load_run(folder), COMMIT)


def loaded(files: dict[str, bytes], name: str) -> Any:
    return json.loads(files[name])


def require_schema(value: object, name: str) -> None:
    schema = json.loads((SCHEMAS / name).read_text())
    jsonschema.Draft7Validator.check_schema(schema)
    jsonschema.validate(value, schema)


def test_a_run_has_each_value_once_with_its_interval(run: ExportedRun) -> None:
    keys = [(value.method, value.name) for value in run.values]
    assert len(keys) == len(set(keys))
    rates = [value for value in run.values if value.metric is THROUGHPUT]
    assert {value.batch_size for value in rates} == {100, *SIZES}
    fused = [value for value in rates if value.method == "fp32_fused"]
    assert all(v.low is not None and v.low < v.value for v in fused)
    assert UNSOLVED not in {value.method for value in run.values}
    assert run.outcomes[UNSOLVED] == "no solution in 3 trials" and run.commit == COMMIT


def test_the_highest_rate_of_queries_is_exported(tmp_path: Path) -> None:
    folder = made_run(tmp_path)
    as_server(folder)
    folder.save(searched("fp32"))
    folder.save(searched("fp32_fused", highest=None))
    failed = Outcome("failed", "instance 1 died")
    lost = searched("int8_smart", outcome=failed, facts=None, highest=None, tried=[])
    folder.save(lost)
    alone = searched("int8_smart", split=Split(1, 2), placed=[[0, 1]])  # of a row that failed later
    folder.save(replace(alone, facts=(alone.facts or [])[:1]))
    (smart,) = [each for each in folder.load_records() if each.method == "int8_smart"]
    folder.save_record(replace(smart, outcome=failed))
    run = export_values(load_run(folder))
    (value,) = [one for one in run.values if one.metric is QUERIES]
    assert (value.method, value.name, value.value) == ("fp32", "queries_per_s", 40.0)
    (line,) = [
        json.loads(each)
        for each in export_files("conbench", [run])["conbench.ndjson"].splitlines()
        if b'"queries_per_s"' in each
    ]
    assert line["stats"]["unit"] == "i/s"
    text = export_files("openmetrics", [run])["inc_bench.prom"].decode()
    (sample,) = [
        one for one in text.splitlines() if one.startswith("inc_bench_queries_per_second{")
    ]
    assert sample.endswith(" 40.0")


@pytest.mark.parametrize(("is_clean", "commit"), [(True, "d" * 40), (False, None)])
def test_a_commit_counts_where_the_code_was_as_committed(
    tmp_path: Path, is_clean: bool, commit: str | None
) -> None:
    loaded_run = load_run(made_run(tmp_path))
    checkout = Checkout(commit="d" * 40, clean=is_clean)
    known = replace(loaded_run, plan=replace(loaded_run.plan, checkout=checkout))
    assert export_values(known).commit == commit
    assert export_values(known, COMMIT).commit == COMMIT


def test_bencher_takes_it(run: ExportedRun) -> None:
    metrics = loaded(export_files("bencher", [run]), "bencher.json")
    require_schema(metrics, "bmf.schema.json")
    rate = metrics["int8_smart"]["images_per_s_batch_100"]
    assert rate["lower_value"] < rate["value"] < rate["upper_value"]
    assert metrics["fp32"]["top1"] == {"value": 0.9}


def test_github_action_benchmark_takes_it(run: ExportedRun) -> None:
    files = export_files("github-action", [run])
    smaller = loaded(files, "customSmallerIsBetter.json")
    bigger = loaded(files, "customBiggerIsBetter.json")
    for entries in (smaller, bigger):
        require_schema(entries, "github_action.schema.json")
    names = [{entry["name"] for entry in entries} for entries in (smaller, bigger)]
    assert "fp32 cost_s" in names[0] and "fp32 images_per_s_batch_1" in names[1]
    assert not names[0] & names[1] and len(smaller) + len(bigger) == len(run.values)
    assert {entry["unit"] for entry in bigger} == {"images/s", "1"}


def test_otava_gets_a_series_a_row(run: ExportedRun) -> None:
    third = replace(later(run, 3), values=tuple(v for v in run.values if v.method != "int8_mse"))
    files = export_files("otava", [later(run, 2), third, later(run, 1)])
    tests = yaml.safe_load(files["otava.yaml"])["tests"]
    assert set(files) == {"otava.yaml", *(test["file"] for test in tests.values())}
    rows = list(csv.DictReader(io.StringIO(files["fp32.csv"].decode())))
    assert [row["run"] for row in rows] == ["day01", "day02", "day03"]
    assert len(files["int8_mse.csv"].splitlines()) == 3
    metrics = tests["fp32"]["metrics"]
    assert metrics["cost_s"]["direction"] == -1 and metrics["top1"]["direction"] == 1
    assert set(metrics) <= set(rows[0]) and all(float(rows[0][name]) >= 0 for name in metrics)


def test_a_series_is_of_runs_that_were_measured_alike(run: ExportedRun) -> None:
    other = replace(later(run, 1), plan=replace(later(run, 1).plan, images=500))
    with pytest.raises(InputError, match=r"run day01 was not measured as run made was.*500"):
        export_files("otava", [run, other])
    with pytest.raises(InputError, match=r"run day01 was not measured as run made was.*500"):
        export_files("asv", [run, other])
    assert export_files("asv", [run, replace(other, machine="other")])  # a line of its own
    with pytest.raises(InputError, match="machine: machine, other"):
        export_files("otava", [run, replace(later(run, 1), machine="other")])


def test_conbench_gets_a_result_a_value_and_failed_rows_as_errors(run: ExportedRun) -> None:
    results = [
        json.loads(line) for line in export_files("conbench", [run])["conbench.ndjson"].splitlines()
    ]
    assert [one["error"] for one in results if "error" in one] == [
        {"outcome": "no solution in 3 trials"}
    ]
    units = {one["stats"]["unit"] for one in results if "stats" in one}
    assert units == {"s", "ms", "%", "i/s"}
    assert len({json.dumps(one["tags"], sort_keys=True) for one in results}) == len(results)


def test_prometheus_gets_base_units(run: ExportedRun) -> None:
    text = export_files("openmetrics", [run])["inc_bench.prom"].decode()
    assert text.endswith("# EOF\n")
    labels = 'machine="machine",workload="made",method="fp32"'
    assert f"inc_bench_top1_ratio{{{labels}}} 0.9\n" in text
    (p50,) = [v for v in run.values if v.method == "fp32" and v.name == "p50_ms_batch_1"]
    assert f'inc_bench_p50_seconds{{{labels},batch_size="1"}} {p50.value * 1e-3!r}\n' in text
    assert 'inc_bench_row_ok{machine="machine",workload="made",method="int8_bayesian"} 0.0' in text


def test_labels_of_prometheus_are_escaped(run: ExportedRun) -> None:
    odd = replace(run, machine='a "b" \\ c\nd')
    text = export_files("openmetrics", [odd])["inc_bench.prom"].decode()
    assert r'machine="a \"b\" \\ c\nd"' in text


def test_asv_needs_a_commit(run: ExportedRun) -> None:
    with pytest.raises(InputError, match="give commit=HASH"):
        export_files("asv", [replace(run, commit=None)])
    files = export_files("asv", [run, later(run, 1)])
    results = loaded(files, f"results/machine/{COMMIT[:8]}-inc-bench.json")
    assert results["commit_hash"] == COMMIT and results["version"] == 2
    assert "results/machine/00000000-inc-bench.json" in files
    assert "top1" not in loaded(files, "results/benchmarks.json")


def test_one_run_a_folder_where_a_format_has_no_series(run: ExportedRun) -> None:
    with pytest.raises(InputError, match="use one of otava, conbench, asv"):
        export_files("bencher", [run, run])
    with pytest.raises(InputError, match="did you mean bencher"):
        export_files("benchr", [run])


def test_the_verb_proposes_the_formats_there_are() -> None:
    assert sorted(verb.FORMATS) == sorted((*FORMATS, LIST))


def test_the_verb_writes_and_lists(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made_run(tmp_path)
    place = f"run.results={tmp_path}"
    assert main(["export", place]) == 0
    listed = capsys.readouterr().out
    assert [line.split()[0] for line in listed.splitlines()] == list(FORMATS)
    assert main(["export", "made", "format=bencher", place]) == 0
    (path,) = capsys.readouterr().out.split()
    assert Path(path) == tmp_path / "exports" / "bencher" / "made" / "bencher.json"
    assert main(["export", "made", "format=bencher", "to=-", place]) == 0
    assert capsys.readouterr().out == Path(path).read_text()
    assert main(["export", "made", "format=otava", "to=-", place]) == 2
    assert "give to=FOLDER" in capsys.readouterr().err
