"""``./run.sh test``."""

from __future__ import annotations

from collections.abc import Sequence

from harness.command_line.verb import Verb


def program(words: Sequence[str]) -> tuple[str, list[str]]:
    return "pytest", list(words)


VERB = Verb(
    name="test",
    rank=200,
    summary="run the tests",
    description=(
        "Runs pytest on tests/, with the words that follow as its arguments.\n"
        "./run.sh test -m quiet runs those that need a machine with nothing else running."
    ),
    program=program,
    program_words="[ARGUMENT ...]",
    examples=(("", "all but the quiet ones"), ("tests/test_words.py -k quotes", "")),
    level="test",
    measures=True,
)
