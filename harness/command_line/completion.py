"""Completion in bash, zsh and fish, by argcomplete: the code that a shell reads, and its answers.

The shell calls this project's run.sh by its full path, whichever run.sh is completed: one that is
somebody else's, or an older one that would start to measure, is never started by pressing TAB.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

from argcomplete.completers import DirectoriesCompleter, FilesCompleter
from argcomplete.finders import CompletionFinder
from argcomplete.lexers import split_line
from argcomplete.shell_integration import shellcode

from harness.command_line.parsing import parser_of
from harness.command_line.proposals import propose
from harness.command_line.verb import FILES
from harness.command_line.verbs import DEFAULT, chosen, find_verb
from harness.storage.configuration_checks import takes_text

COMMAND = "run.sh"
STARTER = "__inc_bench_run"  # a function of the shell: a path may hold what its own code cannot


def shell_code(shell: str, script: Path) -> str:
    """Return the code by which a shell completes ``run.sh``.

    Args:
        shell: bash, zsh or fish.
        script: the run.sh that answers.
    """
    code = shellcode([COMMAND], shell=shell, argcomplete_script=STARTER)
    if shell == "fish":
        path = str(script).replace("\\", "\\\\").replace("'", "\\'")
        return f"function {STARTER}\n    '{path}' $argv\nend\n{code}"
    return f'{STARTER}() {{ {shlex.quote(str(script))} "$@"; }}\n{code}'


class Finder(CompletionFinder):
    """argcomplete, which knows shells, with our proposals, which know Hydra's words."""

    def collect_completions(self, active_parsers: Any, parsed_args: Any, prefix: str) -> list[str]:
        line, point = os.environ["COMP_LINE"], int(os.environ["COMP_POINT"])
        words = split_line(line, point)[3][1:]
        proposed = propose(words, prefix) or dict.fromkeys(_paths(words, prefix), "")
        self.get_display_completions().update(proposed)  # zsh and fish show what each means
        return list(proposed)


def answer() -> None:
    """Answer the shell that asks in the variables of this process, which ends here."""
    verb = find_verb(DEFAULT)
    assert verb is not None
    Finder()(parser_of(verb))


def _paths(words: list[str], prefix: str) -> list[str]:
    """Return the paths that a word may become that names one."""
    if words[-1:] == ["--conf"]:
        return list(DirectoriesCompleter()(prefix))
    name, sign, value = prefix.partition("=")
    verb = chosen(words)
    argument = verb.argument(name) if verb is not None else None
    is_path = takes_text(name.lstrip("+")) if argument is None else argument.proposes == FILES
    if sign and is_path:
        return [f"{name}={path}" for path in FilesCompleter()(value)]
    return []
