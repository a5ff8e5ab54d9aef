"""A night: measured, judged by earlier ones, and kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from harness.config import Composed
from harness.errors import HarnessError, InputError
from harness.facts.faults import is_name
from harness.facts.override_key import key_of
from harness.nightly import reasons
from harness.nightly.baseline import Baseline, last_good, named
from harness.nightly.disturbed import summarise
from harness.nightly.entry import NightEntry, NightRow, bare_entry, build_entry
from harness.nightly.judgements import is_own, publish, rebuild, stored_verdicts
from harness.nightly.memory.database import opened
from harness.nightly.memory.levels import outside_levels
from harness.nightly.night import WAKING, Night
from harness.nightly.nightly_report import to_json
from harness.nightly.notices.notify import LOG, command_words, notify
from harness.nightly.one_software import check_going_on
from harness.nightly.page.trend_page import write_page
from harness.nightly.remeasure import BEFORE, measure_again
from harness.nightly.suspects import Means, Seen, judge_night
from harness.nightly.verdict import NIGHTLY
from harness.process.interrupt import resumable
from harness.process.lifetime import NOT_ALONE, alone_on_host
from harness.render.progress import told_once
from harness.run.context import Context
from harness.run.lifecycle import measure_folder, open_folder
from harness.run.other_checkout import check_named_now, measure_pinned
from harness.storage.known_runs import LATEST
from harness.storage.plan import RunPlan
from harness.storage.same_run import alike
from harness.storage.store import AGAIN, PINNED, RunFolder
from harness.table.tables import write_tables

EXPERIMENT = "experiment=nightly"


def measure_night(
    context: Context, show_stopped: Callable[[Night, RunFolder], None]
) -> tuple[int, Night, RunFolder]:
    """Measure a night, judge it, and keep both.

    Args:
        show_stopped: is given a night that is kept as stopped, before the error that stopped it goes on.

    Returns:
        1 for a regression, else 3 if a row failed, else 0; the night; the run's folder.

    Raises:
        InputError: as ``measure_run``; also a named baseline that was not measured alike.
        KeyboardInterrupt: as ``measure_run``; the night is kept as one that was stopped.
    """
    now, folders, show = context.composed, context.folders, context.show
    folder, composed = open_folder(now, folders)
    context = replace(context, composed=composed)
    _check_names(folder, composed)
    check_named_now(folder, now, composed)
    # a plan is data: the command is one of now, or none
    command = now.config.nightly.notify
    told = None if command is None else command_words(command)
    # before the wait for the host, which may take hours
    baseline = None if composed.config.nightly.pinned else _named(context, folder)
    rounds = composed.config.protocol.rounds
    if rounds < NIGHTLY.rounds:
        show.note(reasons.too_few_rounds(rounds, NIGHTLY.rounds))
    wait_s = composed.config.run.wait_s
    with alone_on_host(wait_s, told_once(show, NOT_ALONE, wait_s), show.note):
        pinned = measure_pinned(context, context.overrides, folder, _goes_on(context, folder))
        against = pinned or baseline
        chosen = None if against is None else build_entry(against)

        def check(plan: RunPlan) -> None:
            check_going_on(folder, plan, show.note)
            if chosen is not None:
                _compared_with(chosen, alike(plan))

        try:
            code = measure_folder(folder, composed, folders, show, check)
            with resumable(_goes_on(context, folder)):
                night = judge_folder(folder, context, chosen, show_stopped, told)
        except KeyboardInterrupt as stop:
            stopped = _keep_stopped(folder, context)
            if stopped is not None:
                show_stopped(stopped, folder)
            if not stop.args:  # no run was begun
                raise
            raise KeyboardInterrupt(_goes_on(context, folder)) from None
    return (1 if night.verdict in WAKING else code), night, folder


def judge_folder(
    folder: RunFolder,
    context: Context,
    chosen: NightEntry | None,
    show_stopped: Callable[[Night, RunFolder], None],
    told: list[str] | None,
) -> Night:
    """Judge a measured night, write its report, save it in the history and tell of it if it is red.

    Args:
        folder: of the night's run, whose rows are measured.
        chosen: the run to compare it with; None for the last good nights.
        show_stopped: as of ``measure_night``.
        told: the command that is told of a red night; None: nobody is.

    Raises:
        InputError, HarnessError, KeyboardInterrupt: as ``judge_night``.
    """
    composed, show = context.composed, context.show
    entry = build_entry(folder)
    with opened(context.results) as history:
        if history.is_new:
            rebuild(history, context.results)
        nights = [each for each in history.load(entry.machine) if is_own(each, context.results)]
        others = [name for name in history.machines() if name != entry.machine]
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    ahead = [each.run for each in nights if each.created > now]
    if ahead:
        show.note(
            f"warning: nights are dated after now ({', '.join(ahead[:3])}): is the clock right?"
        )
    earlier = [each for each in nights if _is_before(each, entry)]
    chosen_by = composed.config.nightly
    if chosen is not None:
        baseline = _compared_with(chosen, entry.alike)
    else:
        present = {row.method for row in entry.rows}
        baseline = last_good(
            earlier, entry.alike, chosen_by.runs, chosen_by.trust_disturbed, present
        )
        if not earlier and others:
            reason = (
                f"nights of other machines ({', '.join(others)}) are never compared with this one"
            )
            baseline = replace(baseline, reason=reason)

    def keep(night: Night) -> None:
        known = stored_verdicts(folder)
        if known is None or not known.is_final:
            publish(night, entry, folder, context.results)
            if night.verdict == "stopped":
                show_stopped(night, folder)

    means = Means(
        partial(measure_again, folder, context),
        keep,
        show.note,
        chosen_by.runs,
        chosen_by.trust_disturbed,
        outside_levels(earlier, entry, context.results),
    )
    night = judge_night(entry, earlier, baseline, _seen(folder, context), means)
    publish(night, entry, folder, context.results)
    if told is not None and night.verdict in WAKING:
        failure = notify(told, to_json(night), folder.path / LOG)
        if failure:
            said = f"nightly.notify: {failure}, so nobody may know of this night; see {LOG}"
            show.note(f"warning: {said}")
            night = replace(night, notes=(*night.notes, said))
            publish(night, entry, folder, context.results)
    known = {**{each.run: each.rows for each in nights}, entry.run: entry.rows}
    _show_trends(entry.machine, known, context)
    return night


def _show_trends(machine: str, known: Mapping[str, tuple[NightRow, ...]], context: Context) -> None:
    """Write the page of the machine's nights; without it, the night counts all the same.

    Args:
        known: rows by run that need not be read from the history again.
    """
    try:
        with opened(context.results) as history:
            nights = history.load(machine, known=known)
        context.show.note(f"all nights: {write_page(context.results, machine, nights)}")
    except (OSError, HarnessError) as error:
        context.show.note(
            f"warning: the page of all nights was not written ({error}); the verdict stands, and "
            "./run.sh history page=true writes the page"
        )


def _keep_stopped(folder: RunFolder, context: Context) -> Night | None:
    """Keep and return a night that was stopped; None if more is known of it, or it has no plan."""
    plan = folder.load_plan()
    known = stored_verdicts(folder)
    if plan is None or (known is not None and known.has_verdicts):
        return None
    records, seen = folder.load_records(), _seen(folder, context)
    night = Night(
        machine=folder.path.parent.name,
        run=folder.id,
        created=plan.created,
        verdict="stopped",
        rows=(),
        baseline=(),
        again=None,
        failed={},
        changes=(),
        shifted=(),
        notes=(
            f"{len(records)} of {len(plan.methods)} rows and {seen.disturbances.of_timings} of "
            f"{plan.config.protocol.rounds * len(plan.methods)} timings were done when it was stopped",
        ),
        stopped="measuring, and nothing was judged",
        disturbances=seen.disturbances,
        places=seen.places,
        words=seen.words,
    )
    with resumable(context.command("nightly", f"run.id={folder.id}")):  # stopped once more
        publish(night, bare_entry(folder), folder, context.results)
        # their notes say how to go on, which is known from now on
        write_tables(folder, context.composed.config.table.intervals)
    return night


def _goes_on(context: Context, folder: RunFolder) -> str:
    """Return the command that goes on with a night.

    Before the night has a plan, it has all words of now. A checkout whose code runs is always named.
    """
    own = [word for word in context.overrides if word != EXPERIMENT]
    is_planned = folder.load_plan() is not None
    words = [
        word
        for word in own
        if key_of(word) not in ("run.id", "run.results")
        and (not is_planned or key_of(word) == "nightly.pinned")
    ]
    return context.command("nightly", *words, f"run.id={folder.id}")


def _seen(folder: RunFolder, context: Context) -> Seen:
    """Return what is said of a night besides its verdicts."""
    words = [w for w in context.overrides if key_of(w) != "run.id" and w != EXPERIMENT]
    seen = summarise(folder.load_rounds())
    return Seen(seen, context.places, (*words, *context.conf_words))


def _check_names(folder: RunFolder, composed: Composed) -> None:
    """Refuse names that leave no room for those of the runs and rows that a night may add."""
    runs = [f"{folder.id}{after}" for after in (PINNED, AGAIN)]
    rows = [f"{method}{BEFORE}" for method in composed.config.method]
    for key, name in [("run.id", each) for each in runs] + [("method", each) for each in rows]:
        if not is_name(name):
            raise InputError(
                f"{key}: a night may add {name}, which is too long: use a shorter name"
            )


def _is_before(each: NightEntry, entry: NightEntry) -> bool:
    return each.run != entry.run and (each.created, each.run) < (entry.created, entry.run)


def _named(context: Context, night: RunFolder) -> RunFolder | None:
    """Return the run that ``nightly.baseline`` names, if it names one: not the night itself."""
    wanted = context.composed.config.nightly.baseline
    if wanted == "last":
        return None
    folder = context.find(wanted)
    if wanted == LATEST != folder.id:  # of a night that goes on: itself
        raise InputError(
            f"nightly.baseline={wanted}: did you mean last, the last good nights? Name one run by its "
            "id: the newest is the night itself once it has begun"
        )
    if folder.path == night.path:
        raise InputError(
            f"nightly.baseline={wanted} is this night, and compared with itself it would pass whatever "
            "it has: give nightly.baseline=last, or the id of an earlier run"
        )
    if folder.is_imported:
        raise InputError(
            f"nightly.baseline={wanted}: that run was imported, and a night is compared with what was "
            "measured here; ./run.sh compare shows imported runs beside others"
        )
    return folder


def _compared_with(entry: NightEntry, now: Mapping[str, Any]) -> Baseline:
    try:
        return named(entry, now)
    except ValueError as error:
        raise InputError(
            f"run {entry.run} was not measured alike ({error}): name another with "
            "nightly.baseline=ID, or measure as it did"
        ) from None
