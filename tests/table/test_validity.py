"""What makes a row INVALID: no int8 in int8, a lowered instruction set, misplaced threads, NaN."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.facts.typed import changed
from harness.host import isa
from harness.storage.stage_facts import Kernel
from harness.table import validity
from harness.table.kernels import NOT_INT8, NOT_SAID, Profile, findings
from helpers.sample_records import measured

BF16 = "Intel AVX-512 with Intel DL Boost and bfloat16 support"
VNNI = "Intel AVX-512 with Intel DL Boost"
CORE = "Intel AVX-512 with AVX512BW, AVX512VL, and AVX512DQ extensions"
AVX2 = "Intel AVX2"
AMX = f"{BF16} and Intel AMX with bfloat16 and 8-bit integer support"
ICE_LAKE = ("SSE4.1", "AVX", "AVX2", "AVX512F", "AVX512BW", "AVX512-VNNI")
SAPPHIRE = (*ICE_LAKE, "AVX-VNNI", "AVX512-BF16", "AMX-TILE", "AMX-INT8", "AMX-BF16")
SKYLAKE = ICE_LAKE[:5]


def profile(dtype: str, cpu_isa: str = VNNI) -> Profile:
    row = Kernel("convolution", "brgconv:avx512_core_vnni", "avx512_core_vnni", dtype, 3, 9.0)
    return Profile(9.0, (row,), 1, 64, 10.0, 0, cpu_isa)


@pytest.mark.parametrize(
    ("name", "label", "is_int8"),
    [
        ("int8_full_naive", "int8 full naive", True),
        ("mine", "INT8 mine", True),
        ("my_int8", "mine", True),
        ("fp32_fused", "fp32 fused", False),
        ("print8", "uint8 input", False),
    ],
)
def test_called_int8(name: str, label: str, is_int8: bool) -> None:
    assert validity.is_called_int8(name, label) is is_int8


def test_an_int8_row_without_int8_kernels_is_invalid() -> None:
    assert validity.profile_faults(profile("f32:f32:f32"), True, ICE_LAKE, None) == [NOT_INT8]
    assert validity.profile_faults(profile("f32:f32:f32"), False, ICE_LAKE, None) == []
    assert validity.profile_faults(profile("u8:s8:s8"), True, ICE_LAKE, None) == []


def test_nothing_reported_is_no_proof_of_anything() -> None:
    silent = replace(profile("u8:s8:s8"), rows=())
    assert validity.profile_faults(silent, True, ICE_LAKE, None) == []


def test_an_engine_that_says_nothing_proves_no_int8() -> None:
    silent = replace(profile("u8:s8:s8", ""), rows=(), engine="My engine")
    assert validity.profile_faults(silent, True, ICE_LAKE, None) == [NOT_SAID]
    assert validity.profile_faults(silent, False, ICE_LAKE, None) == []


@pytest.mark.parametrize(
    ("told", "flags", "asked", "wrong"),
    [
        (VNNI, ICE_LAKE, None, None),
        (AVX2, ICE_LAKE, None, "limited to AVX2 and the CPU has AVX512_CORE_VNNI"),
        (CORE, ICE_LAKE, None, "limited to AVX512_CORE and the CPU has AVX512_CORE_VNNI"),
        (CORE, SKYLAKE, None, None),
        (AVX2, ICE_LAKE, "AVX2", None),
        (AVX2, ICE_LAKE, "AVX512_CORE", "limited to AVX2 and the CPU has AVX512_CORE"),
        (VNNI, ICE_LAKE, "AVX512_CORE_AMX", None),
        (AMX, SAPPHIRE, None, None),
        (BF16, SAPPHIRE, None, None),  # whether AMX is on unasked depends on the version
        (VNNI, SAPPHIRE, None, "limited to AVX512_CORE_VNNI and the CPU has AVX512_CORE_BF16"),
        ("Words of a later version", SAPPHIRE, None, None),
        ("", ICE_LAKE, None, None),
        (AVX2, (), None, None),  # the machine does not tell
    ],
)
def test_instruction_sets(
    told: str, flags: tuple[str, ...], asked: str | None, wrong: str | None
) -> None:
    found = isa.shortfall(told, flags, asked)
    assert (found is None) == (wrong is None)
    if wrong:
        assert found is not None and wrong in found
        assert "unset ONEDNN_MAX_CPU_ISA" in found
        assert validity.profile_faults(profile("u8:s8:s8", told), True, flags, asked) == [found]


def test_a_validation_pass() -> None:
    facts = measured("fp32", 1.0).validate
    assert facts is not None
    assert validity.validation_faults(changed(facts, misplaced=[], non_finite=0)) == []
    faulty = changed(facts, misplaced=["all sat on CPU 0"], non_finite=3)
    assert validity.validation_faults(faulty) == [
        "3 images got scores that are NaN or infinite",
        "the thread policy did not take effect: all sat on CPU 0",
    ]


@pytest.mark.parametrize(
    ("implementation", "isa_name", "dtype", "saturates"),
    [
        ("jit_uni_int8:avx2", "avx2", "u8:s8:u8", True),
        ("jit_int8_1x1:avx512_core", "avx512_core", "u8:s8:s8", True),
        ("brgconv:avx512_core_vnni", "avx512_core_vnni", "u8:s8:u8", False),
        ("brgconv:avx512_core_amx_int8", "avx512_core_amx_int8", "u8:s8:u8", False),
        ("ref_int8:any", "", "s8:s8:s32", False),
        ("jit:avx2", "avx2", "f32:f32:f32", False),
    ],
)
def test_products_that_saturate_are_said_where_the_instructions_for_int8_are_missing(
    implementation: str, isa_name: str, dtype: str, saturates: bool
) -> None:
    row = Kernel("convolution", implementation, isa_name, dtype, 6, 9.0)
    said = findings(Profile(9.0, (row,), 2, 64, 10.0, 0, ""), expects_int8=True)
    assert any(one.startswith("3 convolutions and inner products") for one in said) is saturates
