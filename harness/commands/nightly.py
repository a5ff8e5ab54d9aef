"""``./run.sh nightly``: measure, compare with earlier nights, measure again what is suspected, report."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from harness.config import Composed, compose_config, project_path
from harness.errors import HarnessError, InputError
from harness.nightly.baseline import Baseline, last_good, named
from harness.nightly.database import opened
from harness.nightly.entry import NightEntry, build_entry
from harness.nightly.judgements import NIGHT, is_own, rebuild, with_verdict
from harness.nightly.night import Night
from harness.nightly.nightly_report import to_json, to_junit, to_markdown
from harness.nightly.remeasure import AGAIN, BEFORE
from harness.nightly.suspects import judge_night
from harness.process.interrupt import finishing, resumable
from harness.process.lifetime import NOT_ALONE, alone_on_host, die_with_parent
from harness.process.variables import passed_on
from harness.render.progress import Display, told_once
from harness.run.lifecycle import measure_folder, open_folder
from harness.storage import form, whole_files
from harness.storage.plan import RunPlan
from harness.storage.same_run import alike
from harness.storage.store import RunFolder, find_run
from harness.words import for_hydra, key_of, set_to

EXPERIMENT = "experiment=nightly"
PINNED = "-pinned"  # after a night's id: the run of nightly.pinned
MARKDOWN, JUNIT = "nightly.md", "nightly.junit.xml"


def nightly(
    overrides: Sequence[str], folders: Sequence[Path], show: Display
) -> tuple[int, str, RunFolder]:
    """Measure a night, judge it, and keep both.

    Returns:
        1 for a regression, else 3 if a row failed, else 0; the report in Markdown; the run's folder.

    Raises:
        InputError: as ``run``; also a named baseline that was not measured alike.
    """
    asked = list(overrides)
    if not any(word.startswith("experiment=") for word in asked):
        asked.insert(0, EXPERIMENT)
    now = compose_config(asked, folders)
    folder, composed = open_folder(now, folders)
    _check_names(folder, composed)
    _check_pinned_now(folder, now, composed)
    wait_s = composed.values["run"]["wait_s"]
    with alone_on_host(wait_s, told_once(show, NOT_ALONE), show.note):
        pinned = _pinned(composed, asked, folder, folders, show)
        chosen = pinned or _named(composed)

        def check(plan: RunPlan) -> None:
            if chosen is not None:
                _compared_with(chosen, alike(plan))

        code = measure_folder(folder, composed, folders, show, check)
        with resumable(f"run.id={folder.id}"):
            night, text = _judged(folder, composed, chosen, folders, show)
    return (1 if night.verdict == "regression" else code), text, folder


def _judged(
    folder: RunFolder,
    composed: Composed,
    chosen: NightEntry | None,
    folders: Sequence[Path],
    show: Display,
) -> tuple[Night, str]:
    """Judge a measured night, write its report and save it in the history."""
    entry = build_entry(folder)
    with opened(_results(composed)) as history:
        if history.is_new:
            rebuild(history, _results(composed))
        nights = [each for each in history.load(entry.machine) if is_own(each, _results(composed))]
        others = [name for name in history.machines() if name != entry.machine]
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    ahead = [each.run for each in nights if each.created > now]
    if ahead:
        show.note(
            f"warning: nights are dated after now ({', '.join(ahead[:3])}): is the clock right?"
        )
    earlier = [each for each in nights if _is_before(each, entry)]
    if chosen is not None:
        baseline = _compared_with(chosen, entry.alike)
    else:
        baseline = last_good(earlier, entry.alike, composed.values["nightly"]["runs"])
        if not earlier and others:
            reason = (
                f"nights of other machines ({', '.join(others)}) are never compared with this one"
            )
            baseline = replace(baseline, reason=reason)
    night = judge_night(entry, earlier, baseline, folder, composed, folders, show)
    text = to_markdown(night)
    whole_files.write_json(folder.path / NIGHT, to_json(night))
    whole_files.write_atomically(folder.path / JUNIT, to_junit(night))
    whole_files.write_atomically(folder.path / MARKDOWN, text)
    with opened(_results(composed)) as history:
        history.save(with_verdict(entry, folder))
    return night, text


def _is_of_this_run(key: str) -> bool:
    """Say whether a key is about the night alone, and not about what its baseline measures."""
    return key in ("run.id", "run.results", "machine") or key.startswith("nightly.")


def _check_names(folder: RunFolder, composed: Composed) -> None:
    """Refuse names that leave no room for those of the runs and rows that a night may add."""
    runs = [f"{folder.id}{after}" for after in (PINNED, AGAIN)]
    rows = [f"{method}{BEFORE}" for method in composed.values["method"]]
    for key, name in [("run.id", each) for each in runs] + [("method", each) for each in rows]:
        if not form.name(name):
            raise InputError(
                f"{key}: a night may add {name}, which is too long: use a shorter name"
            )


def _check_pinned_now(folder: RunFolder, now: Composed, composed: Composed) -> None:
    """Refuse to start what a plan names: another checkout's code runs only if it is named now."""
    place = composed.values["nightly"]["pinned"]
    if place is not None and place != now.values["nightly"]["pinned"]:
        raise InputError(
            f"run {folder.id} began with nightly.pinned={place}, whose code would run: give that again "
            "to go on with it, or nightly.pinned=null to compare with the last good runs"
        )


def _results(composed: Composed) -> Path:
    return project_path(composed.values["run"]["results"])


def _is_before(each: NightEntry, entry: NightEntry) -> bool:
    return each.run != entry.run and (each.created, each.run) < (entry.created, entry.run)


def _named(composed: Composed) -> NightEntry | None:
    """Return the run that ``nightly.baseline`` names, if it names one."""
    wanted = composed.values["nightly"]["baseline"]
    if wanted == "last":
        return None
    folder = find_run(_results(composed), wanted)
    if folder.is_imported:
        raise InputError(
            f"nightly.baseline={wanted}: that run was imported, and a night is compared with what was "
            "measured here; ./run.sh compare shows imported runs beside others"
        )
    return build_entry(folder)


def _compared_with(entry: NightEntry, now: Mapping[str, Any]) -> Baseline:
    try:
        return named(entry, now)
    except ValueError as error:
        raise InputError(
            f"run {entry.run} was not measured alike ({error}): name another with "
            "nightly.baseline=ID, or measure as it did"
        ) from None


def _pinned(
    composed: Composed,
    asked: Sequence[str],
    folder: RunFolder,
    folders: Sequence[Path],
    show: Display,
) -> NightEntry | None:
    """Let another checkout of the project measure the same first, if one is named.

    Raises:
        InputError: it is no checkout.
        HarnessError: its run failed.
    """
    place = composed.values["nightly"]["pinned"]
    if place is None:
        return None
    script = project_path(place) / "run.sh"
    if not script.is_file():
        raise InputError(
            f"nightly.pinned={place}: there is no run.sh; name a checkout of this project"
        )
    before = RunFolder(folder.path.with_name(f"{folder.id}{PINNED}"))
    kept = [w for w in for_hydra(asked) if not _is_of_this_run(key_of(w))]
    # in quotes, which checkouts of before names and paths were taken as typed understand as well
    places = [
        set_to("run.results", str(_results(composed))),
        set_to("run.id", before.id),
        set_to("machine", folder.path.parent.name),
    ]
    places += [word for each in folders for word in ("--conf", str(each))]
    show.note(f"measuring the baseline with {script.parent}")
    with finishing("its baseline's row or round", show.note), resumable(f"run.id={folder.id}"):
        try:
            ended = subprocess.run(
                [script, "run", *kept, *places],
                env=passed_on(os.environ),  # its version may clean up less than this one
                stdout=subprocess.DEVNULL,
                check=False,
                preexec_fn=partial(die_with_parent, os.getpid()),
            )
        except OSError as error:
            raise InputError(
                f"nightly.pinned={place}: {script} cannot be started ({error.strerror}); name a "
                "checkout of this project"
            ) from None
    if ended.returncode:
        raise HarnessError(
            f"nightly.pinned={place}: its run {before.id} ended with exit code {ended.returncode}; "
            f"see above and {before.path}"
        )
    return build_entry(before)
