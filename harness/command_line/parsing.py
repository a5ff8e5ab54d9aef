"""Sorting the words after a verb: its own arguments, options, and words of the configuration.

No library is loaded before the words are known to be of the right kinds.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from harness import PROJECT
from harness.command_line.help_text import CONF
from harness.command_line.verb import RUN, Verb, Words
from harness.command_line.verbs import HELP, SET_UP, VERSION, all_verbs, find_verb
from harness.errors import InputError, nearest, proposal


class Parser(argparse.ArgumentParser):
    """argparse, whose errors are the user's input."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"{message}; see {self.prog} --help")


def parser_of(verb: Verb) -> Parser:
    """Return the parser of the words after a verb; ``words`` takes all that are no options."""
    parser = Parser(prog=f"./run.sh {verb.name}", add_help=False, allow_abbrev=False)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--conf", metavar="DIR", help=CONF)  # for completion: parse takes it out
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
    if words[-1:] == ["--conf"]:
        raise InputError("--conf needs a folder")
    folders, typed = without_folders(words)
    for word, after in zip(typed, (*typed[1:], "")):
        if word.startswith("-") and word not in flags:
            raise _unknown_option(word, after, verb)
    parsed = parser_of(verb).parse_intermixed_args(typed)
    values, overrides = _sorted(verb, parsed.words)
    _require_all(verb, values, overrides)
    _require_no_near_miss(verb, overrides, folders)
    return Words(
        values={name: tuple(each) for name, each in values.items()},
        defaults={argument.name: argument.default for argument in verb.arguments},
        flags=frozenset(name for name in flags if getattr(parsed, name[2:].replace("-", "_"))),
        overrides=(*_first(verb, overrides), *overrides),
        folders=folders,
        typed=tuple(typed),
    )


def without_folders(words: Sequence[str]) -> tuple[tuple[Path, ...], list[str]]:
    """Return the folders that follow ``--conf``, and the words without these and without that."""
    folders, others, rest = [], [], iter(words)
    for word in rest:
        if word == "--conf":
            folders.append(Path(os.path.expanduser(next(rest, ""))).resolve())
        else:
            others.append(word)
    return tuple(folders), others


def require_no_spaces(words: Sequence[str]) -> None:
    """Refuse ``KEY = VALUE``.

    Raises:
        InputError: a word is or begins with ``=``, or ends with it before a word that is none.
    """
    for before, word, after in zip(words, words[1:], (*words[2:], "")):
        typed, key, value = f"{before} {word}", before, word.lstrip("=")
        if word == "=":
            typed, value = f"{typed} {after}", after
        elif before.endswith("=") and word[0] != "-" and "=" not in word:
            key = before[:-1]
        elif not word.startswith("="):
            continue
        raise InputError(f"{typed}: no spaces stand around =; type {key}={value}")


def _unknown_option(word: str, after: str, verb: Verb | None) -> InputError:
    """Return what to say of an option that there is not; ``after`` is the word behind it."""
    key, sign, value = word.lstrip("-").partition("=")
    own = verb.argument(key) if verb is not None else None
    if own or key.split(".")[0] in _keys():
        if not sign:
            is_switch = own is not None and "true" in own.proposes
            is_value = after[:1] not in ("", "-") and "=" not in after
            value = "true" if is_switch else after if is_value else "VALUE"
        return InputError(f"{word}: keys stand without --; type {key}={value}")
    flags = [flag.name for flag in verb.flags] if verb is not None else []
    known = ["--conf", *HELP[:2], VERSION, SET_UP, *flags]
    of = f"{verb.name} " if verb is not None else ""
    return InputError(
        f"{word}: there is no such option{proposal(word, known)}; see ./run.sh {of}--help"
    )


def _keys() -> set[str]:
    """Return the first parts of the configuration's keys, without a library that reads YAML."""
    conf = PROJECT / "conf"
    text = (conf / "config.yaml").read_text(encoding="utf-8")
    sections = re.findall(r"^(\w+):", text, re.MULTILINE)
    return {*sections, *(path.name for path in conf.iterdir() if path.is_dir())}


def unknown_verb(word: str, others: Sequence[str] = ()) -> InputError:
    """Return what to say of a word that is neither a verb in its place nor ``KEY=VALUE``.

    Args:
        others: the words beside it, if some stand before it.
    """
    if word.startswith("-"):
        return _unknown_option(word, [*others, ""][0], None)
    if find_verb(word) is not None:
        return InputError(
            f"{word}: the verb stands first; type ./run.sh {' '.join([word, *others])}"
        )
    names = [verb.name for verb in all_verbs()]
    return InputError(
        f"{word}: not a verb ({', '.join(names)}) and not KEY=VALUE{proposal(word, names)}; "
        "see ./run.sh --help"
    )


def _sorted(verb: Verb, words: Sequence[str]) -> tuple[dict[str, list[str]], list[str]]:
    """Return the values of the verb's own arguments, and the words of the configuration."""
    from harness.words.overrides import plain

    values: dict[str, list[str]] = {}
    overrides = []
    bare = verb.bare
    for word in words:
        name, sign, value = word.partition("=")
        if not sign and bare is None and word.startswith("~"):
            overrides.append(word)  # Hydra's word for a key that is left out
        elif not sign:
            if bare is None:
                raise unknown_verb(word, [each for each in words if each != word])
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
        examples = [
            f": type ./run.sh {verb.name} latest, or an id that ./run.sh list shows"
            if argument.name == RUN.name
            else f": one of {', '.join(argument.proposes)}"
            for argument in verb.arguments
            if [argument.name] == missing
            and (argument.name == RUN.name or not isinstance(argument.proposes, str))
            and argument.proposes
        ]
        raise InputError(
            f"give {' '.join(f'{name}=...' for name in missing)}{near}"
            f"{''.join(examples)}; see ./run.sh {verb.name} --help"
        )


def _require_no_near_miss(verb: Verb, overrides: Sequence[str], folders: Sequence[Path]) -> None:
    """Refuse a word that is no key of the configuration and is nearest to an argument of the verb."""
    own = [argument.name for argument in verb.arguments if not argument.prefix]
    sections = {*_keys(), *(path.name for folder in folders for path in folder.glob("*/"))}
    for word in overrides:
        name, _, value = word.partition("=")
        section = re.split(r"[.@/]", name.lstrip("+~"))[0]
        if section in sections:
            continue  # whether it has such a key is seen when the words are composed
        near = nearest(name, [*sections, *own])
        if near in own:
            raise InputError(
                f"{word}: there is no such word (did you mean {near}?); type {near}={value}; "
                f"see ./run.sh {verb.name} --help"
            )


def _first(verb: Verb, overrides: Sequence[str]) -> list[str]:
    keys = {word.partition("=")[0] for word in overrides}
    return [word for word in verb.first if word.partition("=")[0] not in keys]
