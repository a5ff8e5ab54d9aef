"""``./run.sh aa``: the nightly measurement of one code many times over, and what its verdicts say."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from harness.config import compose_config
from harness.errors import HarnessError, InputError
from harness.nightly.aa import FEWEST_REPEATS, analyse
from harness.nightly.aa_report import to_markdown
from harness.nightly.verdict import NIGHTLY, Floats
from harness.protocol import Protocol
from harness.render.progress import Display
from harness.run.lifecycle import measure_run, open_folder
from harness.storage import whole_files
from harness.storage.store import RunFolder
from harness.table.row_names import named
from harness.table.samples import samples_of

NIGHT = "experiment=nightly"


def run_aa(
    repeats: str, overrides: Sequence[str], folders: Sequence[Path], show: Display
) -> tuple[int, str]:
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
    if not repeats.isdigit() or int(repeats) < FEWEST_REPEATS:
        raise InputError(f"repeats={repeats}: use a whole number of at least {FEWEST_REPEATS}")
    nights = int(repeats)
    asked = list(overrides)
    composed = compose_config(asked, folders)
    known = open_folder(composed, folders)[0].load_plan()
    if known is None:
        if not any(word.startswith("experiment=") for word in asked):
            asked.insert(0, NIGHT)
        rounds = Protocol.of(compose_config(asked, folders).values["protocol"]).rounds
        asked = [word for word in asked if not word.startswith("protocol.rounds=")]
        asked.append(f"protocol.rounds={nights * rounds}")
    else:  # it was planned with the rounds of all nights
        rounds, rest = divmod(known.config["protocol"]["rounds"], nights)
        if rest:
            raise InputError(
                f"repeats={nights} do not divide the {known.config['protocol']['rounds']} rounds of "
                f"run {known.run}: give the repeats that it began with"
            )
    if rounds < NIGHTLY.rounds:
        raise InputError(
            f"protocol.rounds={rounds}: a verdict needs {NIGHTLY.rounds} rounds a night at least"
        )
    code, folder = measure_run(asked, folders, show)
    measured, left_out, hours = _nights(folder, nights, rounds)
    report = analyse(measured)
    text = to_markdown(report, left_out, hours)
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
    timed = samples_of(timings).get(plan.workload["batch_size"], {})
    whole = {
        method: samples.forward_s
        for method, samples in timed.items()
        if len(samples.rounds) == repeats * rounds
    }
    if not whole:
        raise HarnessError(f"no method of run {plan.run} was timed in all rounds: see its table")
    left_out = [
        f"{record.label} ({record.outcome})"
        for record in named(plan, folder.load_records())
        if record.method not in whole
    ]
    hours = sum(each.facts.seconds or 0 for each in timings if each.facts) / 3600
    nights = [
        {method: times[k * rounds : (k + 1) * rounds] for method, times in whole.items()}
        for k in range(repeats)
    ]
    return nights, left_out, hours
