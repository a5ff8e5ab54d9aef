"""Invented nights with all that a page of them shows: regressions, acknowledgements, new software."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import numpy as np

from harness.nightly.entry import NightEntry, NightRow
from harness.nightly.night import Regression

ALIKE = {"machine": {"cpu_model": "invented"}, "images": {"validated": 200}}
START = datetime(2026, 1, 1, 2)


def invented_nights(
    count: int, methods: int, rounds: int = 6, batches: int = 8, images: int = 200
) -> list[NightEntry]:
    """Return nights of a machine, oldest first.

    Every 40 nights one method becomes 6 % slower for eight nights, which is found and then
    acknowledged or taken back, and one loses accuracy. Code, lock and kernel change now and then.
    """
    random = np.random.default_rng(7)
    levels = 0.004 * 1.35 ** np.arange(methods)
    slower = np.ones(methods)
    nights = []
    open_: tuple[Regression, ...] = ()
    since = ""
    for at in range(count):
        run = f"n{at:04d}"
        created = (START + timedelta(days=at)).strftime("%Y-%m-%dT%H:%M:%SZ")
        phase, block = at % 40, at // 40
        bad = block % methods
        key = (f"int8_{bad}", "batch_s")
        new: dict[str, Any] = {}
        if phase == 20:
            slower[bad], since = 1.06, run
            new["regressions"] = frozenset({key})
            open_ = (Regression(*key, run, created, f"{key[0]} takes 6.0 % more time"),)
        elif phase == 28 and block % 2:
            new["acknowledged"] = {key: "a wanted change"}
            open_ = ()
        elif phase == 28:
            slower[bad] = 1.0
            open_ = ()
        elif phase == 34:
            new["improved"] = frozenset({(f"int8_{(bad + 1) % methods}", "top1")})
        elif phase == 12:
            new["changed"] = {(f"int8_{(bad + 2) % methods}", "batch_s"): "machine"}
        elif phase == 14:
            new["changed"] = {(f"int8_{(bad + 3) % methods}", "cost_s"): "small"}
        rows = tuple(
            NightRow(
                f"int8_{number}",
                f"int8 number {number}",
                "ok",
                cost_s=float(1 + number + random.normal(0, 0.03)),
                times=level
                * slower[number]
                * np.exp(random.normal(0, 0.008) + random.normal(0, 0.012, (rounds, batches))),
                correct=random.random((2, images)) < [[0.9 - 0.01 * number], [0.98]],
                model=f"m{number}",
                disturbed=int(at % 17 == 0),
            )
            for number, level in enumerate(levels)
        )
        nights.append(
            NightEntry(
                "invented",
                run,
                created,
                f"invented/{run}",
                ALIKE,
                _software(at, since),
                rows,
                verdict="first" if not at else "regression" if open_ else "none",
                open=open_,
                **new,
            )
        )
    return nights


def _software(at: int, since: str) -> dict[str, Any]:
    return {
        "versions": {"mxnet": "2.0.0b1"},
        "packages": {"idna": f"3.{at // 60}"},
        "code": f"{hash_of(at // 20)}",
        "checkout": {"commit": hash_of(at // 10)[:40], "clean": at % 90 != 50},
        "machine": {"kernel": f"6.1.{at // 100}", "microcode": f"0x{at // 200:x}", "os": "Debian"},
        "method": {"int8_0": {"since": since}},
    }


def hash_of(number: int) -> str:
    return f"{number * 2654435761 % 2**32:08x}" * 8
