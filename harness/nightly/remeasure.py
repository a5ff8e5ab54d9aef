"""Measure the suspected rows of a night again, in a run of its own: NIGHT-again.

A row suspected of being slower is timed in turn with the model of the run before; one suspected of
anything else is made anew. The run is an ordinary one, with its plan, records and tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from harness.facts.typed import changed
from harness.nightly.entry import NightEntry, build_entry, list_changes, software
from harness.nightly.memory.lasting import LastingShift
from harness.nightly.one_software import require_one_software
from harness.nightly.second_verdicts import (
    after_remeasuring,
    in_a_new_environment,
    not_separable,
    timed_again,
)
from harness.nightly.sequential_test import LOOKS, Confirmation, confirm
from harness.nightly.verdict import BATCH, NIGHTLY, Floats, Verdict
from harness.run.context import Context
from harness.run.lifecycle import run_rows, start_session
from harness.run.reuse import copy_model, damage
from harness.run.rounds import run_rounds
from harness.run.session import Session
from harness.storage.store import AGAIN, RunFolder
from harness.table.samples import samples_of
from harness.table.tables import write_tables

BEFORE = "_before"  # ends the name of the row that is the earlier run's model


@dataclass(frozen=True)
class Again:
    """The results of measuring again.

    Attributes:
        run: the id of the run that it is.
        entry: that run, of the rows as they were measured again.
        confirmations: of the rows that were timed in turn with an earlier model.
        before: by method, the run whose model that was.
        lacking: by method, why it could not be timed so.
    """

    run: str
    entry: NightEntry
    confirmations: Mapping[str, Confirmation]
    before: Mapping[str, str]
    lacking: Mapping[str, str] = field(default_factory=dict)


def measure_again(
    night: RunFolder,
    context: Context,
    slower: Mapping[str, NightEntry],
    other: Sequence[str],
) -> Again:
    """Measure suspected rows again.

    Args:
        night: the run that raised the suspicions.
        context: its configuration, and where progress is shown.
        slower: by method suspected of being slower, the run whose model it is timed with.
        other: methods suspected of anything else.

    Raises:
        InputError, HarnessError, KeyboardInterrupt: as ``measure_folder``; also an InputError where the
            software is not that of the night any more.
    """
    composed, results = context.composed, night.path.parent.parent
    controls, lacking = {}, {}
    for method, entry in slower.items():
        earlier = RunFolder(results / entry.folder)
        rows = {row.method: row for row in earlier.load_records()}
        damaged = damage(rows[method], earlier) if method in rows else earlier.path
        if damaged is None and rows[method].optimize:
            controls[method] = (earlier, rows[method])
        else:
            lacking[method] = f"the model of run {entry.run} is gone: {damaged}"
    config, methods = composed.config, {}
    for name, chosen in config.method.items():
        if name in slower or name in other:
            methods[name] = chosen.stored
            if name in controls:
                label = f"{chosen.label} of run {controls[name][0].id}"
                methods[name + BEFORE] = {**chosen.stored, "label": label}
    rounds = config.protocol.rounds
    again = folder_of_again(night, methods, rounds * LOOKS if slower else 0)
    config = changed(
        config,
        method=methods,
        run=changed(config.run, id=again.id, reuse_tuned=None).stored,
        protocol=changed(config.protocol, rounds=rounds * LOOKS if slower else 0).stored,
    )
    with again.locked():
        session = start_session(
            again,
            replace(composed, config=config),
            context.folders,
            context.show,
            partial(require_one_software, night),
        )
        own = {row.method: row for row in night.load_records()}
        for name in slower:
            if name not in other and damage(own[name], night) is None:
                copy_model(own[name], night, again, name)
        for name, (earlier, row) in controls.items():
            copy_model(row, earlier, again, name + BEFORE)
        try:
            run_rows(session)
            confirmations = _looks(session, list(slower), list(controls), rounds)
        finally:
            write_tables(again, config.table.intervals)
        entry = build_entry(again)
    rows_again = tuple(row for row in entry.rows if not row.method.endswith(BEFORE))
    return Again(
        again.id,
        replace(entry, rows=rows_again),
        confirmations,
        {name: earlier.id for name, (earlier, _) in controls.items()},
        lacking,
    )


def folder_of_again(
    night: RunFolder, methods: Mapping[str, Mapping[str, Any]], rounds: int
) -> RunFolder:
    """Return the folder of the run that measures these rows again: a new one, or one to go on with.

    A night that goes on may suspect other rows than before it was stopped, or time them with another
    model.
    """
    labels = {name: values["label"] for name, values in methods.items()}
    end, number = AGAIN, 1
    while True:
        folder = RunFolder(night.path.with_name(night.id + end))
        plan = folder.load_plan()
        if plan is None:
            return folder
        planned = {name: chosen.label for name, chosen in plan.methods.items()}
        if planned == labels and plan.config.protocol.rounds == rounds:
            return folder
        number += 1
        end = f"{AGAIN}-{number}"


def _looks(
    session: Session, slower: list[str], controls: list[str], rounds: int
) -> dict[str, Confirmation]:
    """Measure the rows look by look until each is decided; rows without a control for one look."""
    decided: dict[str, Confirmation] = {}
    pending = list(controls)
    for look in range(1, LOOKS + 1):
        timed = [*pending, *(name + BEFORE for name in pending)]
        if look == 1:
            timed += [name for name in slower if name not in controls]
        if not timed:
            break
        run_rounds(session, look * rounds, timed)
        times = samples_of(session.folder.load_rounds()).get(session.plan.workload.batch_size, {})
        both = {name for name in pending if {name, name + BEFORE} <= set(times)}
        now: dict[str, Floats] = {name: times[name].forward_s for name in pending if name in both}
        before = {name: times[name + BEFORE].forward_s for name in now}
        for confirmation in confirm(before, now, look, NIGHTLY, rows=len(controls)):
            decided[confirmation.method] = confirmation
        pending = [name for name in now if decided[name].state == "open"]
    return decided


def second_verdict(
    row: Verdict,
    second: Verdict | None,
    again: Again,
    entry: NightEntry,
    before: NightEntry,
    shift: LastingShift | None,
) -> Verdict:
    """Return the verdict on a suspected row after it was measured again.

    The environment is blamed only where the other methods are a control, over two nights at least.
    """
    confirmation = again.confirmations.get(row.method) if row.metric == BATCH else None
    if confirmation is None:
        lacking = again.lacking.get(row.method) if row.metric == BATCH else None
        return after_remeasuring(row, second, lacking)
    turn = timed_again(row, confirmation, again.before[row.method], NIGHTLY)
    if turn.kind == "regression" or software(before) == software(entry):
        return turn
    changes = "; ".join(list_changes(before, entry)[:4])
    if shift is not None and shift.is_controlled:
        return in_a_new_environment(turn, shift.ratio, changes, shift.since.run)
    is_slower = second is not None and second.kind == "regression"
    return not_separable(turn, changes) if is_slower else turn
