"""The comparison as Markdown and as JSON; nothing is measured or judged here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tabulate import tabulate

from benchmarks.vs_published.comparison import (
    Equality,
    Scale,
    Target,
    shown_accuracies,
    spared_seconds,
)
from benchmarks.vs_published.side import Side
from harness.facts.machine_facts import Machine
from harness.facts.typed import plain
from harness.storage.outcomes import NO_SOLUTION, OK

GB = 1e9


@dataclass(frozen=True)
class Report:
    """Everything that one comparison found.

    Attributes:
        words: what the user asked.
        labels: the methods' titles by their names.
    """

    words: tuple[str, ...]
    machine: Machine
    threads: dict[str, str]
    labels: dict[str, str]
    scale: Scale
    published: Side
    runs: tuple[Side, ...]
    equalities: tuple[Equality, ...]
    targets: tuple[Target, ...]

    @property
    def failures(self) -> list[str]:
        """Say which methods failed, on which side."""
        expected = (OK, NO_SOLUTION)
        return [
            f"{side.name}: {name}: {row.outcome}"
            for side in (self.published, *self.runs)
            for name, row in side.rows.items()
            if row.outcome not in expected
        ]

    def as_dict(self) -> dict[str, Any]:
        """Return all of it, ready for JSON."""
        values: dict[str, Any] = plain(self)
        return values


def to_markdown(report: Report) -> str:
    """Return the targets, the accuracies side by side, the times and where they went."""
    scale, sides = report.scale, (report.published, *report.runs)
    settings = " ".join(f"{key}={value}" for key, value in sorted(report.threads.items()))
    parts = [
        "# The published procedure against this harness",
        f"{scale.images} images at {scale.crop} x {scale.crop}, {scale.tuning_images} for tuning; "
        f"{report.machine.cpu_model}, {report.machine.usable_cores} usable cores; "
        f"{settings or 'no thread settings'}; asked: {' '.join(report.words) or 'the defaults'}.",
        "Both sides share one calibration cache among INC's strategies "
        "(methods.shared_calibration=true): the published side in its one process, the harness in "
        "a file. Thresholds do not depend on who computed them. Both seed the random generators before "
        "every strategy; as published, they are seeded once. The harness runs protocol=published "
        "and gives every row the extra pass that shows oneDNN's kernels, which is in its seconds. The "
        "published side runs the additions of this MXNet as released, the harness as mxnet_additions "
        "says; its row of the other baseline is left out.",
        "## Targets",
        _targets(report.targets),
        "## Accuracies",
        _accuracies(report),
        "Equal: top-1 and top-5 as printed, or the same outcome. INC options: what INC was told. INC "
        "trials: the accuracy of every trial of the search, to the last bit. Where INC draws at random "
        "(bayesian, and mycustom after its second trial) trials may differ: it draws in the order of "
        "the operators' names, and MXNet numbers those through a process, so that in one process "
        "they depend on what ran before.",
        "## Seconds to the table, and memory",
        _totals(report, sides),
        "The published procedure decodes the data set twice, once a process, on one thread; what is "
        "called a pass is one of these. The harness decodes once, on all cores. "
        f"(*) against a published procedure whose first process decodes its {scale.tuning_images} "
        f"tuning images alone, which would save it {spared_seconds(report.published, scale):.1f} s. "
        "Largest process: the peak that the kernel counted. All together: sampled.",
        "## Seconds by method",
        _times(report),
        "## Where the time went",
        *(_phases(side) for side in sides),
    ]
    return "\n\n".join(parts) + "\n"


def _targets(targets: Sequence[Target]) -> str:
    verdict = {True: "met", False: "NOT MET", None: "not asked at this size"}
    rows = [[each.what, each.wanted, each.found, verdict[each.met]] for each in targets]
    return _table(["What", "Target", "Found", ""], rows)


def _accuracies(report: Report) -> str:
    """Return a row a method: the published accuracies, those of each run, and whether all agree."""
    rows = []
    for name, expected in report.published.rows.items():
        found = [each for each in report.equalities if each.method == name]
        rows.append(
            [
                report.labels[name],
                shown_accuracies(expected),
                *(shown_accuracies(each.observed) for each in found),
                _all(each.same_accuracies for each in found),
                _all(each.same_options for each in found),
                _all(each.same_trials for each in found),
            ]
        )
    headers = ["Method", "Published", *(run.name.capitalize() for run in report.runs)]
    return _table([*headers, "Equal", "INC options equal", "INC trials equal"], rows)


def _times(report: Report) -> str:
    """Return a row a method: its cost and validation time on each side, in seconds."""
    sides = (report.published, *report.runs)
    rows = []
    for name, label in report.labels.items():
        found = [side.rows.get(name) for side in sides]
        costs = [_seconds(row.cost_s if row else None) for row in found]
        passes = [_seconds(row.validation_s if row else None) for row in found]
        rows.append([label, *costs, *passes])
    headers = [f"{what}, {side.name}" for what in ("Cost", "Validation") for side in sides]
    return _table(["Method", *headers], rows)


def _all(answers: Iterable[bool | None]) -> str:
    """Return yes, NO, or a dash where the question does not arise."""
    known = [answer for answer in answers if answer is not None]
    return "-" if not known else "yes" if all(known) else "NO"


def _totals(report: Report, sides: Sequence[Side]) -> str:
    rows = [
        [
            side.name,
            f"{side.seconds:.1f}",
            f"{side.seconds / report.published.seconds:.2f}",
            " + ".join(f"{seconds:.2f}" for seconds in side.preparation_s),
            f"{side.peak_bytes / GB:.2f}",
            f"{side.together_bytes / GB:.2f}",
        ]
        for side in sides
    ]
    headers = ["Side", "Seconds", "/ published", "Preparing images s"]
    headers += ["Largest process GB", "All together GB"]
    return _table(headers, rows)


def _phases(side: Side) -> str:
    rows = [
        [phase, f"{seconds:.2f}", f"{100 * seconds / side.seconds:.0f} %"]
        for phase, seconds in side.phases.items()
    ]
    peaks = ", ".join(f"{stage} {size / GB:.2f} GB" for stage, size in side.peaks.items() if size)
    table = _table(["Phase", "Seconds", "Part"], rows)
    return f"**{side.name}**\n\n{table}\n\nLargest process by kind: {peaks or 'not known'}."


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return str(tabulate(rows, headers, tablefmt="pipe", disable_numparse=True))
