"""The tables of splits into instances: all of them, the best of each row, and thread counts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from harness.facts.machine_facts import in_ranges
from harness.render.markdown_table import markdown_table
from harness.table.csv_table import csv_text
from harness.table.instances.splits import Scaled, SplitRow, best_split, by_method, scaling

INSTANCES = (
    "Images/s of all instances together, counted in the windows in which all ran, with its 95 % "
    "interval over rounds; percentiles of a batch's time over instances and rounds. Spread: how much "
    "slower the slowest instance is than the fastest. CPUs: where the threads of each instance were "
    "seen. On the front: no other split of the row has more images/s at no higher p99."
)
SCALING = (
    "One process on the first cores. Efficiency: images/s by thread over those with the fewest "
    "threads."
)
HEADER = (
    *("method", "instances", "threads", "batch_size", "rounds", "images_per_s"),
    *("images_per_s_low", "images_per_s_high", "slowest_images_per_s", "fastest_images_per_s"),
    *("spread_pct", "p50_ms", "p90_ms", "p99_ms", "window_s", "memory_mb", "cpus", "on_front"),
)


def splits_to_csv(rows: Iterable[SplitRow]) -> str:
    """Return a line for each method, split and batch size; ``threads`` are those of all instances."""
    return csv_text(
        HEADER,
        (
            [
                *(row.label, row.split.instances, row.split.threads, row.batch_size, row.rounds),
                *(f"{value:.3f}" for value in _rate_ends(row)),
                *([] if row.interval else ["", ""]),
                *(f"{row.slowest:.3f}", f"{row.fastest:.3f}", f"{row.spread_pct:.1f}"),
                *(_shown(value, "") for value in (row.p50_ms, row.p90_ms, row.p99_ms)),
                *(f"{row.window_s:.2f}", f"{row.memory_mb:.0f}", _cpus(row)),
                "yes" if row.on_front else "no",
            ]
            for row in rows
        ),
    )


def split_parts(rows: Sequence[SplitRow], latency_ms: float | None) -> list[str]:
    """Return the parts of a Markdown page on splits; none without them."""
    if not rows:
        return []
    headers, body = split_table(rows)
    best_headers, best_body = best_table(rows, latency_ms)
    parts = [
        "## By instances",
        INSTANCES,
        markdown_table(headers, body, ["left", "left", *["right"] * 8, "left", "left"]),
        "### Best split of each row",
        markdown_table(best_headers, best_body, ["left"] * len(best_headers)),
    ]
    scaled = scaling(rows)
    if scaled:
        headers, body = scaling_table(scaled)
        parts += [
            "### By threads",
            SCALING,
            markdown_table(headers, body, ["left", *["right"] * 5]),
        ]
    return parts


def split_table(rows: Sequence[SplitRow]) -> tuple[list[str], list[list[str]]]:
    """Return the headers and the cells of the table of all splits."""
    headers = [
        *("Method", "Split", "Batch", "Images/s", "Spread %", "p50 ms", "p90 ms", "p99 ms"),
        *("Memory MB", "Rounds × s", "CPUs", "On the front"),
    ]
    body = [
        [
            *(row.label, str(row.split), str(row.batch_size), rate_text(row)),
            f"{row.spread_pct:.1f}",
            *(_shown(value, "-") for value in (row.p50_ms, row.p90_ms, row.p99_ms)),
            *(f"{row.memory_mb:.0f}", f"{row.rounds} × {row.window_s / row.rounds:.1f}"),
            *(_cpus(row), "yes" if row.on_front else ""),
        ]
        for row in rows
    ]
    return headers, body


def best_table(
    rows: Sequence[SplitRow], latency_ms: float | None
) -> tuple[list[str], list[list[str]]]:
    """Return the headers and the cells of the best splits: of all, and of those with a low p99.

    Args:
        latency_ms: the most that p99 may be; None: all may be chosen.
    """
    headers = ["Method", "Best throughput"]
    if latency_ms is not None:
        headers.append(f"Best throughput with p99 below {latency_ms:g} ms")
    body = []
    for of_method in by_method(rows):
        cells = [_best_text(best_split(of_method))]
        if latency_ms is not None:
            cells.append(_best_text(best_split(of_method, latency_ms)))
        body.append([of_method[0].label, *cells])
    return headers, body


def scaling_table(scaled: Sequence[Scaled]) -> tuple[list[str], list[list[str]]]:
    """Return the headers and the cells of the table of thread counts."""
    headers = ["Method", "Batch", "Threads", "Images/s", "Times as fast", "Efficiency %"]
    body = [
        [
            *(one.row.label, str(one.row.batch_size), str(one.row.split.threads)),
            *(rate_text(one.row), f"{one.times:.2f}", f"{100 * one.efficiency:.0f}"),
        ]
        for one in scaled
    ]
    return headers, body


def rate_text(row: SplitRow) -> str:
    """Return images/s with its interval where there is one."""
    rate, *ends = _rate_ends(row)
    return f"{rate:.1f} [{ends[0]:.1f}, {ends[1]:.1f}]" if ends else f"{rate:.1f}"


def _rate_ends(row: SplitRow) -> list[float]:
    ends = [row.interval.low, row.interval.high] if row.interval else []
    return [row.images_per_s, *ends]


def _best_text(row: SplitRow | None) -> str:
    if row is None:
        return "none"
    return f"{rate_text(row)} images/s: {row.name}, p99 {_shown(row.p99_ms, '-')} ms"


def _shown(value: float | None, missing: str) -> str:
    return missing if value is None else f"{value:.2f}"


def _cpus(row: SplitRow) -> str:
    """Return the CPUs of each instance, such as ``0-1; 2-3``."""
    return "; ".join(in_ranges(sorted(cpus)) for cpus in row.cpus)
