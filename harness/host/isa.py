"""Instruction-set names as the kernel, oneDNN and this project spell them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

VARIABLE = "ONEDNN_MAX_CPU_ISA"


@dataclass(frozen=True)
class Level:
    """An instruction set that oneDNN 2.5 distinguishes.

    Attributes:
        name: its value of ONEDNN_MAX_CPU_ISA.
        flag: its name in ``machine.ISA``.
        words: the beginning of its description in oneDNN's verbose output.
        by_default: whether every version of oneDNN uses it by default.
    """

    name: str
    flag: str
    words: str
    by_default: bool = True


LEVELS = (  # rising
    Level("SSE41", "SSE4.1", "Intel SSE4.1"),
    Level("AVX", "AVX", "Intel AVX"),
    Level("AVX2", "AVX2", "Intel AVX2"),
    Level("AVX2_VNNI", "AVX-VNNI", "Intel AVX2 with Intel DL Boost", by_default=False),
    Level("AVX512_CORE", "AVX512BW", "Intel AVX-512 with AVX512BW"),
    Level("AVX512_CORE_VNNI", "AVX512-VNNI", "Intel AVX-512 with Intel DL Boost"),
    Level(
        "AVX512_CORE_BF16",
        "AVX512-BF16",
        "Intel AVX-512 with Intel DL Boost and bfloat16 support",
    ),
    Level(
        "AVX512_CORE_AMX",
        "AMX-INT8",
        "Intel AVX-512 with Intel DL Boost and bfloat16 support and Intel AMX",
        by_default=False,
    ),
)
NAMES = tuple(level.name for level in LEVELS)
WITH_VNNI = {"AVX512-VNNI", "AVX-VNNI", "AMX-INT8"}  # flags


def allows(limit: str | None, name: str) -> bool:
    """Return whether oneDNN may use an instruction set under a value of its variable (None: unset)."""
    most = (limit or "").upper()
    return most not in NAMES or NAMES.index(name) <= NAMES.index(most)


def has_vnni(flags: Collection[str] | None) -> bool:
    """Return whether int8 products are added in 32 bits, so that they cannot saturate.

    Args:
        flags: the machine's instruction sets, as ``machine.describe`` names them; None: unknown.
    """
    return not WITH_VNNI.isdisjoint(flags or ())


def shortfall(description: str, flags: Collection[str], limit: str | None) -> str | None:
    """Return a sentence if oneDNN may use less than it should, else None.

    Args:
        description: the instruction set in oneDNN's verbose output.
        flags: the machine's instruction sets, as ``machine.describe`` names them.
        limit: the configured ONEDNN_MAX_CPU_ISA, one of NAMES, or None.
    """
    used = max(
        (n for n, level in enumerate(LEVELS) if description.startswith(level.words)), default=None
    )
    if used is None:
        return None  # a later oneDNN words it otherwise
    highest = len(LEVELS) if limit is None else NAMES.index(limit)
    expected = [
        n
        for n, level in enumerate(LEVELS)
        if level.flag in flags and level.by_default and n <= highest
    ]
    if not expected or used >= expected[-1]:
        return None
    return (
        f"oneDNN was limited to {LEVELS[used].name} and the CPU has {LEVELS[expected[-1]].name}: "
        f"unset {VARIABLE}, or ask for the limit with max_cpu_isa={LEVELS[used].name}"
    )
