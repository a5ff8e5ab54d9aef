"""``./run.sh completion``: the code that lets a shell complete the words of run.sh."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.command_line.verb import Argument, Verb, Words

if TYPE_CHECKING:
    from harness.run.context import Context

SHELLS = ("bash", "zsh", "fish")


def call(words: Words, context: Context) -> int:
    """Print a shell's code."""
    from harness import PROJECT
    from harness.command_line.completion import shell_code
    from harness.errors import InputError, proposal

    shell = words["shell"]
    if shell not in SHELLS:
        near = proposal(shell, SHELLS)
        raise InputError(f"shell={shell}: use one of {', '.join(SHELLS)}{near}")
    print(shell_code(shell, PROJECT / "run.sh"), end="")
    return 0


VERB = Verb(
    name="completion",
    rank=190,
    summary="lets bash, zsh or fish complete verbs, keys, choices and runs",
    call=call,
    description=(
        "Prints the code by which a shell completes the words of run.sh: verbs, their words, keys of\n"
        "the configuration, choices and the ids of runs. One line installs it, here or in the shell's\n"
        "own file with the full path of run.sh:\n\n"
        '  bash: eval "$(./run.sh completion bash)"    # ~/.bashrc\n'
        '  zsh:  eval "$(./run.sh completion zsh)"     # ~/.zshrc, after compinit\n'
        "  fish: ./run.sh completion fish | source     # ~/.config/fish/config.fish"
    ),
    arguments=(
        Argument(
            "shell",
            "bash|zsh|fish",
            "the shell; the name alone does as well",
            required=True,
            bare=True,
            proposes=SHELLS,
        ),
    ),
    examples=(("bash", ""),),
)
