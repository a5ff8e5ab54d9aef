"""What may come next on a command line: verbs, their words, keys of the configuration, and values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from harness.command_line.parsing import without_folders
from harness.command_line.verb import METHODS, RUNS, Argument, Verb
from harness.command_line.verbs import SET_UP, all_verbs, chosen
from harness.config import choices, composed_values, is_group, project_path
from harness.errors import InputError
from harness.facts.faults import is_name
from harness.facts.nested import flattened
from harness.facts.override_key import key_of
from harness.facts.typed import JsonObject
from harness.storage.known_runs import LATEST, planned_runs
from harness.words.mistakes import HYDRA_ERRORS, LISTS

RUN_KEYS = ("run.id", "run.reuse_tuned", "nightly.baseline")  # keys whose values are runs
SWITCHES = ("false", "true")


def propose(words: Sequence[str], prefix: str) -> dict[str, str]:
    """Return what a word may become, each with what it means; empty where files may follow.

    Args:
        words: those before it.
        prefix: what is typed of it.
    """
    return {word: meaning for word, meaning in _all(words, prefix) if word.startswith(prefix)}


def _all(words: Sequence[str], prefix: str) -> Iterator[tuple[str, str]]:
    if words[-1:] == ["--conf"]:
        return
    verb = chosen(words)
    if not words and "=" not in prefix:
        yield from ((each.name, each.summary) for each in all_verbs())
    if verb is None:
        return
    if verb.program is not None:
        if len(words) == 1:
            yield from ((choice, "") for choice in verb.program_choices())
    elif prefix.startswith("-"):
        yield from ((flag.name, flag.meaning) for flag in verb.flags)
        yield from (("--conf", "a folder of your own"), ("--help", "the help of this verb"))
        if len(words) == 1:
            yield SET_UP, "make the environment and do no more"
    else:
        yield from _words(verb, words, prefix)


def _words(verb: Verb, words: Sequence[str], prefix: str) -> Iterator[tuple[str, str]]:
    folders, others = without_folders(words)
    typed = [word for word in others if "=" in word and verb.argument(key_of(word)) is None]
    name, sign, value = prefix.partition("=")
    key = name.lstrip("+~")
    argument = verb.argument(name)
    if sign and argument is not None:
        values = _of_argument(argument, _values(typed, folders), folders)
        yield from ((f"{name}={each}", "") for each in values)
    elif sign:
        yield from ((f"{name}={each}", "") for each in _of_key(key, value, typed, folders))
    else:
        yield from ((f"{each.name}=", each.meaning) for each in verb.arguments if not each.prefix)
        composed = _values(typed, folders)
        if verb.bare is not None and not prefix.startswith(("+", "~")):
            bare = _of_argument(verb.bare, composed, folders)
            yield from ((each, f"{verb.bare.name}={each}") for each in bare)
        end = "" if prefix.startswith("~") else "="
        signs = prefix[: len(prefix) - len(key)]
        keys = [*_groups(composed, folders), *(_flat(composed) if key else ())]
        yield from ((f"{signs}{each}{end}", "") for each in sorted(set(keys)))


def _of_argument(
    argument: Argument, composed: JsonObject, folders: Sequence[Path]
) -> Sequence[str]:
    if argument.proposes == RUNS:
        ids = runs(composed)
        return [*ids, LATEST] if ids else ids
    if argument.proposes == METHODS:
        return choices("method", folders)
    return () if isinstance(argument.proposes, str) else argument.proposes


def _of_key(key: str, value: str, words: Sequence[str], folders: Sequence[Path]) -> Iterator[str]:
    if key in RUN_KEYS:
        yield from runs(_values(words, folders))
    elif key in LISTS:
        *before, _ = value.lstrip("[").split(",")
        for choice in choices(key, folders):
            if choice not in before:
                listed = f"[{','.join([*before, choice])}"
                yield from (f"{listed},", f"{listed}]")
    elif is_group(key, folders):
        yield from choices(key, folders)
    elif isinstance(flattened(_values(words, folders)).get(key), bool):
        yield from SWITCHES


def runs(composed: JsonObject) -> list[str]:
    """Return the ids of the runs there are, with the machine where several have one of that id."""
    results = composed.get("run", {}).get("results")
    known = planned_runs(project_path(results)) if results else []
    named = [folder for folder in known if is_name(folder.id)]
    ids = [folder.id for folder in named]
    return [folder.id if ids.count(folder.id) == 1 else folder.address for folder in named]


def _groups(composed: JsonObject, folders: Sequence[Path]) -> list[str]:
    names = [name for name in (*composed, "experiment") if is_group(name, folders)]
    return [*names, *(name for name, each in composed.items() if not isinstance(each, dict))]


def _flat(values: JsonObject, above: str = "") -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{above}{name}.")
        else:
            yield f"{above}{name}"


def _values(words: Sequence[str], folders: Sequence[Path]) -> JsonObject:
    """Return what the words compose to, or what none compose to where they cannot be read yet."""
    for attempt in (words, ()):
        try:
            return composed_values(attempt, folders)
        except (InputError, *HYDRA_ERRORS):
            continue
    return {}
