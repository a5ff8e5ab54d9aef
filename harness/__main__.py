"""What run.sh starts, by its path: first with the system's Python, then in the environment.

`python` says which interpreter it runs in, `set-up WORDS` gets the environment ready and starts
`start WORDS` in it. `python -m harness WORDS` is the harness alone. Exit code 1 is a verdict's, so
whatever is raised ends with 3 here, and nothing is imported before it would be caught.
"""

from __future__ import annotations

import os
import sys

COMPLETION = "_ARGCOMPLETE"  # a shell that completes a command line sets it


def main() -> int:
    """Return the exit code of what was started, or 3 if it did not come to one."""
    try:
        if __package__:
            return _harness(sys.argv[1:])
        step, *words = sys.argv[1:]
        if step == "python":
            return _print_python()
        root = __file__.rpartition("/harness/")[0]
        sys.path.insert(0, root)
        return _start(words, root) if step == "start" else _set_up(words)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        print(end.code, file=sys.stderr)  # Python itself would exit with 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
    except BaseException:
        import traceback

        traceback.print_exc()
    return 3


def _print_python() -> int:
    """Print which interpreter this is: a shim, a link and an environment all lead to the same."""
    base = getattr(sys, "_base_executable", None) or sys.executable
    print(os.path.realpath(base))
    return 0


def _harness(words: list[str]) -> int:
    from harness.cli import main
    from harness.render.terminal import printed_plainly

    with printed_plainly():
        return main(words)


def _set_up(words: list[str]) -> int:
    if COMPLETION in os.environ:
        from harness.setup.launch import answer

        return answer()
    from harness.command_line.verbs import SET_UP, asks_for_help, chosen

    if asks_for_help(words):  # which needs no package
        return _harness(words)
    from harness.setup.launch import launch

    words = ["run", *words] if words[:1] == [SET_UP] else words
    verb = chosen(words)
    if verb is None:  # the harness says so, and needs no package for that
        return _harness(words)
    if verb.program is not None and SET_UP not in words[1:2]:
        from harness.errors import InputError
        from harness.setup.environments import say

        try:
            verb.program(words[1:])
        except InputError as error:
            say(f"error: {error}")
            return 2
    return launch(words, verb.level, renew=verb.measures)


def _start(words: list[str], root: str) -> int:
    if COMPLETION in os.environ:
        from harness.command_line.completion import answer

        answer()
    from harness.command_line.verbs import SET_UP, chosen

    if words[-1:] == [SET_UP] and len(words) <= 2:
        from importlib import import_module

        import_module("harness.cli")  # which shows that it can be started
        return 0
    verb = chosen(words)
    if verb is None or verb.program is None:
        return _harness(words)
    import runpy

    if verb.level == "test":
        sys.path.insert(1, f"{root}/tests")
    module, sys.argv[1:] = verb.program(words[1:])
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
