"""Inputs made from good ones: bytes changed anywhere, and JSON changed in its structure."""

from __future__ import annotations

import copy
import json
import random
import struct
from typing import Any

NUMBERS = (0, 1, 2, 3, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF,
           1 << 29, 1 << 32, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 10**6, 10**30, 10**400, -(10**18), 0.0, -0.0, 1e-320, 1e308, -1.5,
    float("nan"), float("inf"), float("-inf"), "", " ", "ok", "0", "1.5", "nan", "../../../etc/passwd",
    "/etc/passwd", "a\nb|c", "\x1b]0;taken\x07", "<script>alert(1)</script>", "ÄÖÜ 漢字 \u202e", "\ud800",
    "x" * 5000, "failed", "no solution", "fp32", [], [[]], {}, {"": 0}, [None], [0.1, "x"], [-1.0],
    [1e300] * 3,
)  # fmt: skip


def changed_bytes(data: bytes, rng: random.Random, others: list[bytes]) -> bytes:
    """Return the bytes after one to four changes."""
    made = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        at = rng.randrange(len(made) + 1)
        kind = rng.randrange(11)
        if kind == 0:
            del made[at:]
        elif kind == 1:
            del made[at : at + rng.choice((1, 2, 4, 8, 64))]
        elif kind == 2:
            made[at:at] = rng.randbytes(rng.choice((1, 4, 8, 100)))
        elif kind == 3 and made:
            made[at % len(made)] ^= 1 << rng.randrange(8)
        elif kind == 4:
            size = rng.choice((1, 2, 4, 8))
            order = rng.choice(("little", "big"))
            made[at : at + size] = (rng.choice(NUMBERS) % (1 << 8 * size)).to_bytes(size, order)
        elif kind == 5:
            made[at : at + 4] = made[at : at + 4][::-1]  # the other byte order
        elif kind == 6:
            made[at : at + rng.choice((4, 64, 1024))] = bytes(rng.choice((4, 64, 1024)))
        elif kind == 7:
            piece = made[at : at + rng.choice((8, 100, 1000))]
            made[at:at] = piece
        elif kind == 8:
            other = rng.choice(others)
            made[at:] = other[rng.randrange(len(other) + 1) :]
        elif kind == 9:
            made[at : at + 4] = struct.pack(
                "<f", rng.choice((float("nan"), float("inf"), -1.0, 1e30))
            )
        else:
            made = bytearray(rng.randbytes(rng.choice((0, 1, 7, 40, 300))))
    return bytes(made)


def changed_json(data: bytes, rng: random.Random) -> bytes:
    """Return the JSON with values replaced, removed, moved or repeated somewhere in it."""
    value = copy.deepcopy(json.loads(data))
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        holder, key = _somewhere(value, rng)
        if holder is None:
            return json.dumps(rng.choice(VALUES)).encode()
        kind = rng.randrange(6)
        if kind <= 2:
            holder[key] = rng.choice(VALUES)
        elif kind == 3:
            del holder[key]
        elif kind == 4 and isinstance(holder, list):
            holder.insert(key, copy.deepcopy(holder[key]))
        elif isinstance(holder[key], float):
            number = holder[key]
            holder[key] = rng.choice((-number, number * 1e12, str(number), [number]))
        elif isinstance(holder[key], int) and not isinstance(holder[key], bool):
            holder[key] = rng.choice((-holder[key], holder[key] * 10**12, [holder[key]]))
        else:
            other, there = _somewhere(value, rng)
            if other is not None:
                holder[key] = copy.deepcopy(other[there])
    return json.dumps(value).encode("utf-8", "surrogatepass")


def _somewhere(value: Any, rng: random.Random) -> tuple[Any, Any]:
    """Return a container and a key in it, those near the top as likely as those deep down."""
    if not isinstance(value, (dict, list)) or not value:
        return None, None
    while True:
        key = rng.choice(list(value)) if isinstance(value, dict) else rng.randrange(len(value))
        inner = value[key]
        if not isinstance(inner, (dict, list)) or not inner or rng.random() < 0.2:
            return value, key
        value = inner
