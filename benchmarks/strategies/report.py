"""Cases to a table by row, the targets held against them, and where rows lost; nothing is measured."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit
from tabulate import tabulate

from harness.stats import speed

TOLERATED = 1.5  # percent of top-1 relative to fp32
OURS, REFERENCE = "int8_inc_sensitivity", "int8_inc_basic"
INC = ("int8_inc_basic", "int8_inc_mse", "int8_inc_mycustom", "int8_inc_bayesian",
       "int8_inc_random", "int8_inc_exhaustive")  # fmt: skip
SHARE = 0.2  # of the reference's image evaluations
SLOWER = 0.03  # of speed that counts as none

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
    """A promise, what was found, and whether that keeps it: yes, NO, or not decided."""

    what: str
    found: str
    met: str


def targets(cases: Sequence[Case]) -> list[Target]:
    """Return what ``sensitivity`` promises against INC's strategies."""
    by_name = {line.name: line for line in lines(cases)}
    ours = by_name[OURS]
    others = [by_name[name] for name in INC if name in by_name]
    best = max(others, key=lambda line: line.met)
    basic = by_name[REFERENCE]
    share = ours.evaluated / basic.evaluated
    speeds = list(paired_speeds(cases))
    return [
        Target(
            f"meets {TOLERATED} % on held-back images at least as often as every INC strategy",
            f"{ours.met} of {ours.cases}; best of INC's: {best.name}, {best.met}",
            _answer(ours.met >= best.met),
        ),
        Target(
            f"at most {SHARE:g} of basic's image evaluations (geometric mean)",
            f"{share:.3f}: {ours.evaluated:.0f} against {basic.evaluated:.0f}; of all images run "
            f"{ours.images / basic.images:.3f}",
            _answer(share <= SHARE),
        ),
        *(
            Target(
                f"no less speed, to {100 * SLOWER:g} %, than {each.name} (geometric mean of the cases "
                "where both meet it)",
                f"{each.ratio:.3f} [{each.low:.3f}, {each.high:.3f}], {each.cases} cases, "
                f"{each.alike} of them the same graph",
                "not decided"
                if each.low < 1 - SLOWER <= each.high
                else _answer(each.low >= 1 - SLOWER),
            )
            for each in speeds
        ),
    ]


def _answer(met: bool) -> str:
    return "yes" if met else "NO"


@dataclass(frozen=True)
class Paired:
    """Our models' speed relative to an INC strategy's, with a 95 % interval.

    Attributes:
        alike: in how many of the cases both models are the same graph.
    """

    name: str
    ratio: float
    low: float
    high: float
    cases: int
    alike: int


def paired_speeds(cases: Sequence[Case]) -> Iterator[Paired]:
    """Yield one for each INC strategy, over the cases where its model and ours meet the criterion.

    Two models without the same operators are one graph, with other numbers for its ranges: the same
    kernels run, so that their ratio is 1, whatever two timings of them gave (``same_graph``). The
    cases are independent, so that the variance of the mean logarithm is the sum of theirs over their
    number squared, with the degrees of freedom of Welch (Biometrika 34, 1947) and Satterthwaite.
    """
    for name in INC:
        both = [case["rows"] for case in cases if _both_meet(case, name)]
        apart = [rows for rows in both if not _alike(rows, name)]
        if not both:
            continue
        found = [speed.speedup(rows[name]["times"], rows[OURS]["times"]) for rows in apart]
        mean = sum(math.log(each.estimate) for each in found) / len(both)
        freedom = [len(rows[OURS]["times"]) - 1 for rows in apart]
        squares = [
            (math.log(each.high / each.low) / 2 / stdtrit(degrees, 0.975)) ** 2
            for each, degrees in zip(found, freedom)
        ]
        wide = 0.0
        if apart:
            quantile = float(stdtrit(speed.welch_freedom(squares, freedom), 0.975))
            wide = quantile * math.sqrt(sum(squares)) / len(both)
        low, high = math.exp(mean - wide), math.exp(mean + wide)
        yield Paired(name, math.exp(mean), low, high, len(both), len(both) - len(apart))


def same_graph(cases: Sequence[Case]) -> tuple[float, int]:
    """Return how far apart two timings of one graph are, as a share (median), and of how many pairs."""
    gaps = [
        abs(math.log(case["rows"][OURS]["speedup"][0] / case["rows"][name]["speedup"][0]))
        for case in cases
        for name in INC
        if _both_meet(case, name)
        and _alike(case["rows"], name)
        and case["rows"][OURS]["times"] != case["rows"][name]["times"]
    ]
    return (math.expm1(float(np.median(gaps))) if gaps else 0.0), len(gaps)


def _both_meet(case: Case, name: str) -> bool:
    return _meets(case["rows"][OURS]) and _meets(case["rows"].get(name, {}))


def _alike(rows: Mapping[str, Mapping[str, Any]], name: str) -> bool:
    return set(rows[OURS]["excluded"]) == set(rows[name]["excluded"])


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
            if _both_meet(case, name) and not _alike(rows, name):
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
    promised = [[each.what, each.found, each.met] for each in targets(cases)]
    losses = lost(cases) or ["Nowhere."]
    apart, pairs = same_graph(cases)
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
            "Models without the same operators are the same graph but for the numbers of its ranges, and "
            f"count as equally fast: of {pairs} such pairs that were timed apart, half differed by more "
            f"than {100 * apart:.1f} %.",
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
