"""Another checkout of the project measures: a night's baseline (``nightly.pinned``)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from functools import partial

from harness.config import Composed, project_path
from harness.errors import HarnessError, InputError
from harness.facts.override_key import key_of
from harness.process.interrupt import finishing, resumable
from harness.process.lifetime import die_with_parent
from harness.process.variables import passed_on
from harness.run.context import Context
from harness.storage.same_run import EFFECTS, Effect
from harness.storage.store import PINNED, RunFolder
from harness.words.overrides import WORD, for_hydra, set_to, unquoted


def check_named_now(folder: RunFolder, now: Composed, composed: Composed) -> None:
    """Refuse to start what a plan names: another checkout's code runs only if it is named now."""
    place = composed.config.nightly.pinned
    if place is not None and place != now.config.nightly.pinned:
        raise InputError(
            f"run {folder.id} began with nightly.pinned={place}, whose code would run: give that again "
            "to go on with it, or nightly.pinned=null to compare with the last good runs"
        )


def measure_pinned(
    context: Context, words: Sequence[str], folder: RunFolder, goes_on: str
) -> RunFolder | None:
    """Let another checkout of the project measure the same first, if one is named.

    Args:
        context: of the night, which may have begun earlier.
        words: what the user typed now.
        folder: of the night.
        goes_on: the command that goes on with the night, for whoever stops it here.

    Returns:
        the folder of the other checkout's run; None if no checkout is named.

    Raises:
        InputError: it is no checkout.
        HarnessError: its run failed.
        KeyboardInterrupt: it was stopped; with the command that goes on.
    """
    place, show = context.composed.config.nightly.pinned, context.show
    if place is None:
        return None
    script = project_path(place) / "run.sh"
    if not script.is_file():
        raise InputError(
            f"nightly.pinned={place}: there is no run.sh; name a checkout of this project"
        )
    before = RunFolder(folder.path.with_name(f"{folder.id}{PINNED}"))
    kept = with_whole_paths([w for w in for_hydra(words) if not _is_of_this_run(key_of(w))])
    # in quotes, which checkouts of before names and paths were taken as typed understand as well
    places = [
        set_to("run.results", str(context.results)),
        set_to("run.id", before.id),
        set_to("machine", folder.path.parent.name),
    ]
    places += context.conf_words
    show.note(f"measuring the baseline with {script.parent}")
    with resumable(goes_on), finishing("its baseline's row or round", show.note):
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
    return before


def _is_of_this_run(key: str) -> bool:
    """Say whether a key is about the night alone, and not about what its baseline measures."""
    return key in ("run.id", "run.results", "machine") or key.startswith("nightly.")


def with_whole_paths(words: Sequence[str]) -> list[str]:
    """Return words with the whole paths of inputs that lie below this checkout.

    Another checkout would look for a relative path below its own folder.
    """
    return [_with_whole_path(word) for word in words]


def _with_whole_path(word: str) -> str:
    found = WORD.fullmatch(word)
    if found is None or EFFECTS.get(found["key"]) is not Effect.PLACE:
        return word
    path = project_path(unquoted(found["value"]) or found["value"])
    return f"{found['sign']}{set_to(found['key'], str(path))}" if path.is_file() else word
