"""Exports are read by the programs that they are for.

prometheus-client is among the packages of the tests. The others are not, since their NumPy excludes
MXNet's: INC_BENCH_READERS names an environment of ``requirements/readers.lock`` (docs/development.md).
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from harness.export.exported_run import ExportedRun, export_values
from harness.export.formats import export_files
from harness.table.loaded_run import load_run
from helpers.exported_runs import later, write_files
from helpers.sample_run import made_run
from helpers.server_records import as_server, searched

READERS = "INC_BENCH_READERS"
DOUBLED = ("validation_s", "images_per_s_batch_1", "queries_per_s")
STEP = [1.0, 1.01, 0.99, 1.0, 1.01, 0.99, 1.0, 1.01, 2.0, 2.01, 1.99, 2.0, 2.01, 1.99, 2.0, 2.01]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> ExportedRun:
    """Return a run with all that is exported: a sweep of batch sizes, and a rate of queries."""
    folder = made_run(tmp_path_factory.mktemp("results"), sweep=(1,))
    as_server(folder)
    folder.save(searched("fp32"))
    return export_values(load_run(folder))


@pytest.fixture
def readers() -> Path:
    """Return the folder of the programs of the readers' environment; skip without one."""
    named = os.environ.get(READERS)
    if not named:
        pytest.skip(f"{READERS} names no environment of requirements/readers.lock")
    return Path(named) / "bin"


def printed(command: list[str | Path], folder: Path, **variables: str) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    "parser", ["prometheus_client.openmetrics.parser", "prometheus_client.parser"]
)
def test_prometheus_reads_both_of_its_formats(run: ExportedRun, parser: str) -> None:
    """As OpenMetrics, and as the older text that node_exporter's textfile collector reads."""
    module = pytest.importorskip(parser, reason="prometheus-client is not installed here")
    text = export_files("openmetrics", [run])["inc_bench.prom"].decode()
    families = {one.name: one for one in module.text_string_to_metric_families(text)}
    assert {one.type for one in families.values()} == {"gauge"}
    samples = [sample for one in families.values() for sample in one.samples]
    assert all(sample.timestamp is None for sample in samples)
    values = [sample for sample in samples if not sample.name.startswith("inc_bench_r")]
    ends = sum(2 for value in run.values if value.low is not None)
    assert len(values) == len(run.values) + ends
    top1 = {
        sample.labels["method"]: sample.value for sample in families["inc_bench_top1_ratio"].samples
    }
    assert top1["int8_mse"] == 0.899
    (rate,) = families["inc_bench_queries_per_second"].samples
    assert (rate.labels["method"], rate.value) == ("fp32", 40.0)
    (told,) = families["inc_bench_run"].samples
    assert told.labels["run"] == "made"


@pytest.mark.slow
def test_otava_finds_a_step_in_its_series(run: ExportedRun, tmp_path: Path, readers: Path) -> None:
    runs = [later(run, day, factor) for day, factor in enumerate(STEP)]
    write_files(export_files("otava", runs), tmp_path)
    otava = [readers / "otava"]
    listed = printed([*otava, "list-tests", "--config-file", "otava.yaml"], tmp_path)
    assert set(listed.split()) == {value.method for value in run.values}
    command = [*otava, "analyze", "fp32", "--config-file", "otava.yaml", "--since", "2025-12-01"]
    said = printed([*command, "--output", "json"], tmp_path)
    found, _ = json.JSONDecoder().raw_decode(said[said.index("{") :])
    (point,) = found["fp32"]
    assert point["attributes"]["run"] == "day08"
    changes = {change["metric"]: change["forward_change_percent"] for change in point["changes"]}
    assert {changes[name] for name in DOUBLED} == {"100"}


@pytest.mark.slow
def test_asv_publishes_its_results(run: ExportedRun, tmp_path: Path, readers: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false")
    commits = []
    printed(["git", "init", "-q"], repository)
    for number in range(3):
        message = f"commit {number}"
        printed(["git", *identity, "commit", "-q", "--allow-empty", "-m", message], repository)
        commits.append(printed(["git", "rev-parse", "HEAD"], repository).strip())
    runs = []
    for day, commit in enumerate(commits):
        one = later(run, day, 1 + day)
        runs.append(ExportedRun(**{**vars(one), "commit": commit}))
    files = export_files("asv", runs)
    configuration = json.loads(files["asv.conf.json"])
    files["asv.conf.json"] = json.dumps({**configuration, "repo": str(repository)}).encode()
    write_files(files, tmp_path / "asv")
    script = (
        "import json; from asv.results import iter_results\n"
        "for one in sorted(iter_results('results'), key=lambda one: one.date):\n"
        "    names = sorted(one.get_all_result_keys())\n"
        "    values = one.get_result_value('cost_s', one.get_result_params('cost_s'))\n"
        "    print(json.dumps([one.commit_hash, names, values]))"
    )
    lines = printed([readers / "python", "-c", script], tmp_path / "asv").splitlines()
    loaded = [json.loads(line) for line in lines if line.startswith("[")]
    assert [commit for commit, _, _ in loaded] == commits
    assert all("p50_ms_batch_1" in names for _, names, _ in loaded)
    larger_is_better = {"top1", "queries_per_s", "images_per_s_batch_1"}  # asv has no such
    assert not any(larger_is_better & {*names} for _, names, _ in loaded)
    costs = [v.value for v in runs[1].values if v.name == "cost_s"]
    assert loaded[1][2] == costs
    printed([readers / "asv", "publish", "--no-pull"], tmp_path / "asv")
    index = json.loads((tmp_path / "asv" / "html" / "index.json").read_text())
    assert set(index["benchmarks"]) == set(loaded[0][1])
    graphs = [
        p
        for p in (tmp_path / "asv" / "html" / "graphs").rglob("cost_s.json")
        if "machine-machine" in str(p)
    ]
    assert graphs and len(json.loads(graphs[0].read_text())) == 3


CONBENCH = """
import json, sys
import conbench.entities.benchmark_result as results
from benchadapt import BenchmarkResult

schema = results.BenchmarkResultFacadeSchema.create
for line in open("conbench.ndjson"):
    published = BenchmarkResult(**json.loads(line)).to_publishable_dict()
    assert published.pop("run_tags") == {}  # of clients that are newer than the server
    wrong = schema.validate(json.loads(json.dumps(published)))
    assert not wrong, (line, wrong)
    print(json.dumps(published["tags"]))
"""
SERVER = {  # conbench reads its server's settings as it is imported, and reaches no server
    **dict.fromkeys(("DB_HOST", "DB_NAME", "DB_USERNAME", "DB_PASSWORD", "SECRET_KEY"), "none"),
    "DB_PORT": "1",
    "REGISTRATION_KEY": "none",
    "CONBENCH_INTENDED_BASE_URL": "http://localhost/",
    "CONBENCH_PROJECT_REPOSITORY": "https://github.com/org/repo",
    "CONBENCH_PROJECT_COMMIT": "c" * 40,
}


@pytest.mark.slow
def test_conbench_takes_every_result(run: ExportedRun, tmp_path: Path, readers: Path) -> None:
    """By its client, then by the schema of its server's endpoint."""
    files = export_files("conbench", [run])
    write_files(files, tmp_path)
    said = printed([readers / "python", "-c", CONBENCH], tmp_path, **SERVER)
    tags = [line for line in said.splitlines() if line.startswith("{")]
    assert len(tags) == len(files["conbench.ndjson"].splitlines())
    assert {"queries_per_s"} <= {json.loads(line)["name"] for line in tags}
