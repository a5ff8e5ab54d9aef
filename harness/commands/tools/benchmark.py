"""``./run.sh benchmark``."""

from __future__ import annotations

from collections.abc import Sequence

from harness import PROJECT
from harness.command_line.verb import Verb


def program(words: Sequence[str]) -> tuple[str, list[str]]:
    """Return the module of ``benchmarks/`` that is named, and its words.

    Raises:
        InputError: there is none.
    """
    if words and all(part.isidentifier() for part in words[0].split(".")):
        path = PROJECT.joinpath("benchmarks", *words[0].split("."))
        if path.with_suffix(".py").is_file() or (path / "__main__.py").is_file():
            return f"benchmarks.{words[0]}", list(words[1:])
    from harness.errors import InputError

    raise InputError(
        f"benchmark: name a module of benchmarks/, such as {', '.join(packages())} or soak"
    )


def packages() -> list[str]:
    """Return the benchmarks that are packages; a module such as ``soak`` can be named as well."""
    return sorted(path.parent.name for path in PROJECT.glob("benchmarks/*/__main__.py"))


VERB = Verb(
    name="benchmark",
    rank=230,
    summary="run benchmarks/NAME",
    description="Runs a module of benchmarks/ with the words that follow its name.",
    program=program,
    program_words="NAME [ARGUMENT ...]",
    program_choices=packages,
    examples=(
        ("overhead", "the timed region, the loop, the data path"),
        ("strategies --help", "the arguments of one"),
        ("soak", "500 tuning trials: does memory grow?"),
    ),
    measures=True,
)
