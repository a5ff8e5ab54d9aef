"""Words of the configuration that Hydra refuses: which one it is, and what to type instead.

Hydra's, ANTLR's and OmegaConf's own messages speak of their insides, so none of them is handed on.
What is wrong is read from the words themselves, from the choices there are, and from what composes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml
from hydra.errors import HydraException
from omegaconf.errors import GrammarParseError, MissingMandatoryValue, OmegaConfBaseException

from harness.errors import nearest, proposal
from harness.facts.override_key import key_of
from harness.process.variables import OWN_PREFIX
from harness.storage.method_options import UNABLE
from harness.words.overrides import parsed, unreadable

LISTS = ("method",)  # groups of which several are chosen, as [A,B]
# what a configuration file or an override may raise on its way through Hydra
HYDRA_ERRORS = (
    AttributeError,
    HydraException,
    KeyError,
    OmegaConfBaseException,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    yaml.YAMLError,
)
SEE = "conf/config.yaml shows every key"


@dataclass(frozen=True)
class Composing:
    """How words are composed, and what they may choose from.

    Attributes:
        compose: returns what words compose to; raises one of HYDRA_ERRORS.
        groups: keys that choose files, such as ``method``.
        choices: returns the choices of a group.
    """

    compose: Callable[[Sequence[str]], dict[str, Any]]
    groups: Sequence[str]
    choices: Callable[[str], list[str]]
    _known: dict[tuple[str, ...], dict[str, Any] | Exception] = field(default_factory=dict)

    def note_failure(self, words: Sequence[str], error: Exception) -> None:
        """Keep why words do not compose, so that nobody composes them again."""
        self._known[tuple(words)] = error

    def composed(self, words: Sequence[str]) -> dict[str, Any] | Exception:
        """Return what words compose to, or why they do not; the same words are composed once."""
        key = tuple(words)
        if key not in self._known:
            try:
                self._known[key] = self.compose(words)
            except HYDRA_ERRORS as error:
                self._known[key] = error
        return self._known[key]

    def fails(self, words: Sequence[str]) -> Exception | None:
        """Return why words do not compose; None if they do."""
        composed = self.composed(words)
        return composed if isinstance(composed, Exception) else None


def explain(error: Exception, words: Sequence[str], composing: Composing) -> str:
    """Return one sentence on words that did not compose, and what to type instead.

    Args:
        error: what Hydra raised of all words together.
    """
    composing.note_failure(words, error)
    odd = unreadable(words)
    if odd is not None:
        word, instead = odd
        return f"{word}: this cannot be read; {instead}"
    for word in words:
        if not key_of(word):
            return f"{word}: type KEY=VALUE; {SEE}"
        wrong = _wrong_choice(word, composing) or _wrong_value(word)
        if wrong is not None:
            return wrong
    in_files = composing.fails(())
    if in_files is not None:
        return _of_value(in_files, "a file of conf/ or of a --conf folder")
    # Hydra chooses files before it sets values, wherever the words stand
    ordered = sorted(words, key=lambda word: key_of(word) not in composing.groups)
    culprit, error = _culprit(ordered, composing, error)
    before = ordered[: ordered.index(culprit)]
    return (
        _unknown_key(culprit, before, composing)
        or _section(culprit, before, composing)
        or _of_value(error, culprit)
    )


def _wrong_choice(word: str, composing: Composing) -> str | None:
    """Return what is wrong with a word that chooses files; None for another word, or if nothing is."""
    group = key_of(word)
    override = parsed(word)
    if override is None or group not in composing.groups or word.startswith("~"):
        return None
    known = composing.choices(group)
    listed = ", ".join(known)
    is_list = group in LISTS
    if override.is_sweep_override():
        typed = word.partition("=")[2]
        if is_list:
            return f"{word}: several rows stand in brackets; type {group}=[{typed}]"
        return f"{word}: choose one of {listed}"
    value = override.value()
    if value is None:
        if group == "experiment":
            return f"{word}: leave it out to choose none, or choose from {listed}"
        example = f"[{known[0]},...]" if is_list else known[0]
        return f"{word}: choose from {listed}; type {group}={example}"
    if isinstance(value, list) and not is_list:
        return f"{word}: choose one of {listed}; type {group}={known[0]}"
    names = value if isinstance(value, list) else [value]
    if group == "threads" and isinstance(value, int) and not isinstance(value, bool):
        return (
            f"{word}: threads= chooses how threads are pinned, one of {listed}; for their number "
            f"type threads.count={value}"
        )
    for name in names:
        text = word.partition("=")[2] if name is value and not isinstance(name, str) else str(name)
        if not isinstance(name, str) or (name not in known and "/" not in name):
            near = proposal(text, known)
            return f"{group}={text}: there is no such {group}; choose from {listed}{near}"
    return None


def _wrong_value(word: str) -> str | None:
    """Return what is wrong with a word that gives a key several values, as for a sweep."""
    override = parsed(word)
    if override is None or not override.is_sweep_override():
        return None
    key, _, typed = word.partition("=")
    return f"{word}: a key has one value; for a list type {key}=[{typed}]"


def _culprit(words: Sequence[str], composing: Composing, error: Exception) -> tuple[str, Exception]:
    """Return the first word that does not compose with those before it, and why."""
    for number in range(1, len(words) + 1):
        why = composing.fails(words[:number])
        if why is not None:
            return words[number - 1], why
    return words[-1], error


def _unknown_key(word: str, before: Sequence[str], composing: Composing) -> str | None:
    """Return which keys there are where a word names one that there is not; None if there is."""
    key = key_of(word)
    if word.startswith("+"):
        return None
    after = [each for each in before if key_of(each) in composing.groups]
    level: Any = composing.composed(after)
    if isinstance(level, Exception):
        return f"{key}: there is no such key; {SEE}"
    parents: list[str] = []
    for part in key.split("."):
        if not isinstance(level, Mapping) or part not in level:
            break
        parents.append(part)
        level = level[part]
    else:
        return None
    why = UNABLE.get(key.rpartition(".")[2])
    if why is not None and parents[:1] in (["tuning"], ["method"]):
        return f"{key}: it cannot be chosen: {why}"
    if not isinstance(level, Mapping):
        return f"{key}: {'.'.join(parents)} is a value and has no keys; {SEE}"
    groups = [] if parents else composing.groups
    near = _near(key, [".".join([*parents, name]) for name in (*level, *groups)], word)
    return (
        f"{key}: there is no such key; {'.'.join(parents) or 'the configuration'} has "
        f"{', '.join(level)}{near}"
    )


def _near(key: str, known: Sequence[str], word: str) -> str:
    """Return a remark that proposes the nearest key, and the word to type."""
    remark, near = proposal(key, known), nearest(key, known)
    value = word.partition("=")[2]
    return f"{remark}; type {near}={value}" if near and value else remark


def _section(word: str, before: Sequence[str], composing: Composing) -> str | None:
    """Return what to type for a word that gives a section a value; None for other words."""
    key = key_of(word)
    if key in composing.groups:
        return None
    level: Any = composing.composed(before)
    if isinstance(level, Exception):
        return None
    for part in key.split("."):
        level = level.get(part) if isinstance(level, Mapping) else None
    if not isinstance(level, Mapping) or not level or word.startswith("~"):
        return None
    near = _near(key, composing.groups, word) or f"; type {key}.{next(iter(level))}=VALUE"
    return f"{word}: {key} is a section with the keys {', '.join(map(str, level))}{near}"


def _of_value(error: Exception, where: str) -> str:
    """Return what is wrong with a value that does not resolve, by what Hydra says of it."""
    reasons = (reason for cause in _causes(error) for reason in _reasons(cause, where))
    return next(reasons, f"{where}: this does not fit the configuration; {SEE}")


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what led to it: Hydra wraps what it cannot compose."""
    step: BaseException | None = error
    while step is not None:
        yield step
        step = step.__cause__ or step.__context__


def _reasons(error: BaseException, where: str) -> Iterator[str]:
    """Yield sentences on the kinds of mistakes in files and in looked-up values."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        yield f"{mark.name}, line {mark.line + 1}: this is no YAML ({error.problem}): correct it"
    if isinstance(error, OSError) and error.filename:
        yield f"{error.filename}: {error.strerror}: it cannot be read; check its permissions"
    said = " ".join(str(error).split())
    key = getattr(error, "full_key", None) or where
    variable = re.search(r"Environment variable '([^']*)' not found", said)
    if variable:
        name = variable[1]
        own = f"{OWN_PREFIX}{name.removeprefix(OWN_PREFIX)}"
        yield (
            f"{key}: there is no variable {name} here. Of your own variables run.sh passes on only those "
            f"whose names begin with {OWN_PREFIX}: use ${{oc.env:{own}}} and set that"
        )
    if isinstance(error, MissingMandatoryValue):
        yield f"{key}: this must be given; type {key}=VALUE"
    choice = re.search(r"Could not (?:find|load) '([^']+)'", said)
    if choice:
        yield f"{choice[1]}: there is no such file in conf/ or a --conf folder; check the name"
    name = re.search(r"Interpolation key '([^']+)' not found", said)
    if name:
        yield f"{key}: ${{{name[1]}}} names a key that there is not; {SEE}"
    resolver = re.search(r"Unsupported interpolation type (\S+)", said)
    if resolver:
        yield f"{key}: ${{{resolver[1]}:...}} is none that there is; use ${{oc.env:{OWN_PREFIX}NAME}}"
    if isinstance(error, RecursionError) or "recursive" in said.lower():
        yield f"{key}: its ${{...}} leads back to itself; write a value there"
    if isinstance(error, GrammarParseError) or "${" in where or "interpolation" in said.lower():
        yield f"{key}: the ${{...}} there cannot be looked up; close it, or write \\${{ for the text"
