"""``./run.sh test-fuzz``."""

from __future__ import annotations

from collections.abc import Sequence

from harness.command_line.verb import Verb


def program(words: Sequence[str]) -> tuple[str, list[str]]:
    return "fuzz", list(words)


VERB = Verb(
    name="test-fuzz",
    rank=220,
    summary="feed every parser more than 100,000 bad inputs",
    description=(
        "Feeds every parser of files bad inputs and prints what became of them: inputs=N of them for\n"
        "each parser, target=NAME for one parser alone."
    ),
    program=program,
    program_words="[inputs=N] [target=NAME]",
    examples=(("", ""), ('target="record index" inputs=1000', "")),
    level="test",
    measures=True,
)
