"""``./run.sh test-faults``."""

from __future__ import annotations

from collections.abc import Sequence

from harness.command_line.verb import Verb


def program(words: Sequence[str]) -> tuple[str, list[str]]:
    return "faults", list(words)


VERB = Verb(
    name="test-faults",
    rank=210,
    summary="kill, starve and damage runs at every step; exit 1 on any loss",
    description=(
        "Injects every fault, or those whose names hold one of the words: kills, crashes, full disks,\n"
        "damaged files. Its exit code is 1 if anything measured was lost."
    ),
    program=program,
    program_words="[WORD ...]",
    examples=(("", "every fault"), ("disk", "those of full disks")),
    level="test",
    measures=True,
)
