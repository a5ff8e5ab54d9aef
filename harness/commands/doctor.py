"""``./run.sh doctor``: can this machine measure, and what would a worker get on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.command_line.verb import Verb, Words

if TYPE_CHECKING:
    from harness.run.context import Context


def call(words: Words, context: Context) -> int:
    """Print what is found for the configuration; 2 if something has to be solved before a run."""
    from harness.config import project_path
    from harness.doctor.examination import examine
    from harness.doctor.place_findings import files_of
    from harness.doctor.screen import exit_code, render
    from harness.render.terminal import console
    from harness.run.inputs import file_checks

    config = context.composed.config
    findings = examine(
        config.threads.stored,
        files_of(config.workload, project_path, file_checks(config.workload)),
        [context.results, context.cache],
    )
    render(findings, console())
    return exit_code(findings)


VERB = Verb(
    name="doctor",
    rank=110,
    summary="can this machine measure? one screen",
    call=call,
    description=(
        "Looks at the CPU and its limits, the clock, memory, disks, MXNet and INC as a worker gets\n"
        "them, the confinement of workers, and the files that the configuration names. Its exit code\n"
        "is 2 if something has to be solved before a run."
    ),
    examples=(
        ("", ""),
        ("workload=imagenet workload.rec=/data/val.rec", "with the files of a run to come"),
    ),
)
