"""What a run took: the time and the memory of its processes, as far as its records have them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from harness.storage.stage_facts import Process
from harness.table.loaded_run import LoadedRun
from harness.table.notes.condition_notes import row_conditions
from harness.table.notes.footnotes import used_timings
from harness.table.searches import taken_over


@dataclass(frozen=True)
class Effort:
    """What a run took.

    Attributes:
        seconds: of its processes one after another; of several at once those of the longest. None
            where no record has any.
        memory_bytes: the most that processes held at once; 0 where no record has any.
        left_out: what is in none of them, in sentences.
        reads_energy: whether the energy of a row's images was read.
    """

    seconds: float | None
    memory_bytes: int
    left_out: Sequence[str]
    reads_energy: bool


def effort(run: LoadedRun) -> Effort:
    """Return what a run took.

    Raises:
        HarnessError: the record of its roof is damaged.
    """
    together = list(_together(run))
    seconds = [
        [one.seconds for one in processes if one.seconds is not None] for processes in together
    ]
    longest = [max(known) for known in seconds if known]
    memory = [sum(one.peak_rss_bytes or 0 for one in processes) for processes in together]
    used = used_timings(run.records, run.rounds)
    return Effort(
        sum(longest) if longest else None,
        max(memory, default=0),
        list(_left_out(run)),
        any(row.joules_per_1000 is not None for row in row_conditions(run.records, used)),
    )


def _together(run: LoadedRun) -> Iterator[Sequence[Process]]:
    """Yield the processes that ran at once."""
    roof = run.folder.load_roof()
    alone: list[Process | None] = [roof.facts if roof else None]
    for record in run.records:
        own = None if taken_over(record, run.plan.run) else record.optimize
        alone += [own, record.validate, record.profile]
    alone += [timing.facts for timing in run.rounds]
    yield from ([stage] for stage in alone if stage is not None)
    yield from (instances.facts or () for instances in run.instances)
    yield from (search.facts or () for search in run.server_records)


def _left_out(run: LoadedRun) -> Iterator[str]:
    without = [record.label for record in run.records if record.optimize is None]
    if without:
        yield f"Without {', '.join(without)}, which left no model."
    if run.instances:
        yield "Without attempts at instances that do not count."
