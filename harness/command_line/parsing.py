"""Sorting the words after a verb: its own arguments, options, and words of the configuration.

No library is loaded before the words are known to be of the right kinds.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from harness.command_line.help_text import CONF
from harness.command_line.verb import Verb, Words
from harness.command_line.verbs import HELP, SET_UP, all_verbs
from harness.errors import InputError, proposal


class Parser(argparse.ArgumentParser):
    """argparse, whose errors are the user's input."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")


def parser_of(verb: Verb) -> Parser:
    """Return the parser of the words after a verb; ``words`` takes all that are no options."""
    parser = Parser(prog=f"./run.sh {verb.name}", add_help=False, allow_abbrev=False)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--conf", action="append", nargs="?", default=[], metavar="DIR", help=CONF)
    for flag in verb.flags:
        parser.add_argument(flag.name, action="store_true", help=flag.meaning)
    return parser


def parse(verb: Verb, words: Sequence[str]) -> Words:
    """Sort the words after a verb.

    Raises:
        InputError: an option that there is not, a word that is neither an argument of the verb nor
            ``KEY=VALUE``, or an argument is missing.
    """
    flags = [flag.name for flag in verb.flags]
    for word in words:
        if word.startswith("-") and word not in ("--conf", *flags):
            near = proposal(word, ["--conf", "--help", SET_UP, *flags])
            raise InputError(f"{word}: there is no such option{near}; see ./run.sh --help")
    parsed = parser_of(verb).parse_intermixed_args(list(words))
    if None in parsed.conf:
        raise InputError("--conf needs a folder")
    values, overrides = _sorted(verb, parsed.words)
    _require_all(verb, values, overrides)
    return Words(
        values={name: tuple(each) for name, each in values.items()},
        defaults={argument.name: argument.default for argument in verb.arguments},
        flags=frozenset(name for name in flags if getattr(parsed, name[2:].replace("-", "_"))),
        overrides=(*_first(verb, overrides), *overrides),
        folders=folders_of(words),
        typed=tuple(_without_folders(words)),
    )


def folders_of(words: Sequence[str]) -> tuple[Path, ...]:
    """Return the folders that follow ``--conf``."""
    named = [folder for word, folder in zip(words, words[1:]) if word == "--conf"]
    return tuple(Path(os.path.expanduser(folder)).resolve() for folder in named)


def unknown_verb(word: str) -> InputError:
    """Return what to say of a first word that is neither a verb nor ``KEY=VALUE``."""
    if word.startswith("-"):
        near = proposal(word, ["--conf", *HELP[:2]])
        return InputError(f"{word}: there is no such option{near}; see ./run.sh --help")
    names = [verb.name for verb in all_verbs()]
    return InputError(
        f"{word}: not a verb ({', '.join(names)}) and not KEY=VALUE{proposal(word, names)}; "
        "see ./run.sh --help"
    )


def _sorted(verb: Verb, words: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Return the values of the verb's own arguments, and the words of the configuration."""
    from harness.words import plain

    values: dict[str, list[str]] = {}
    overrides = []
    bare = verb.bare
    for word in words:
        name, sign, value = word.partition("=")
        if not sign:
            if bare is None:
                raise unknown_verb(word)
            if bare.name in values and not bare.repeats:
                raise InputError(f"{word}: {bare.name}={values[bare.name][-1]} is given: name one")
            values.setdefault(bare.name, []).append(word)
        elif verb.argument(name) is None:
            overrides.append(word)
        else:
            values.setdefault(name, []).append(plain(value))
    return values, overrides


def _require_all(verb: Verb, values: dict[str, list[str]], overrides: Sequence[str]) -> None:
    missing = sorted(
        each.name for each in verb.arguments if each.required and each.name not in values
    )
    if missing:
        typed = [word.partition("=")[0] for word in overrides]
        near = next(filter(None, (proposal(key, missing, "=") for key in typed)), "")
        raise InputError(
            f"give {' '.join(f'{name}=...' for name in missing)}{near}; "
            f"see ./run.sh {verb.name} --help"
        )


def _first(verb: Verb, overrides: Sequence[str]) -> list[str]:
    keys = {word.partition("=")[0] for word in overrides}
    return [word for word in verb.first if word.partition("=")[0] not in keys]


def _without_folders(words: Sequence[str]) -> list[str]:
    kept, rest = [], iter(words)
    for word in rest:
        if word == "--conf":
            next(rest, None)
        else:
            kept.append(word)
    return kept
