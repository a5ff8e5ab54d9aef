"""An A/A run: many nights of one code, measured as one run."""

from __future__ import annotations

import dataclasses

from harness.errors import HarnessError, InputError
from harness.files import whole_files
from harness.nightly.aa import report as aa_report
from harness.nightly.aa.analysis import analyse
from harness.nightly.measurement import EXPERIMENT
from harness.nightly.verdict import NIGHTLY, Floats
from harness.run.context import Context
from harness.run.lifecycle import measure_run, open_folder
from harness.storage.store import RunFolder
from harness.table import row_names
from harness.table.samples import samples_of


def measure_aa(repeats: int, context: Context) -> tuple[int, str]:
    """Measure ``repeats`` nights' worth of rounds in one run and analyse them.

    The run is an ordinary one with ``repeats`` times the nightly rounds, so it can be continued by
    ``run.id=``; round by round, the first night's rounds are the first repeat.

    Returns:
        the run's exit code, and the report, which is also in the run's folder as ``aa.md`` and
        ``aa.json``.

    Raises:
        InputError: a number of repeats or a protocol that no verdict can be made from.
        HarnessError: no method has all of its rounds.
    """
    known = open_folder(context.composed, context.folders)[0].load_plan()
    if known is None:
        words = list(context.overrides)
        if not any(word.startswith("experiment=") for word in words):
            words.insert(0, EXPERIMENT)
        rounds = context.composing(words).composed.config.protocol.rounds
        words = [word for word in words if not word.startswith("protocol.rounds=")]
        context = context.composing([*words, f"protocol.rounds={repeats * rounds}"])
    else:  # it was planned with the rounds of all nights
        rounds, rest = divmod(known.config.protocol.rounds, repeats)
        if rest:
            raise InputError(
                f"repeats={repeats} do not divide the {known.config.protocol.rounds} rounds of "
                f"run {known.run}: give the repeats that it began with"
            )
    if rounds < NIGHTLY.rounds:
        raise InputError(
            f"protocol.rounds={rounds}: a verdict needs {NIGHTLY.rounds} rounds a night at least"
        )
    code, folder = measure_run(context)
    measured, left_out, hours = _nights(folder, repeats, rounds)
    report = analyse(measured)
    text = aa_report.to_markdown(report, left_out, hours)
    whole_files.write_atomically(folder.path / "aa.md", text)
    whole_files.write_json(folder.path / "aa.json", dataclasses.asdict(report))
    return code, text


def _nights(
    folder: RunFolder, repeats: int, rounds: int
) -> tuple[list[dict[str, Floats]], list[str], float]:
    """Return each repeat's times by method, (rounds, B), of the methods that have every round.

    Also the methods that have not, with their outcomes, and how many hours the rounds took.
    """
    plan, timings = folder.load_plan(), folder.load_rounds()
    assert plan is not None
    timed = samples_of(timings).get(plan.workload.batch_size, {})
    whole = {
        method: samples.forward_s
        for method, samples in timed.items()
        if len(samples.rounds) == repeats * rounds
    }
    if not whole:
        raise HarnessError(f"no method of run {plan.run} was timed in all rounds: see its table")
    left_out = [
        f"{record.label} ({record.outcome})"
        for record in row_names.named(plan, folder.load_records())
        if record.method not in whole
    ]
    hours = sum(timing.facts.seconds or 0 for timing in timings if timing.facts) / 3600
    nights = [
        {method: times[k * rounds : (k + 1) * rounds] for method, times in whole.items()}
        for k in range(repeats)
    ]
    return nights, left_out, hours
