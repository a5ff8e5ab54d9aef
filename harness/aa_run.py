"""``./run.sh aa``: the nightly measurement of one code many times over, and what its verdicts say."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from harness import store
from harness.aa import FEWEST_REPEATS, analyse
from harness.config import compose_config
from harness.errors import HarnessError, InputError
from harness.export.aa_report import to_markdown
from harness.progress import Display
from harness.protocol import Protocol
from harness.run import run
from harness.samples import samples_of
from harness.store import RunFolder
from harness.verdict import NIGHTLY, Floats

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
    night = [*([] if _names_experiment(overrides) else [NIGHT]), *overrides]
    rounds = Protocol.of(compose_config(night, folders).values["protocol"]).rounds
    if rounds < NIGHTLY.rounds:
        raise InputError(
            f"protocol.rounds={rounds}: a verdict needs {NIGHTLY.rounds} rounds a night at least"
        )
    asked = [word for word in night if not word.startswith("protocol.rounds=")]
    code, folder = run([*asked, f"protocol.rounds={int(repeats) * rounds}"], folders, show)
    report = analyse(_nights(folder, int(repeats), rounds))
    text = to_markdown(report)
    store.write_atomically(folder.path / "aa.md", text)
    store.write_json(folder.path / "aa.json", dataclasses.asdict(report))
    return code, text


def _names_experiment(overrides: Sequence[str]) -> bool:
    return any(word.startswith("experiment=") for word in overrides)


def _nights(folder: RunFolder, repeats: int, rounds: int) -> list[dict[str, Floats]]:
    """Return each repeat's times by method, (rounds, B), of the methods that have every round."""
    plan = folder.load_plan()
    assert plan is not None
    timed = samples_of(folder.load_rounds()).get(plan.workload["batch_size"], {})
    whole = {
        method: samples.forward_s
        for method, samples in timed.items()
        if len(samples.rounds) == repeats * rounds
    }
    if not whole:
        raise HarnessError(f"no method of run {plan.run} was timed in all rounds: see its table")
    return [
        {method: times[k * rounds : (k + 1) * rounds] for method, times in whole.items()}
        for k in range(repeats)
    ]
