"""Cases to a table by row, the targets held against them, and where rows lost; nothing is measured."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tabulate import tabulate

TOLERATED = 1.5  # percent of top-1 relative to fp32
OURS, REFERENCE = "int8_inc_sensitivity", "int8_inc_basic"
INC = ("int8_inc_basic", "int8_inc_mse", "int8_inc_mycustom", "int8_inc_bayesian",
       "int8_inc_random", "int8_inc_exhaustive")  # fmt: skip
SHARE = 0.2  # of the reference's image evaluations
SLOWER = 0.03  # of speed that counts as none: what these timings tell apart

Case = Mapping[str, Any]


@dataclass(frozen=True)
class Line:
    """One row over all cases.

    Attributes:
        met: in how many cases it has a model that loses at most ``TOLERATED`` on held-back images.
        evaluated: geometric mean of the images that candidate models were evaluated on.
        images: geometric mean of all images that were run through networks.
        seconds: geometric mean.
        speedup: geometric mean over the cases where it has a model, against fp32 fused.
        losses: of each case in their order; None where it has no model.
    """

    name: str
    met: int
    cases: int
    evaluated: float
    images: float
    seconds: float
    speedup: float
    losses: tuple[float | None, ...]


def lines(cases: Sequence[Case]) -> list[Line]:
    """Return one line for every row, in the order of the first case."""
    return [_line(name, [case["rows"][name] for case in cases]) for name in cases[0]["rows"]]


def _line(name: str, rows: Sequence[Mapping[str, Any]]) -> Line:
    losses = tuple(row["loss"][0] if "loss" in row else None for row in rows)
    met = sum(loss is not None and loss <= TOLERATED for loss in losses)
    speeds = [row["speedup"][0] for row in rows if "speedup" in row]
    return Line(
        name,
        met,
        len(rows),
        _geometric([max(row["evaluated"], 1) for row in rows]),
        _geometric([max(row["images"], 1) for row in rows]),
        _geometric([row["seconds"] for row in rows]),
        _geometric(speeds) if speeds else math.nan,
        losses,
    )


def _geometric(values: Sequence[float]) -> float:
    return float(np.exp(np.mean(np.log(values))))


@dataclass(frozen=True)
class Target:
    """A promise and what was found."""

    what: str
    found: str
    met: bool


def targets(cases: Sequence[Case]) -> list[Target]:
    """Return what ``sensitivity`` promises against INC's strategies."""
    by_name = {line.name: line for line in lines(cases)}
    ours = by_name[OURS]
    others = [by_name[name] for name in INC if name in by_name]
    best = max(others, key=lambda line: line.met)
    basic = by_name[REFERENCE]
    share = ours.evaluated / basic.evaluated
    slowest, against, count = min(paired_speeds(cases), default=(math.nan, "none", 0))
    return [
        Target(
            f"meets {TOLERATED} % on held-back images at least as often as every INC strategy",
            f"{ours.met} of {ours.cases}; best of INC's: {best.name}, {best.met}",
            ours.met >= best.met,
        ),
        Target(
            f"at most {SHARE:g} of basic's image evaluations (geometric mean)",
            f"{share:.3f}: {ours.evaluated:.0f} against {basic.evaluated:.0f}; of all images run "
            f"{ours.images / basic.images:.3f}",
            share <= SHARE,
        ),
        Target(
            f"no less speed, to {100 * SLOWER:g} %, than any INC strategy that meets it too "
            "(geometric mean of the cases where both do)",
            f"{slowest:.3f} of {against}'s at the least, in {count} cases",
            bool(slowest >= 1 - SLOWER),
        ),
    ]


def paired_speeds(cases: Sequence[Case]) -> Iterator[tuple[float, str, int]]:
    """Yield our speed relative to each INC strategy's, its name, and in how many cases both meet."""
    for name in INC:
        ratios = [
            case["rows"][OURS]["speedup"][0] / case["rows"][name]["speedup"][0]
            for case in cases
            if name in case["rows"] and _meets(case["rows"][name]) and _meets(case["rows"][OURS])
        ]
        if ratios:
            yield _geometric(ratios), name, len(ratios)


def _meets(row: Mapping[str, Any]) -> bool:
    return "loss" in row and row["loss"][0] <= TOLERATED


def lost(cases: Sequence[Case]) -> list[str]:
    """Say where our row misses the criterion, or is surely slower than a strategy that meets it."""
    found = []
    for case in cases:
        own, rows = case["rows"][OURS], case["rows"]
        where = f"{case['defect']}, seed {case['seed']} ({case['where']})"
        if not _meets(own):
            loss = f"loses {own['loss'][0]:.2f} %" if "loss" in own else own["outcome"]
            others = [name for name in INC if name in rows and _meets(rows[name])]
            found.append(
                f"{where}: {OURS} {loss}; met by {', '.join(others) or 'no INC strategy'}."
            )
            continue
        for name in INC:
            if name in rows and _meets(rows[name]):
                (ours, _, high), (theirs, low, _) = own["speedup"], rows[name]["speedup"]
                if high < low:
                    found.append(
                        f"{where}: {name} is faster, {theirs:.2f} against {ours:.2f} times fp32."
                    )
    return found


CSV = ("defect", "seed", "where", "fp32_top1", "row", "outcome", "trials", "evaluated", "images",
       "seconds", "loss_percent", "loss_low", "loss_high", "speedup", "speedup_low", "speedup_high",
       "excluded")  # fmt: skip


def csv_rows(cases: Sequence[Case]) -> Iterator[list[Any]]:
    """Yield the values of ``CSV`` of every row of every case; empty where there is none."""
    for case in cases:
        for name, row in case["rows"].items():
            yield [
                case["defect"],
                case["seed"],
                case["where"],
                f"{case['fp32']:.4f}",
                name,
                row["outcome"],
                row["trials"],
                row["evaluated"],
                row["images"],
                f"{row['seconds']:.2f}",
                *(f"{value:.3f}" for value in row.get("loss", ())),
                *[""] * (3 if "loss" not in row else 0),
                *(f"{value:.3f}" for value in row.get("speedup", ())),
                *[""] * (3 if "speedup" not in row else 0),
                " ".join(row["excluded"]),
            ]


def to_markdown(cases: Sequence[Case], about: Mapping[str, Any]) -> str:
    """Return the report."""
    found = lines(cases)
    body = [
        [
            line.name,
            f"{line.met}/{line.cases}",
            f"{line.evaluated:.0f}" if line.evaluated > 1 else "-",
            f"{line.images:.0f}",
            f"{line.seconds:.1f}",
            f"{line.speedup:.2f}",
            *("-" if loss is None else f"{loss:.2f}" for loss in line.losses),
        ]
        for line in found
    ]
    headers = ["row", f"within {TOLERATED} %", "evaluated", "images run", "seconds", "speedup",
               *(f"{case['defect']} {case['seed']}" for case in cases)]  # fmt: skip
    promised = [[each.what, each.found, "yes" if each.met else "NO"] for each in targets(cases)]
    losses = lost(cases) or ["Nowhere."]
    return "\n".join(
        [
            "# Strategies on networks with a known defect",
            "",
            f"{about['cpu']}, {about['cores']} cores; {about['tuning']} images to tune on and "
            f"{about['held_back']} others to score on, drawn anew for every seed; at most "
            f"{about['trials']} trials ({about['blind']} for bayesian, random and exhaustive).",
            "",
            tabulate(body, headers, tablefmt="pipe", disable_numparse=True),
            "",
            "The last columns are the top-1 lost on held-back images, in percent of fp32's; - is no "
            "model. Evaluated are the images that candidate models were scored on; images run are all "
            "that went through a network while tuning: these, fp32's own score, calibration, and a "
            "backward pass counting twice. Both and the seconds are geometric means, of fruitless "
            "searches too. Thresholds by KL divergence were made once a case and their time added to "
            "every row that used them. Speedup is against fp32 fused, of each round's median batch, "
            "models timed in turn in shuffled rounds.",
            "",
            tabulate(promised, ["sensitivity", "found", "met"], tablefmt="pipe"),
            "",
            "Where sensitivity loses:",
            "",
            *(f"- {each}" for each in losses),
            "",
            *(
                f"- {case['defect']} {case['seed']}: the defect is at {case['where']}, fp32 top-1 "
                f"{case['fp32']:.4f}."
                for case in cases
            ),
            "",
        ]
    )
