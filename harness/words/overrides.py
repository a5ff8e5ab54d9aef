"""The words of a command line, KEY=VALUE, and how Hydra is told what they mean.

Names and paths mean what is typed, character by character, as in ``run.id=1.10`` and
``workload.rec=/my data/a=b.rec``; ``null`` alone is none. In quotes of their own they are Hydra's, so
that ``${...}`` is looked up.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException

from harness.facts.override_key import key_of
from harness.storage.configuration_checks import takes_text

NULL = "null"
WORD = re.compile(r"(?P<sign>\+{0,2})(?P<key>[^=]*)=(?P<value>.*)", re.DOTALL)


def looks_up(word: str) -> bool:
    """Say whether composing a word that a file kept would do more than choose and set.

    It could read variables (``${...}``), configuration from elsewhere (``hydra.``, a path as a
    choice), or ask for the network.
    """
    key, value = key_of(word), word.partition("=")[2]
    return (
        "${" in word
        or not re.fullmatch(r"[\w.-]+", key)  # a choice for another place has @ or / in its key
        or key.split(".")[0] == "hydra"
        or key == "workload.download"
        or ("." not in key and ("/" in value or ".." in value))
    )


def for_hydra(words: Sequence[str]) -> list[str]:
    """Return the words with quotes around every name and path that is typed without."""
    return [_for_hydra(word) for word in words]


def _for_hydra(word: str) -> str:
    found = WORD.fullmatch(word)
    if found is None or not takes_text(found["key"]):
        return word
    value = found["value"]
    if value == NULL or unquoted(value) is not None:
        return word
    return f"{found['sign']}{found['key']}={quoted(value)}"


def set_to(key: str, value: str) -> str:
    """Return the word that sets a key to a text, whatever is in it."""
    return f"{key}={quoted(value)}"


def quoted(value: str) -> str:
    """Return a text as Hydra and OmegaConf read exactly that text."""
    literal = re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + r"\${", value)
    return QuotedString(literal, Quote.single).with_quotes()


def unquoted(value: str) -> str | None:
    """Return what is in the quotes around a value; None if there are none around all of it."""
    if value[:1] not in ("'", '"'):
        return None
    override = parsed(f"key={value}")
    inside = None if override is None else override.value()
    return inside if isinstance(inside, str) and value[-1:] == value[0] else None


def plain(value: str) -> str:
    """Return what an argument of a verb means: what is typed, or what is in quotes around it."""
    inside = unquoted(value)
    return value if inside is None else inside


def unreadable(words: Sequence[str]) -> tuple[str, str] | None:
    """Return the first word that Hydra cannot parse, and what to type instead."""
    for word in words:
        if parsed(word) is None:
            found = WORD.fullmatch(word)
            if found is None:
                return word, "type KEY=VALUE, without spaces around ="
            closed = f"{word}]" if found["value"][:1] == "[" else ""
            if closed and parsed(closed) is not None:
                return word, f"type {closed}"
            instead = f"{found['sign']}{found['key']}={quoted(found['value'])}"
            if parsed(instead) is not None:
                return word, f"type {instead}"
            return word, "a key has letters, digits, '_' and dots; conf/config.yaml shows them"
    return None


def parsed(word: str) -> Override | None:
    """Return a word as Hydra parses it; None if it cannot."""
    try:
        return OverridesParser.create().parse_override(word)
    except HydraException:
        return None
