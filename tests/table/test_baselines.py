"""Speedups over both baselines beside the published ones."""

from __future__ import annotations

from typing import Any

import pytest

from harness.storage.method_options import AS_RELEASED, FUSED, REPAIRED, UNOPTIMIZED
from harness.storage.plan import RunPlan
from harness.table.published.baselines import speedup_note, speedups, verdict
from harness.table.published.reference import read_published
from harness.table.rows import Row
from helpers import sample_records

SECONDS = {"fp32": 20.0, "second": 100.0, "fp32_fused": 10.0, "int8_full_naive": 2.5}


def planned(additions: str | None, second: str, **targets: str) -> RunPlan:
    kinds = {"fp32": UNOPTIMIZED, "second": second, **targets}
    methods: dict[str, Any] = {
        name: {"label": name, "_target_": kinds.get(name, FUSED)} for name in SECONDS
    }
    return sample_records.configured(
        sample_records.plan(), method=methods, mxnet_additions=additions
    )


def rows(**seconds: float | None) -> list[Row]:
    return [Row(name, name, "ok", validation_s=s) for name, s in {**SECONDS, **seconds}.items()]


def test_each_published_row_has_its_speedup_over_both_baselines() -> None:
    fused, naive = speedups(planned("repaired", AS_RELEASED), rows(), read_published)
    assert (fused.method, fused.published, fused.released, fused.repaired) == (
        "fp32_fused", 2.1, 10.0, 2.0
    )  # fmt: skip
    assert (naive.published, naive.released, naive.repaired) == (6.9, 40.0, 8.0)
    assert naive.ratios == pytest.approx((40 / 6.9, 8 / 6.9))
    first, second = speedup_note([fused, naive])
    assert (
        "fp32_fused 2.1 / 10.0 (4.76) / 2.0 (0.95); int8_full_naive 6.9 / 40.0 (5.80) / 8.0 (1.16)."
        in first
    )
    assert second.startswith("fp32 with repaired additions comes nearer")
    assert "nearer in 2 of 2 rows" in second


def test_in_a_run_as_released_the_roles_are_exchanged() -> None:
    exchanged = rows(fp32=100.0, second=20.0)
    repaired = speedups(planned("repaired", AS_RELEASED), rows(), read_published)
    assert speedups(planned(None, REPAIRED), exchanged, read_published) == repaired


def test_the_baseline_as_released_may_be_nearer() -> None:
    # a machine on which the reference kernel takes no time, and int8 little
    compared = speedups(
        planned("repaired", AS_RELEASED), rows(fp32=10.0, second=21.0), read_published
    )
    assert verdict(compared).startswith("fp32 with the additions as released comes nearer")
    assert "nearer in 0 of 2 rows" in verdict(compared)


def test_without_both_baselines_there_is_nothing_to_compare() -> None:
    assert not speedups(planned("repaired", AS_RELEASED), rows(second=None), read_published)
    assert not speedups(planned("repaired", FUSED), rows(), read_published)
    assert not speedups(planned(None, AS_RELEASED), rows(), read_published)
    assert list(speedup_note([])) == []
