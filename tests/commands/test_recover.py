"""Models of single tuning trials come back, and are the ones that were tuned."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from harness.storage.store import HISTORY, RunFolder
from helpers.command_line import TINY, CommandLine, Ended, load, no_stray, same_after
from helpers.harmful_pickles import taken

pytestmark = pytest.mark.slow


def test_last_trial_predicts_as_recorded(smoke_run: Ended, cli: CommandLine) -> None:
    folder = cli.copy_of(smoke_run)
    inc = folder.method("int8_inc_mse")
    last = load(inc / "trajectory.json")[-1]
    assert last["trial"] == 2
    kept = same_after([*inc.iterdir(), *(folder.path / "records").iterdir()])

    ended = cli("recover", f"run={folder.id}", "method=int8_inc_mse", "trial=2")
    assert ended.code == 0, ended.err
    labels = np.load(folder.labels)[:32]
    tuned = np.load(inc / "trials.npz")["top1"]
    assert tuned.shape == (3, 32)  # fp32 and two trials
    assert last["accuracy"] == pytest.approx((tuned[2] == labels).mean())
    assert f"trial 2: top-1 {last['accuracy']:.4f} on the 32 tuning images" in ended.out
    assert "| int8 INC mse trial 2 |" in ended.out
    assert "| fp32 no optimization |" in ended.out

    # batches of validation are those of tuning here, so the first one's predictions are the trial's
    recovered = np.load(inc / "recovered_2" / "predictions.npz")["top"]
    assert recovered.shape == (128, 5)
    assert (recovered[:32, 0] == tuned[2]).all()
    assert (inc / "recovered_2" / "model-symbol.json").is_file()
    assert same_after(list(kept)) == kept, "what was measured stays as it was"


def test_other_predictions_are_noticed(smoke_run: Ended, cli: CommandLine) -> None:
    folder = cli.copy_of(smoke_run)
    trials = folder.method("int8_inc_mse") / "trials.npz"
    predicted = np.load(trials)["top1"]
    predicted[1, 17] = (predicted[1, 17] + 1) % 10
    np.savez_compressed(trials, top1=predicted)
    ended = cli("recover", f"run={folder.id}", "method=int8_inc_mse", "trial=1")
    assert (ended.code, ended.out) == (3, "")
    assert "the model of trial 1 predicts 1 of 32 tuning images otherwise" in ended.err
    assert "first: image 17" in ended.err
    no_stray(cli.results)


def test_unknown_trial_names_the_range(smoke_run: Ended, cli: CommandLine) -> None:
    folder = cli.copy_of(smoke_run)
    ended = cli("recover", f"run={folder.id}", "method=int8_inc_mse", "trial=3")
    assert (ended.code, ended.out) == (2, "")
    assert "trial=3" in ended.err
    assert "holds trials 1 .. 2" in ended.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["method=int8_inc_nosuch", "trial=1"], "has fp32, fp32_fused, int8_smart_naive"),
        (["method=fp32", "trial=1"], "method=fp32 has no tuning history"),
        (["method=int8_inc_mse", "trial=last"], "trial=last: use a whole number of at least 1"),
        (["method=int8_inc_mse", "trial=-1"], "trial=-1: use a whole number of at least 1"),
    ],
)
def test_what_cannot_be_recovered(
    smoke_run: Ended, cli: CommandLine, words: list[str], said: str
) -> None:
    folder = cli.copy_of(smoke_run)
    ended = cli("recover", f"run={folder.id}", *words)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err


# --- histories that are not the run's


def words(folder: RunFolder, trial: int = 1) -> tuple[str, ...]:
    return "recover", f"run={folder.id}", "method=int8_inc_mse", f"trial={trial}"


def record_of(folder: RunFolder) -> Path:
    (path,) = (folder.path / "records").glob("*_int8_inc_mse.json")
    return path


def test_changed_history_is_refused_and_nothing_runs(smoke_run: Ended, cli: CommandLine) -> None:
    folder = cli.copy_of(smoke_run)
    path, marker = folder.method("int8_inc_mse") / HISTORY, cli.results / "taken"
    assert load(record_of(folder))["history"]["path"] == path.name
    for content in (path.read_bytes() + b"\n", taken(marker)["system"]):
        path.write_bytes(content)
        ended = cli(*words(folder))
        assert (ended.code, ended.out) == (2, "")
        assert f"{path} cannot be read (it has changed since it was recorded)" in ended.err
    assert cli(*words(folder), "trust=true").code == 2
    assert not marker.exists()
    no_stray(cli.results)


def test_record_that_vouches_for_a_pickle_runs_nothing(smoke_run: Ended, cli: CommandLine) -> None:
    folder = cli.copy_of(smoke_run)
    path, marker = folder.method("int8_inc_mse") / HISTORY, cli.results / "taken"
    for content in taken(marker).values():
        path.write_bytes(content)
        stored = load(record_of(folder))
        stored["history"]["sha256"] = hashlib.sha256(content).hexdigest()
        record_of(folder).write_text(json.dumps(stored))
        ended = cli(*words(folder))
        assert (ended.code, ended.out) == (2, "")
        assert f"{path} cannot be read" in ended.err and "Traceback" not in ended.err
    assert not marker.exists()


def test_run_of_an_earlier_version_says_what_to_do(smoke_run: Ended, cli: CommandLine) -> None:
    folder = cli.copy_of(smoke_run)
    marker, method = cli.results / "taken", folder.method("int8_inc_mse")
    (method / HISTORY).unlink()
    content = taken(marker)["system"]
    (method / "history.snapshot").write_bytes(content)
    stored = load(record_of(folder))
    del stored["history"]
    stored["snapshot"] = {
        "path": "history.snapshot",
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    record_of(folder).write_text(json.dumps(stored))
    ended = cli(*words(folder))
    assert (ended.code, ended.out) == (2, "")
    assert "tuned by a version that left its history as a pickle" in ended.err
    assert ended.err.rstrip().endswith("measure the row again, in a new run")
    assert not marker.exists()
    assert cli("table", f"run={folder.id}").code == 0, "its record can still be read"


def test_history_of_a_record_that_was_lost(smoke_run: Ended, cli: CommandLine) -> None:
    """A power cut may take the record, which is written last."""
    folder = cli.copy_of(smoke_run)
    recorded = load(record_of(folder))["history"]
    record_of(folder).unlink()
    again = cli(f"run.id={folder.id}", *TINY[-2:])
    assert again.code == 0, again.err
    assert load(record_of(folder))["history"] == recorded


def test_trials_of_an_equalised_network_are_not_made_of_another(
    smoke_run: Ended, cli: CommandLine
) -> None:
    folder = cli.copy_of(smoke_run)
    plan = load(folder.path / "plan.json")
    method = plan["config"]["method"]["int8_inc_mse"]
    plan["config"]["method"]["int8_inc_mse"] = {
        "label": method.pop("label"),
        "_target_": "harness.methods.equalize.Equalized",
        "bias_correction": False,
        "method": method,
    }
    (folder.path / "plan.json").write_text(json.dumps(plan))
    ended = cli(*words(folder))
    assert ended.code == 2 and "its trials are of the equalised network" in ended.err


def test_history_that_no_record_vouches_for(smoke_run: Ended, cli: CommandLine) -> None:
    folder = cli.copy_of(smoke_run)
    stored = load(record_of(folder))
    del stored["history"]
    record_of(folder).write_text(json.dumps(stored))
    ended = cli(*words(folder))
    assert ended.code == 2 and "has no digest of it: measure the row again" in ended.err
