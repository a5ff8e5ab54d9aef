"""What run.sh starts, by its path: first with the system's Python, then in the environment.

`python` says which interpreter it runs in, `set-up WORDS` gets the environment ready and starts
`start WORDS` in it. `python -m harness WORDS` is the harness alone. Exit code 1 is a verdict's, so
whatever is raised ends with 3 here, and nothing is imported before it would be caught.
"""

from __future__ import annotations

import sys

MODULES = {"test": "pytest", "test-faults": "faults", "test-fuzz": "fuzz"}  # verbs of run.sh
QUICK = ("-m", "not slow")  # `test quick`: see the markers in pyproject.toml


def main() -> int:
    """Return the exit code of what was started, or 3 if it did not come to one."""
    try:
        if __package__:
            return _harness(sys.argv[1:])
        step, *words = sys.argv[1:]
        if step == "python":
            return _tell_python()
        root = __file__.rpartition("/harness/")[0]
        sys.path.insert(0, root)
        if step == "start" or words[:1] in (["-h"], ["--help"], ["help"]):  # help needs no package
            return _start(words, root)
        from harness.setup.launch import launch

        return launch(words)
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


def _tell_python() -> int:
    """Print which interpreter this is: a shim, a link and an environment all lead to the same."""
    import os

    base = getattr(sys, "_base_executable", None) or sys.executable
    print(os.path.realpath(base))
    return 0


def _harness(words: list[str]) -> int:
    from harness.cli import main
    from harness.render.terminal import printed_plainly

    with printed_plainly():
        return main(words)


def _start(words: list[str], root: str) -> int:
    import runpy

    verb = words[0] if words else ""
    if verb == "benchmark":
        module, arguments = f"benchmarks.{words[1]}", words[2:]
    elif verb in MODULES:
        sys.path.insert(1, f"{root}/tests")
        module, arguments = MODULES[verb], words[1:]
        if words[:2] == ["test", "quick"]:
            arguments = [*QUICK, *words[2:]]
    else:
        return _harness(words)
    sys.argv[1:] = arguments
    runpy.run_module(module, run_name="__main__", alter_sys=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
