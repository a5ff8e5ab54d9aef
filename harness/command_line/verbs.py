"""The verbs, found as the modules of ``harness/commands/``: there is no list of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from harness import PROJECT
from harness.command_line.verb import Verb

DEFAULT = "run"
SET_UP = "--set-up"
HELP = ("-h", "--help", "help")
VERSION = "--version"
FOLDER = PROJECT / "harness" / "commands"


def find_verb(name: str) -> Verb | None:
    """Return the verb of a name, or None; imports its module and no other."""
    if not re.fullmatch(r"[a-z]+(-[a-z]+)*", name):
        return None
    stem = name.replace("-", "_")
    for path in _modules():
        if path.stem.rstrip("_") == stem:
            return _load(path)
    return None


def all_verbs() -> list[Verb]:
    """Return every verb, in the order of their ranks."""
    return sorted(map(_load, _modules()), key=lambda verb: (verb.rank, verb.name))


def chosen(words: Sequence[str]) -> Verb | None:
    """Return the verb that a command line asks for; None where its first word is no verb."""
    first = words[0] if words else ""
    if not first or "=" in first or first[0] == "~" or first == "--conf":
        return find_verb(DEFAULT)
    return find_verb(first)


def asks_for_help(words: Sequence[str]) -> bool:
    """Say whether a command line asks for help or the version, which need no environment.

    The help of a program that a verb starts is that program's.
    """
    if words[:1] == [VERSION]:
        return True
    verb = find_verb(words[0]) if words else None
    if verb is not None and verb.program is not None:
        return words[1:2] != [] and words[1] in HELP
    return any(word in HELP for word in words)


def _modules() -> list[Path]:
    paths = [*FOLDER.glob("*.py"), *FOLDER.glob("*/*.py")]
    return sorted(path for path in paths if path.stem != "__init__")


def _load(path: Path) -> Verb:
    """Return the verb of a module; one whose name is a word of Python ends in ``_``."""
    parts = path.relative_to(PROJECT).with_suffix("").parts
    verb: Verb = import_module(".".join(parts)).VERB
    return verb
