"""``./run.sh doctor``: can this machine measure, and what would a worker get on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.command_line.verb import Argument, Verb, Words

if TYPE_CHECKING:
    from harness.run.context import Context


def call(words: Words, context: Context) -> int:
    """Print what is found for the configuration; 2 if something has to be solved before a run.

    Raises:
        InputError: ``fix`` is something else than ``print``.
    """
    from harness.config import project_path
    from harness.doctor.examination import examine, examine_machine
    from harness.doctor.fixes import to_shell
    from harness.doctor.place_findings import files_of
    from harness.doctor.screen import exit_code, render
    from harness.errors import InputError
    from harness.render.terminal import console
    from harness.run.inputs import file_checks

    if words["fix"] == PRINT:
        print("\n".join(to_shell(examine_machine())))
        return 0
    if words["fix"]:
        raise InputError(f"fix={words['fix']}: use {PRINT}; nothing here changes a machine")
    config = context.composed.config
    findings = examine(
        config.threads.stored,
        files_of(config.workload, project_path, file_checks(config.workload)),
        [context.results, context.cache],
    )
    render(findings, console())
    return exit_code(findings)


PRINT = "print"
VERB = Verb(
    name="doctor",
    rank=110,
    summary="can this machine measure? one screen",
    call=call,
    description=(
        "Looks at the CPU and its limits, the clock, memory, disks, MXNet and INC as a worker gets\n"
        "them, the confinement of workers, and the files that the configuration names. Its exit code\n"
        "is 2 if something has to be solved before a run. fix=print looks at the machine alone, and\n"
        "prints the commands that would quieten it, one a line, each with what it changes and how to\n"
        "undo it. It runs none of them."
    ),
    arguments=(
        Argument(
            "fix",
            PRINT,
            "print the commands that would quieten this machine, and run none",
            otherwise="the findings",
            proposes=(PRINT,),
        ),
    ),
    examples=(
        ("", ""),
        ("fix=print", "commands that would quieten it"),
        ("workload=imagenet workload.rec=/data/val.rec", "with the files of a run to come"),
    ),
)
