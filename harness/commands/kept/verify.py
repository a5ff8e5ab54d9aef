"""``./run.sh verify``: whether a run's files are as they were recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.command_line.verb import RUN, RUNS, Argument, Verb, Words

if TYPE_CHECKING:
    from harness.run.context import Context


def call(words: Words, context: Context) -> int:
    """Print what is wrong with a run's files, its digest, and how it differs from another run."""
    from harness.packs.verify import differences, verify

    folder, other = context.find(words["run"]), words["with"]
    checked = verify(folder)
    for line in checked.wrong:
        print(line)
    models, inputs = checked.absent_models, checked.absent_inputs
    absent = [
        f"{count} {kind}{'s' if count > 1 else ''}"
        for count, kind in ((models, "model file"), (inputs, "workload file"))
        if count
    ]
    if absent:
        one = models + inputs == 1
        said = "is not here, so it was" if one else "are not here, so they were"
        print(f"{' and '.join(absent)} {said} not checked")
    print(f"run {folder.id}: {checked.files} files checked, {len(checked.wrong)} findings")
    print(f"digest of all but times: {checked.digest}")
    differing = differences(folder, context.find(other)) if other else []
    if other:
        print(f"run {other}: {'differs in ' + ', '.join(differing) if differing else 'the same'}")
    return 1 if checked.wrong or differing else 0


VERB = Verb(
    name="verify",
    rank=80,
    summary="whether every file is as recorded, and two runs the same but for times",
    call=call,
    arguments=(
        RUN,
        Argument(
            "with", "RUN", "a second run, compared but for times", otherwise="none", proposes=RUNS
        ),
    ),
    examples=(("published", ""), ("run=ID with=ID", "are two runs the same but for times?")),
    verdict="a file is damaged or missing, or the two runs differ",
)
