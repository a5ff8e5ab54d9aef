"""Methods, models and INC strategies of the user's own, by configuration alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from helpers.command_line import ONE_THREAD, OWN, CommandLine, Ended, load

pytestmark = pytest.mark.slow


def test_own_method_class_makes_a_row(own_run: Ended) -> None:
    assert own_run.code == 0, own_run.err
    record = own_run.records["mine"]
    assert (record.label, str(record.outcome)) == ("mine", "ok")
    assert record.optimize is not None and record.validate is not None
    assert record.optimize.stored["quantization"] == {"decimals": 2}
    assert record.validate.images == 64
    assert "| mine " in own_run.out


def test_own_strategy_searches_with_its_options(own_run: Ended) -> None:
    record = own_run.records["int8_kl"]
    assert str(record.outcome) == "ok"
    assert record.optimize is not None
    made = record.optimize.stored["quantization"]
    assert made["strategy"] == "my_strategy.MyKLTuneStrategy"
    assert (made["trials"], made["excluded_operators"]) == (1, [])
    assert len(made["kl_operators"]) > 5
    assert record.optimize.trajectory[0].changed == {"all": "11 x int8 kl"}


def test_own_workload_is_what_was_measured(own_run: Ended) -> None:
    plan = load(own_run.folder.path / "plan.json")
    assert plan["config"]["workload"]["name"] == "tiny"
    assert plan["images"] == 64
    assert own_run.out.startswith("# tiny: run ")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Return a copy of the user's folder."""
    return shutil.copytree(OWN, tmp_path / "own", ignore=shutil.ignore_patterns("__pycache__"))


@pytest.mark.parametrize(
    ("name", "before", "after", "said"),
    [
        ("mine", "my_method.Rounded", "my_missing.Rounded", "method.mine._target_=my_missing."),
        ("mine", "decimals:", "decimal:", "method 'mine': Rounded.__init__() got"),
        ("int8_kl", "my_strategy.MyKL", "my_missing.MyKL", "method.int8_kl.strategy=my_missing."),
    ],
)
def test_bad_row_is_refused_before_anything_is_measured(
    own: Path, cli: CommandLine, name: str, before: str, after: str, said: str
) -> None:
    path = own / "method" / f"{name}.yaml"
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    ended = cli(f"method=[fp32,{name}]", "workload=tiny", *ONE_THREAD, "--conf", str(own))
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert "optimising" not in ended.err
    assert not list(cli.results.glob("*/*/plan.json"))
