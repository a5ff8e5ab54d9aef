"""What a verb of ``./run.sh`` declares of itself, and the words that it is handed.

Only the standard library is imported here and at the top of a verb's module, so that help needs no
environment: a verb imports what it calls when it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.run.context import Context

RUNS, FILES, METHODS = "runs", "files", "methods"  # what completion proposes for a value
METRICS = ("batch_s", "cost_s", "optimize_mb", "validate_mb", "top1", "top5")  # that nights judge


@dataclass(frozen=True)
class Argument:
    """A word of a verb's own, ``NAME=VALUE``.

    Attributes:
        name: what stands before ``=``; capitals stand for any text, as in ``price.MACHINE``.
        value: what help writes after ``=``.
        meaning: for help.
        default: the value where the word is left out.
        otherwise: for help, what that means.
        required: the word must be given.
        bare: a word without ``=`` is a value of this argument.
        repeats: it may be given more than once.
        proposes: RUNS, FILES, METHODS, or the values themselves.
    """

    name: str
    value: str
    meaning: str
    default: str = ""
    otherwise: str = ""
    required: bool = False
    bare: bool = False
    repeats: bool = False
    proposes: str | Sequence[str] = ()

    @property
    def prefix(self) -> str:
        """What stands before the capitals of the name; empty where it has none."""
        kept = self.name.rstrip("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
        return "" if kept == self.name else kept


RUN = Argument(
    "run",
    "RUN",
    "the run: its id, or MACHINE/ID where several machines have a run of that id; "
    "the name alone, without run=, does as well",
    required=True,
    bare=True,
    proposes=RUNS,
)


def switch(name: str, meaning: str) -> Argument:
    """Return an argument that is ``true`` or ``false``, which is what it is where it is left out."""
    return Argument(name, "true|false", meaning, default="false", proposes=("true", "false"))


@dataclass(frozen=True)
class Flag:
    """An option of a verb's own that takes no value."""

    name: str
    meaning: str


@dataclass(frozen=True)
class Words:
    """The words after a verb, sorted.

    Attributes:
        values: of the verb's own arguments, as far as they were typed, in that order.
        defaults: of those that were not.
        flags: that were given.
        overrides: the words of the configuration.
        folders: of ``--conf``.
        typed: all of them but ``--conf`` and its folders, as they were typed.
    """

    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    flags: frozenset[str] = frozenset()
    overrides: tuple[str, ...] = ()
    folders: tuple[Path, ...] = ()
    typed: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> str:
        """Return an argument's value: the last one that was typed, or its default."""
        return self.values[name][-1] if name in self.values else self.defaults[name]

    def all_of(self, name: str) -> tuple[str, ...]:
        """Return all values of an argument that may be repeated."""
        return self.values.get(name, ())

    def beginning(self, prefix: str) -> dict[str, str]:
        """Return the values of the arguments that begin with ``prefix``, by the rest of their names."""
        return {
            name[len(prefix) :]: values[-1]
            for name, values in self.values.items()
            if name.startswith(prefix)
        }

    def whole(self, name: str, least: int) -> int:
        """Return an argument that is a whole number of at least ``least``.

        Raises:
            InputError: it is not.
        """
        from harness.errors import InputError

        if not self[name].isdecimal() or int(self[name]) < least:
            raise InputError(f"{name}={self[name]}: use a whole number of at least {least}")
        return int(self[name])

    def is_true(self, name: str) -> bool:
        """Return an argument that is ``true`` or ``false``.

        Raises:
            InputError: it is neither.
        """
        from harness.errors import InputError

        if self[name] not in ("true", "false"):
            raise InputError(f"{name}={self[name]}: use true or false")
        return self[name] == "true"


Call = Callable[[Words, "Context"], int]
Program = Callable[[Sequence[str]], "tuple[str, list[str]]"]


@dataclass(frozen=True)
class Verb:
    """A verb of ``./run.sh``.

    Attributes:
        name: as it is typed; its module in ``harness/commands/`` has the same name.
        rank: its place among the verbs, lowest first.
        summary: one line of help, without a full stop.
        call: runs it and returns the exit code.
        description: more for its own help.
        first: words of the configuration that go before the user's, unless the user sets the same key.
        examples: the words after the verb, and what they do.
        verdict: when the exit code is 1.
        level: which environment it needs, by the name of the lock file.
        measures: it needs the environment of the current lock files; others take one that works.
        program: of a verb that starts a program of the project: returns its module and its words, or
            raises InputError.
        program_words: for help, those words.
        program_choices: returns what completion proposes as the first of them.
    """

    name: str
    rank: int
    summary: str
    call: Call | None = None
    description: str = ""
    arguments: tuple[Argument, ...] = ()
    flags: tuple[Flag, ...] = ()
    first: tuple[str, ...] = ()
    examples: tuple[tuple[str, str], ...] = ()
    verdict: str = ""
    level: str = "run"
    measures: bool = False
    program: Program | None = None
    program_words: str = ""
    program_choices: Callable[[], Sequence[str]] = tuple

    def argument(self, name: str) -> Argument | None:
        """Return the argument that a word ``NAME=VALUE`` sets; None if it is no word of the verb's."""
        for argument in self.arguments:
            if name == argument.name or (argument.prefix and name.startswith(argument.prefix)):
                return argument
        return None

    @property
    def bare(self) -> Argument | None:
        """The argument whose values may be typed without its name."""
        return next((each for each in self.arguments if each.bare), None)
