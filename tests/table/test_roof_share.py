"""The machine's roof: operations counted from shapes, shares of it, and a real measurement."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.facts.typed import decode, plain
from harness.run.measure_roof import fast_dtypes
from harness.storage.record import Outcome, RoofRecord
from harness.storage.stage_facts import Kernel, ProfileFacts, RoofFacts
from harness.table.kernels import Profile, parse
from harness.table.operations import count_macs
from harness.table.roof_share import (
    Peak,
    Share,
    kernel_facts,
    operations_per_image,
    roof_peaks,
    roof_share,
)
from helpers.command_line import CommandLine, Ended
from helpers.instruction_sets import LIMIT

CONVOLUTION = "mb16_ic256oc256_ih14oh14kh3sh1dh0ph1_iw14ow14kw3sw1dw0pw1"

# Of bundled ResNet50v2, a quarter of the published width, for 56 x 56 pixels: the first convolution,
# the four stages' bottlenecks (strides at their 3 x 3 convolutions), and the classes.
BUNDLED_MACS = 1_843_968 + 2_609_152 + 4_014_080 + 7_348_224 + 4_128_768 + 5_120


def line_of(
    problem: str = CONVOLUTION,
    source: str = "u8",
    implementation: str = "brgconv:avx512_core_vnni",
    ms: float = 4.0,
    kind: str = "convolution",
) -> str:
    types = f"src_{source}::blocked:acdb:f0 wei_s8::blocked:AcdB64a4b:f0 dst_s32::blocked:acdb:f0"
    head = f"onednn_verbose,exec,cpu,{kind},{implementation},forward_inference,{types}"
    return f"{head},attr-oscale:2 ,alg:convolution_direct,{problem},{ms}"


@pytest.mark.parametrize(
    ("kind", "problem", "macs"),
    [
        ("convolution", CONVOLUTION, 16 * 256 * 14 * 14 * 256 * 9),
        ("convolution", "mb1_ic3oc64_ih224oh112kh7sh2dh0ph3_iw224ow112kw7sw2dw0pw3", 118013952),
        # grouped: 32 groups of 4 channels, and depthwise
        ("convolution", "g32mb2_ic128oc128_ih7oh7kh3sh1dh0ph1_iw7ow7kw3sw1dw0pw1", 903168 // 2),
        ("convolution", "g64mb1_ic64oc64_ih8oh8kh3sh1dh0ph1_iw8ow8kw3sw1dw0pw1", 64 * 64 * 9),
        ("convolution", "mb2_ic4oc8_iw10ow8kw3sw1dw0pw0", 2 * 8 * 8 * 4 * 3),
        ("convolution", "mb1_ic1oc2_id4od2kd3sd1dd0pd0_ih4oh2kh3sh1dh0ph0_iw4ow2kw3sw1dw0pw0", 432),
        ("deconvolution", "mb1_ic2oc3_ih4oh8kh2sh2dh0ph0_iw4ow8kw2sw2dw0pw0", 2 * 3 * 16 * 4),
        ("inner_product", "mb1024ic2048oc2048", 1024 * 2048 * 2048),
        ("inner_product", "mb1ic512ih7iw7oc10", 512 * 49 * 10),
        ("matmul", "64x128:128x256:64x256", 64 * 128 * 256),
        ("matmul", "2x3x4:2x4x5:2x3x5", 2 * 3 * 4 * 5),
        ("matmul", "*x128:128x256:*x256", None),
        ("convolution", "2x3", None),
        ("convolution", "mb16_ic256oc256", None),
        ("inner_product", "", None),
        ("reorder", "16x256x14x14", None),
        ("pooling_v2", "mb64ic512_ih7oh1kh7sh7dh0ph0_iw7ow1kw7sw7dw0pw0", None),
        ("convolution", "mb" + "9" * 5000 + "ic1oc1iw1", None),
    ],
)
def test_operations_of_shapes(kind: str, problem: str, macs: int | None) -> None:
    assert count_macs(kind, problem) == macs


@given(st.text())
def test_shapes_that_are_none(problem: str) -> None:
    for kind in ("convolution", "inner_product", "matmul"):
        assert count_macs(kind, problem) is None


def test_a_profile_counts_and_keeps_operations() -> None:
    lines = [line_of(), line_of(), line_of("mb16ic8oc10", kind="inner_product", source="f32")]
    profile = Profile.of(lines, 1, 16, 0.0)
    assert [row.macs for row in profile.rows] == [2 * count_macs("convolution", CONVOLUTION), 1280]
    assert Profile.recorded(decode(plain(profile), ProfileFacts)) == profile
    one = count_macs("convolution", CONVOLUTION) or 0
    assert operations_per_image(profile) == {"int8": 2 * 2 * one / 16, "fp32": 2 * 1280 / 16}
    unread = Profile.of([*lines, line_of("2x3")], 1, 16, 0.0)
    assert unread.rows[0].macs is None
    assert operations_per_image(unread) is None
    older = plain(profile)
    for row in older["rows"]:
        del row["macs"]
    assert operations_per_image(Profile.recorded(decode(older, ProfileFacts))) is None


def peak(gops: float) -> Peak:
    return Peak(gops, gops, gops, "a kernel", "its shapes", 1)


def network(**macs: int) -> Profile:
    """Return a profile of one image with so many operations in each type."""
    rows = [Kernel("convolution", "x", "", dtype, 1, 1.0, count) for dtype, count in macs.items()]
    return Profile(1.0, tuple(rows), 1, 1, 1.0, 0)


@given(st.integers(1, 10**12), st.floats(0.01, 1e6), st.floats(0.1, 1e5))
def test_share_of_a_network_all_in_one_type(macs: int, rate: float, gops: float) -> None:
    share = roof_share(network(u8=macs), rate, {"int8": peak(gops)}).value
    assert share is not None
    assert math.isclose(share, 2 * macs * rate / (1e9 * gops), rel_tol=1e-9)


@given(st.integers(1, 10**9), st.integers(1, 10**9), st.floats(1, 1e4), st.floats(1, 1e4))
def test_a_network_that_needs_nothing_but_arithmetic_has_share_1(
    int8: int, fp32: int, fast: float, slow: float
) -> None:
    """Whatever the mix of types: each operator at the roof of its own."""
    seconds = 2 * int8 / (1e9 * fast) + 2 * fp32 / (1e9 * slow)
    peaks = {"int8": peak(fast), "fp32": peak(slow)}
    share = roof_share(network(s8=int8, f32=fp32), 1 / seconds, peaks).value
    assert share is not None and math.isclose(share, 1, rel_tol=1e-9)


@pytest.mark.parametrize(
    ("profile", "rate", "peaks", "reason"),
    [
        (network(u8=1), None, {"int8": peak(1)}, "no time"),
        (network(u8=1), 1.0, {}, "roof not measured"),
        (None, 1.0, {"int8": peak(1)}, "operations not counted"),
        (network(bf16=1), 1.0, {"int8": peak(1)}, "no roof for bf16"),
        (network(), 1.0, {"int8": peak(1)}, "operations not counted"),
    ],
)
def test_share_that_is_not_known(
    profile: Profile | None, rate: float | None, peaks: dict[str, Peak], reason: str
) -> None:
    assert roof_share(profile, rate, peaks) == Share(None, reason)


def test_facts_of_a_kernel() -> None:
    reorder = line_of("16x256x14x14", kind="reorder")
    facts = kernel_facts(parse([reorder, line_of(ms=4.0), reorder, line_of(ms=5.0)]), "int8")
    assert plain(facts) == {
        "dtype": "int8",
        "kind": "convolution",
        "implementation": "brgconv:avx512_core_vnni",
        "problem": CONVOLUTION,
        "macs": count_macs("convolution", CONVOLUTION),
        "ms": [4.0, 5.0],
    }


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ([line_of(source="f32")], "oneDNN ran f32 instead"),
        ([line_of(implementation="ref_int8:any")], "reference implementation only (ref_int8:any)"),
        ([], "0 different kernels"),
        ([line_of(), line_of(implementation="jit:avx2")], "2 different kernels"),
        ([line_of("2x3")], "1 different kernels"),
    ],
)
def test_a_kernel_that_is_none_of_the_type(lines: list[str], reason: str) -> None:
    told = kernel_facts(parse(lines), "int8")
    assert isinstance(told, str) and reason in told


def test_the_roof_is_the_fastest_kernel_of_each_type() -> None:
    def kernel(dtype: str, ms: list[float]) -> dict[str, object]:
        return {
            "dtype": dtype,
            "kind": "convolution",
            "implementation": f"of {ms[0]}",
            "problem": "p",
            "macs": 10**9,
            "ms": ms,
        }

    kernels = [kernel("int8", [4.0, 5.0, 2.0]), kernel("int8", [9.0]), kernel("fp32", [20.0])]
    facts = {"kernels": kernels, "missing": {}, "disturbed": []}
    record = RoofRecord("r", Outcome("ok"), decode(facts, RoofFacts))
    assert roof_peaks(record) == {
        "int8": Peak(500.0, 400.0, 1000.0, "convolution,of 4.0", "p", 3),
        "fp32": Peak(100.0, 100.0, 100.0, "convolution,of 20.0", "p", 1),
    }
    assert roof_peaks(None) == roof_peaks(RoofRecord("r", Outcome("invalid"), record.facts)) == {}


@pytest.mark.parametrize(
    ("flags", "limit", "dtypes"),
    [
        (["AVX2"], None, ["fp32", "int8"]),
        (["AVX512-BF16"], None, ["fp32", "bf16", "int8"]),
        (["AMX-BF16"], "AVX512_CORE_AMX", ["fp32", "bf16", "int8"]),
        (["AVX512-BF16"], "AVX512_CORE_VNNI", ["fp32", "int8"]),
    ],
)
def test_types_that_are_tried(flags: list[str], limit: str | None, dtypes: list[str]) -> None:
    assert fast_dtypes(flags, limit) == dtypes


@pytest.mark.slow
def test_a_finished_run_gets_its_roof(cli: CommandLine, smoke_run: Ended) -> None:
    folder = cli.copy_of(smoke_run)
    assert folder.load_roof() is None
    before = [record.as_dict() for record in folder.load_records()]
    ended = cli(f"run.id={folder.id}", "protocol.roof=true")
    assert ended.code == 0, ended.err
    assert [record.as_dict() for record in folder.load_records()] == before  # nothing anew
    record, plan = folder.load_roof(), folder.load_plan()
    assert record is not None and record.facts is not None and plan is not None
    facts, peaks = record.facts, roof_peaks(record)
    asked = fast_dtypes(plan.machine.isa or (), LIMIT)
    assert sorted([*peaks, *facts.missing]) == sorted(asked)
    assert {"fp32", "int8"} <= set(peaks)
    for kernel in facts.kernels:
        assert kernel.kind == "convolution" and len(kernel.ms) > 1
    assert all(each.low <= each.gops <= each.high for each in peaks.values())
    assert facts.openmp is not None and facts.openmp.max_threads == plan.threads.count
    for row in folder.load_records():
        assert row.profile is not None
        profile = Profile.recorded(row.profile)
        operations = operations_per_image(profile) or {}
        assert sum(operations.values()) == 2 * BUNDLED_MACS, operations
        assert ("int8" in operations) == row.method.startswith("int8")
        share = roof_share(profile, 100.0, peaks).value
        assert share is not None and share > 0
    again = cli(f"run.id={folder.id}", "protocol.roof=true")
    assert again.code == 0 and "roof" not in again.err
