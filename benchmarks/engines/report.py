"""Cases of engines as a table: what each row lost on each network, and what making it took."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

TOLERATED = 1.5  # percent of top-1 relative to fp32

Case = Mapping[str, Any]


def to_markdown(cases: Sequence[Case], about: Mapping[str, Any]) -> str:
    """Return the report.

    Args:
        cases: each with defect, seed, fp32 and rows; all have the same rows.
        about: cpu, isa, tuning and held_back.
    """
    names = [f"{case['defect']} {case['seed']}" for case in cases]
    headers = ["row", *names, f"within {TOLERATED} %", "seconds", "evaluations", "fp32 operators"]
    body = [_line(name, [case["rows"][name] for case in cases]) for name in cases[0]["rows"]]
    fp32 = ", ".join(f"{name} {case['fp32']:.4f}" for name, case in zip(names, cases))
    return "\n".join(
        [
            f"{about['cpu']} ({', '.join(about['isa'])}); {about['tuning']} images to tune on and "
            f"{about['held_back']} others to score on. Top-1 of fp32: {fp32}.",
            "",
            tabulate(body, headers, tablefmt="pipe", disable_numparse=True),
            "",
            "A network's column is the top-1 that a row lost there, in percent of fp32's; - is no model. "
            "Seconds, evaluations of candidate models and operators left in fp32 are medians of the "
            "networks.",
            "",
        ]
    )


def _line(name: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    losses = [row["loss"][0] if "loss" in row else None for row in rows]
    met = sum(loss is not None and loss <= TOLERATED for loss in losses)
    return [
        name,
        *("-" if loss is None else f"{loss:.2f}" for loss in losses),
        f"{met}/{len(rows)}",
        _median([row.get("seconds") for row in rows], ".1f"),
        _median([row.get("evaluations") for row in rows], ".0f"),
        _median([len(row["excluded"]) if "excluded" in row else None for row in rows], ".0f"),
    ]


def _median(values: Sequence[float | None], shape: str) -> str:
    known = [value for value in values if value is not None]
    return format(statistics.median(known), shape) if known else "-"
