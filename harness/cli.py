"""The command line. Imports only the standard library before it knows that it must do more."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        from harness.command_line.help_text import help_for
        from harness.command_line.verbs import asks_for_help

        if asks_for_help(words):
            print(help_for(words), end="")
            return 0
        from harness.errors import HarnessError, InputError, exit_code, of_system
        from harness.process.interrupt import catch_signals
    except Exception:  # a damaged checkout
        traceback.print_exc()
        return 3
    catch_signals()
    try:
        return call(words)
    except (InputError, HarnessError) as error:
        return exit_code(error)
    except KeyboardInterrupt as stop:  # says what goes on, once there is something
        kept = f"what is finished is kept; {stop} goes on with the rest" if stop.args else ""
        print(f"interrupted: {kept or 'no run was begun'}", file=sys.stderr)
        return 3
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return exit_code(of_system(error))
    except Exception as error:  # 1 is a verdict, and this is none
        traceback.print_exc()
        print(f"failed: {type(error).__name__}: {error}", file=sys.stderr)
        return 3


def call(words: Sequence[str]) -> int:
    """Call the verb that a command line names, and return its exit code.

    Raises:
        InputError, HarnessError, KeyboardInterrupt: as the verb.
    """
    from harness.command_line.parsing import parse, require_no_spaces, unknown_verb
    from harness.command_line.verbs import chosen
    from harness.errors import InputError

    require_no_spaces(words)
    verb = chosen(words)
    if verb is None:
        raise unknown_verb(words[0], words[1:])
    if verb.call is None:
        raise InputError(f"{verb.name}: start it as ./run.sh {verb.name}")
    after = parse(verb, words[1:] if words[:1] == [verb.name] else words)
    from harness.config import project_path
    from harness.process.variables import cache_home, unnamed_home
    from harness.render.progress import display
    from harness.run.context import Context

    show = display()
    context = Context.of(after.overrides, after.folders, show)
    note = unnamed_home()
    if note is not None and context.cache.is_relative_to(project_path(cache_home())):
        show.note(note)
    return verb.call(after, context)
