"""What is read back from disk is held to its form: nothing damaged or made up becomes a number."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import HarnessError
from harness.facts.machine_facts import Instance, Machine
from harness.facts.typed import changed, decode
from harness.host import machine
from harness.nightly.entry import build_entry
from harness.storage.plan import Checkout, RunPlan
from harness.storage.record import MethodRecord
from harness.storage.store import RunFolder
from harness.table.loaded_run import load_run
from helpers.other_machine import edit
from helpers.sample_run import made_run


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return made_run(tmp_path, rounds=2)


def put(*keys: Any, value: Any) -> Callable[[Any], None]:
    """Return a change of one value, by the keys that lead to it."""

    def change(stored: Any) -> None:
        for key in keys[:-1]:
            stored = stored[key]
        stored[keys[-1]] = value

    return change


@pytest.mark.parametrize(
    ("keys", "value", "said"),
    [
        (("validate", "forward_s", 3), -0.1, r"validate\.forward_s\[3\] is -0\.1, expected a time"),
        (("validate", "forward_s", 3), float("nan"), r"forward_s\[3\] is nan"),
        (("validate", "validation_s"), float("inf"), r"validation_s is inf"),
        (("validate", "validation_s"), "30", r"validation_s is '30'"),
        (("validate", "validation_s"), True, r"validation_s is True"),
        (("validate", "validation_s"), 10**400, r"validation_s is 1000"),
        (("validate", "validation_s"), 0.5, r"less than forward_s sums to"),
        (("validate", "data_s"), [0.1], r"times of \[1, 10\] batches"),
        (("validate", "batch_size"), 0, r"batch_size is 0, expected a whole number of at least 1"),
        (("validate", "predictions", "path"), "../../secret.npz", r"path is '\.\./\.\./secret"),
        (("validate", "predictions", "sha256"), "short", r"sha256 is 'short', expected 64"),
        (("optimize", "cost_s"), None, r"optimize\.cost_s is None"),
        (("optimize",), None, r"optimize or validate is missing"),
        (("outcome", "kind"), "fine", r"outcome\.kind is 'fine'"),
        (("outcome", "log"), "/etc/passwd", r"outcome\.log is '/etc/passwd', expected a path"),
        (("method",), "../fp32", r"method is '\.\./fp32', expected a plain name"),
        (("label",), ["fp32"], r"label is \['fp32'\], expected a text"),
        (("profile", "rows", 0, "ms"), -1, r"profile\.rows\[0\]\.ms is -1"),
    ],
)
def test_record_that_cannot_be(run: RunFolder, keys: Any, value: Any, said: str) -> None:
    edit(run.path / "records" / "00_fp32.json", put(*keys, value=value))
    for read in (load_run, build_entry):
        with pytest.raises(HarnessError, match=rf"00_fp32\.json is no method record .*{said}"):
            read(run)


def test_search_without_a_count_of_trials(run: RunFolder) -> None:
    edit(run.path / "records" / "05_int8_bayesian.json", put("outcome", "trials", value=None))
    with pytest.raises(HarnessError, match=r"outcome\.trials is missing"):
        load_run(run)


def test_rounds_that_timed_another_number_of_batches(run: RunFolder) -> None:
    path = run.path / "rounds" / "002_fp32_1.json"
    edit(path, lambda stored: stored["facts"]["timed"][0]["forward_s"].pop())
    with pytest.raises(
        HarnessError, match=r"002_fp32_1\.json timed 19 batches of 100, other .* 20"
    ):
        load_run(run)


@pytest.mark.parametrize(
    ("keys", "value", "said"),
    [
        (("images",), 0, r"images is 0"),
        (("config", "protocol", "rounds"), -1, r"config\.protocol\.rounds is -1"),
        (
            ("config", "method"),
            {"../x": {"label": "x", "_target_": "x"}},
            r"a key of config\.method is ",
        ),
        (("config", "method"), {"x": {"label": "x"}}, r"config\.method\.x\._target_ is missing"),
        (("files"), {"rec": {"path": "x"}}, r"files\.rec\.sha256 is missing"),
        (("threads", "environment"), {"A": 1}, r"threads\.environment is "),
        (("threads", "asked"), {"policy": "tbb"}, r"threads\.asked\.policy is 'tbb', expected omp"),
        (
            ("machine", "cores"),
            "2",
            r"machine\.cores is '2', expected a whole number of at least 0",
        ),
        (("machine", "usable_cores"), 0, r"machine\.usable_cores is 0"),
        (("machine", "allowed_cpus"), [0, -1], r"machine\.allowed_cpus\[1\] is -1"),
        (("machine", "ec2"), {"region": 1}, r"machine\.ec2\.region is 1, expected a text"),
        (("versions",), {"mxnet": "2"}, r"versions\.neural-compressor is missing"),
        (("more",), 1, r"more is no key of a plan"),
    ],
)
def test_plan_that_cannot_be(run: RunFolder, keys: Any, value: Any, said: str) -> None:
    edit(run.path / "plan.json", put(*([keys] if isinstance(keys, str) else keys), value=value))
    with pytest.raises(HarnessError, match=rf"plan\.json is no plan \({said}"):
        run.load_plan()


def test_labels_of_another_number_of_images(run: RunFolder) -> None:
    edit(run.path / "plan.json", put("images", value=999))
    with pytest.raises(HarnessError, match=r"(labels|predictions)\.np[yz].*expected 999"):
        load_run(run)


def test_json_that_is_nested_too_deeply(run: RunFolder) -> None:
    (run.path / "plan.json").write_text("[" * 100_000 + "]" * 100_000)
    with pytest.raises(
        HarnessError, match=r"plan\.json cannot be read \(it is nested too deeply\)"
    ):
        run.load_plan()


def test_other_keys_may_be_there_and_old_records_lack_some(run: RunFolder) -> None:
    path = run.path / "records" / "00_fp32.json"
    stored = json.loads(path.read_text())
    stored["validate"]["more"] = [{"of": "a later version"}]
    stored.pop("history", None)
    stored["snapshot"] = {"of": "an earlier version"}
    assert MethodRecord.from_dict(stored, path).validate is not None
    path.write_text(json.dumps(stored))
    assert load_run(run).rows[0].validation_s == 30.0


def test_a_plan_is_written_as_it_was_read(run: RunFolder) -> None:
    path = run.path / "plan.json"
    stored = json.loads(path.read_text())
    stored["machine"] = {"of": "a later version", **stored["machine"], "ec2": {"zone": 1}}
    stored["versions"]["numpy"] = None
    stored["files"] = {"rec": {"path": "/x.rec", "inode": 7, "sha256": "0" * 64}}
    stored["threads"]["asked"] = {"policy": "omp", "chunk": "later"}
    plan = RunPlan.from_dict(stored, path)
    assert json.dumps(plan.as_dict()) == json.dumps(stored)
    assert plan.machine.ec2 == Instance() and plan.files["rec"].bytes is None
    assert plan.checkout is None and plan.packages is None  # of before they were kept


def test_a_plan_keeps_its_commit_and_its_packages(run: RunFolder) -> None:
    path = run.path / "plan.json"
    stored = json.loads(path.read_text())
    stored["checkout"] = {"commit": "0a" * 20, "clean": False}
    stored["packages"] = {"numpy": "1.26.4"}
    plan = RunPlan.from_dict(stored, path)
    assert plan.checkout == Checkout(commit="0a" * 20, clean=False)
    assert plan.packages == {"numpy": "1.26.4"}
    assert plan.as_dict() == stored
    stored["checkout"]["commit"] = "HEAD"
    with pytest.raises(HarnessError, match=r"checkout\.commit is 'HEAD', expected a commit's id"):
        RunPlan.from_dict(stored, path)


def test_what_is_not_known_of_a_machine_is_written_as_null(tmp_path: Path) -> None:
    described = machine.describe(tmp_path, affinity=[0], ec2=Instance(reason="not on EC2"))
    written = json.loads(json.dumps(described.stored))
    assert written["cpu_model"] is None and written["cpu_quota"] is None
    reasons = [value for value in written["ec2"].values() if value is not None]
    assert reasons == ["not on EC2"]
    assert decode(written, Machine) == described


def test_what_is_not_read_is_written_again(run: RunFolder) -> None:
    path = run.path / "records" / "00_fp32.json"
    stored = json.loads(path.read_text())
    stored["later"] = {"of": "a later version"}
    stored["others"] = 1
    stored["optimize"]["quantization"] = {"own": [1, 2.0]}
    stored["validate"]["predictions"]["later"] = "kept"
    stored["validate"]["more"] = {"deep": [{"down": None}]}
    stored["history"] = {"path": "tuning_history.jsonl", "sha256": "0" * 64, "later": 1}
    record = MethodRecord.from_dict(stored, path)
    again = json.loads(json.dumps(record.as_dict()))
    assert again == stored
    for stage in ("optimize", "validate", "profile"):
        assert json.dumps(again[stage]) == json.dumps(stored[stage])  # keys in their order
    assert record.optimize is not None
    reused = changed(record.optimize, reused_from="old")
    assert list(reused.stored) == ["reused_from", *stored["optimize"]]
    assert reused.stored["quantization"] == {"own": [1, 2.0]}
