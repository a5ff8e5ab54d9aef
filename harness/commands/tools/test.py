"""``./run.sh test``."""

from __future__ import annotations

from collections.abc import Sequence

from harness.command_line.verb import Verb

QUICK = "quick"


def program(words: Sequence[str]) -> tuple[str, list[str]]:
    """Return pytest and its arguments: those of the markers in pyproject.toml for ``quick``."""
    if words[:1] == [QUICK]:
        return "pytest", ["-m", "not slow", *words[1:]]
    return "pytest", list(words)


VERB = Verb(
    name="test",
    rank=200,
    summary="run the tests",
    description=(
        "Runs pytest on tests/, with the words that follow as its arguments. `quick` leaves out the\n"
        "tests that start MXNet or take long.\n"
        "./run.sh test -m quiet runs those that need a machine with nothing else running."
    ),
    program=program,
    program_words="[quick] [ARGUMENT ...]",
    examples=(
        ("", "all but the quiet ones"),
        ("quick", "the unit tests, which need no model"),
        ("tests/words/test_overrides.py -k quotes", ""),
    ),
    level="test",
    measures=True,
)
