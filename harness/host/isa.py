"""Instruction sets in their three tongues: the kernel's flags, oneDNN's words, oneDNN's variable."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

VARIABLE = "ONEDNN_MAX_CPU_ISA"


@dataclass(frozen=True)
class Level:
    """An instruction set that oneDNN 2.5 tells apart.

    Attributes:
        name: its value of ONEDNN_MAX_CPU_ISA.
        flag: its name in ``machine.ISA``.
        words: how oneDNN's verbose output begins to describe it.
        by_default: whether oneDNN surely uses it unasked; versions differ for the others.
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


def allows(limit: str | None, name: str) -> bool:
    """Say whether oneDNN may use an instruction set under a value of its variable, None for none."""
    told = (limit or "").upper()
    return told not in NAMES or NAMES.index(name) <= NAMES.index(told)


def shortfall(told: str, flags: Collection[str], asked: str | None) -> str | None:
    """Say in a sentence that oneDNN may use less than it should, or return None.

    Args:
        told: what oneDNN's verbose output calls its instruction set.
        flags: the machine's, as ``machine.describe`` names them.
        asked: the ONEDNN_MAX_CPU_ISA that the configuration asks for, one of NAMES, or None.
    """
    used = max((n for n, level in enumerate(LEVELS) if told.startswith(level.words)), default=None)
    if used is None:
        return None  # a later oneDNN with other words
    limit = len(LEVELS) if asked is None else NAMES.index(asked)
    expected = [
        n
        for n, level in enumerate(LEVELS)
        if level.flag in flags and level.by_default and n <= limit
    ]
    if not expected or used >= expected[-1]:
        return None
    return (
        f"oneDNN was limited to {LEVELS[used].name} and the CPU has {LEVELS[expected[-1]].name}: "
        f"unset {VARIABLE}, or ask for the limit with max_cpu_isa={LEVELS[used].name}"
    )
