"""What the table says under itself: why a speedup is large, what was disturbed, what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from harness.facts.typed import changed, decode
from harness.storage.outcomes import Kind
from harness.storage.record import MethodRecord, Outcome, RoundRecord
from harness.storage.stage_facts import Optimize
from harness.table.notes.footnotes import decisive_notes, footnotes
from harness.table.rows import build_rows
from harness.table.samples import samples_of
from helpers.sample_records import FILE, LABELS, LOAD, measured, plan, predicted, timed


def profile(*rows: tuple[str, str, str, float]) -> dict[str, Any]:
    """Return a profile of (kind, implementation, dtype, ms)."""
    return {
        "total_ms": sum(row[3] for row in rows),
        "rows": [
            {"kind": k, "implementation": i, "isa": "", "dtype": d, "count": 1, "ms": ms}
            for k, i, d, ms in rows
        ],
        "batches": 1,
        "images": 100,
        "wall_ms": 200.0,
        "malformed": 0,
        "cpu_isa": "",
        "seconds": 1.0,
        "peak_rss_bytes": 1,
    }


RESUMING = "./run.sh nightly run.id=r"
MODEL = {"cost_s": 9.0, "symbol": FILE, "params": FILE, "disturbed": []}
CONVOLVING = ("convolution", "brgconv:avx512_core", "f32:f32:f32", 10.0)
ADDING = ("binary", "ref:any", "f32:f32", 90.0)


def notes(records: list[MethodRecord], timings: Sequence[RoundRecord] = (), **protocol: Any) -> str:
    made = plan(**protocol)
    samples = samples_of(timings).get(100, {}) if protocol.get("rounds") else None
    rows = build_rows(records, samples, lambda r: predicted(0.8, 0.9), LABELS, "fp32", "fp32_fused")
    return "\n".join(footnotes(made, records, timings, rows, RESUMING))


def test_a_large_speedup_is_explained_by_the_baselines_own_profile() -> None:
    said = notes(
        [
            measured("fp32", 40.0, profile=profile(CONVOLVING, ADDING)),
            measured("fp32_fused", 4.0, profile=profile(CONVOLVING)),
        ]
    )
    assert "fp32: 90 % of oneDNN's time in its reference implementation binary,ref:any" in said
    assert "residual additions" in said
    # 90 of 100 ms in oneDNN, which had half of the 200 ms
    assert (
        "fp32 spends 45 % of its time in slow reference kernels of this MXNet. Without them it would "
        "be 1.8 times as fast." in said
    )
    assert 'Compare by "vs fused", or measure with mxnet_additions=repaired' in said
    assert "fp32_fused:" not in said


def test_a_row_of_another_engine_is_told_of_in_that_engines_words() -> None:
    of_engine = {**profile(CONVOLVING, ADDING), "engine": "OpenVINO"}
    said = notes([measured("fp32", 40.0, profile=of_engine)])
    assert "fp32: 90 % of OpenVINO's time in its reference implementation binary,ref:any" in said
    assert "oneDNN" not in said and "this MXNet" not in said


def test_shares_of_pytorch_are_said_to_be_of_onednn_alone() -> None:
    of_pytorch = {**profile(CONVOLVING), "engine": "PyTorch"}
    said = notes(
        [measured("one", 40.0, profile=of_pytorch), measured("two", 4.0, profile=of_pytorch)]
    )
    assert said.count("shares of PyTorch's rows are of their time in oneDNN alone") == 1
    assert "oneDNN alone" not in notes([measured("one", 40.0, profile=profile(CONVOLVING))])


def test_without_reference_kernels_nothing_is_explained_away() -> None:
    said = notes([measured("fp32", 40.0, profile=profile(CONVOLVING)), measured("int8", 1.0)])
    assert "reference" not in said
    assert "protocol.profile_batches=0): int8" in said


def test_disturbances_are_counted_and_come_with_advice() -> None:
    rounds = [
        timed("fp32", 1, [1.0] * 10, disturbed=[LOAD]),
        timed("fp32", 1, [1.0] * 10, attempt=2),
        timed("fp32", 2, [1.0] * 10, disturbed=[LOAD]),
        timed("fp32", 2, [1.0] * 10, attempt=2, disturbed=[{**LOAD, "value": 0.3}]),
    ]
    said = notes([measured("fp32", 10.0)], rounds, rounds=2)
    assert "3 of 4 timings in the rounds were disturbed" in said
    assert "and 1 had to count all the same" in said
    assert "core_load up to 0.3 (limit 0.05) at fp32: close what else runs." in said
    assert "disturbed" not in notes([measured("fp32", 10.0)], [rounds[1]], rounds=1)


def test_a_disturbed_validation_pass_says_so() -> None:
    said = notes([measured("fp32", 10.0, disturbed=[LOAD])])
    assert (
        "Validation pass: core_load up to 0.4 (limit 0.05) at fp32: close what else runs." in said
    )


def test_the_short_notes_name_disturbed_stages_and_crowded_threads() -> None:
    faults = {**LOAD, "kind": "major_faults", "value": 19, "limit": 10}
    records = [
        measured("fp32", 10.0, disturbed=[LOAD, faults]),
        measured("int8", 1.0, disturbed=[{**LOAD, "value": 0.1}]),
        replace(
            measured("full", 1.0),
            optimize=decode({**MODEL, "disturbed": [{**LOAD, "value": 0.9}]}, Optimize),
        ),
    ]
    crowded, other = "64 threads on 2 usable core(s): threads will wait", "another warning"
    made = replace(
        plan(),
        threads=changed(plan().threads, warnings=[crowded]),
        warnings=(crowded, other),
    )
    rows = build_rows(records, None, lambda r: predicted(0.8, 0.9), LABELS, "fp32", "fp32_fused")
    assert decisive_notes(made, records, [], rows, RESUMING) == [
        crowded,
        "2 of 3 passes and 1 of 3 optimisations were disturbed (core_load up to 0.9, limit 0.05; "
        "major_faults up to 19, limit 10); table full=true says by what.",
    ]
    assert decisive_notes(plan(), [measured("fp32", 10.0)], [], rows[:1], RESUMING) == []


def test_wide_intervals_and_unsettled_warmups_come_with_advice() -> None:
    rng = np.random.default_rng(0)
    rounds = [
        timed("fp32", n, rng.uniform(0.5, 1.5) * np.ones(10), settled=n > 1) for n in range(1, 4)
    ]
    said = notes([measured("fp32", 10.0)], rounds, rounds=3)
    assert "Known to no better than 5 %" in said
    assert "protocol.rounds=" in said
    assert "before the times had settled, in at least one round of fp32: raise" in said


def test_reused_models_are_named_with_the_run_they_are_from() -> None:
    reused = replace(
        measured("int8", 1.0, label="int8 tuned"),
        optimize=decode({**MODEL, "reused_from": "old"}, Optimize),
    )
    assert "goes on" not in notes([measured("fp32", 10.0), reused])
    unsolved = MethodRecord("old", "b", "bayesian", 1, Outcome("no solution", "why", None, 5))
    said = notes([measured("fp32", 10.0), reused, unsolved])
    assert (
        "taken over, with their costs, from run old (run.reuse_tuned): int8 tuned, bayesian" in said
    )


def test_a_failed_row_has_no_kernels_to_explain() -> None:
    failed = replace(
        measured("int8", 1.0, profile=profile(ADDING)), outcome=Outcome("failed", "killed")
    )
    assert "reference" not in notes([failed])


def test_what_makes_costs_lower_than_the_tutorials_is_said() -> None:
    quantised = {**MODEL, "quantization": {"calib_mode": "naive"}}
    made = replace(measured("int8", 1.0), optimize=decode(quantised, Optimize))
    assert "Costs are below those of the tutorial's calls" in notes([measured("fp32", 10.0), made])
    assert "tutorial's calls" not in notes([measured("fp32", 10.0)])


def test_rounds_that_are_still_to_be_measured_are_named() -> None:
    rounds = [timed("fp32", 1, [1.0] * 10)]
    said = notes([measured("fp32", 10.0), measured("int8", 1.0)], rounds, rounds=3)
    assert (
        "Not all 3 rounds were measured yet: fp32 (1), int8 (0); ./run.sh nightly run.id=r goes on"
        in said
    )


@pytest.mark.parametrize("kind", ["interrupted", "failed", "timeout"])
def test_a_row_that_is_not_finished_says_how_to_go_on(kind: Kind) -> None:
    half = MethodRecord("r", "int8", "int8 full", 1, Outcome(kind))
    records = [measured("fp32", 10.0), half]
    rows = build_rows(records, None, lambda r: predicted(0.8, 0.9), LABELS, "fp32", "fp32_fused")
    said = f"Not finished: int8 full ({kind}). To go on type {RESUMING}"
    assert said in footnotes(plan(), records, [], rows, RESUMING)
    assert decisive_notes(plan(), records, [], rows, RESUMING) == [said]
    assert rows[1].cost_s is None
    three = {name: {"_target_": "made.row", "label": name} for name in ("fp32", "int8", "other")}
    planned = replace(plan(), config=changed(plan().config, method=three))
    (said,) = decisive_notes(planned, records, [], rows, RESUMING)
    assert f"int8 full ({kind}), 1 row without a record yet. To" in said


def test_mcnemar_is_adjusted_for_the_number_of_rows() -> None:
    best = {"fp32": predicted(0.8, 0.9), **{f"m{n}": predicted(0.8, 0.9) for n in range(8)}}
    best["m0"] = predicted(0.795, 0.9)  # five images lost, none won: p = 1 / 32
    records = [measured(name, 10.0) for name in best]
    for rows, named in ((2, True), (9, False)):
        made = build_rows(records[:rows], None, lambda r: best[r.method], LABELS, "fp32", "x")
        assert made[1].mcnemar_p is not None and made[1].mcnemar_p < 0.05
        said = "\n".join(footnotes(plan(), records[:rows], [], made, RESUMING))
        assert ("McNemar" in said) is named


def test_brief_rounds_are_said_to_be_brief() -> None:
    rounds = [timed("fp32", n, [0.001] * 10, seconds=0.01) for n in (1, 2)]
    said = notes([measured("fp32", 10.0)], rounds, rounds=2)
    assert "too brief to see every disturbance in; raise protocol.batches for fp32" in said


def test_what_is_kept_out_of_int8_is_told_with_its_place_in_the_network() -> None:
    place = {
        "kind": "BatchNorm",
        "layer": "features.5.0.bn1",
        "behind": ["sg_onednn_conv_bn_act_0 (features.1)"],
        "feeds": ["node_6 (features.5.0)"],
    }

    def row(names: list[str], **facts: Any) -> MethodRecord:
        quantization = {"excluded_operators": names, **facts}
        optimize = decode({**MODEL, "quantization": quantization}, Optimize)
        return replace(measured("int8", 1.0), optimize=optimize)

    said = notes([measured("fp32", 10.0), row(["node_5"], excluded_are={"node_5": place})])
    assert (
        "int8 keeps out of int8: node_5: BatchNorm in features.5.0.bn1, behind "
        "sg_onednn_conv_bn_act_0 (features.1), feeds node_6 (features.5.0)." in said
    )
    many = {f"node_{n}": place for n in range(6)}
    assert "; and 2 more." in notes([row(list(many), excluded_are=many)])
    assert "keeps out" not in notes([row(["node_5"])]), "of a run of before they were described"
