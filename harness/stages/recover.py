"""Bring back the model of one tuning trial and compare it with what that trial predicted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from harness.errors import HarnessError, InputError
from harness.files.reading import BadArray, read_npz
from harness.images.batches import read_batches
from harness.methods.additions import clean_network
from harness.methods.recovery import recover
from harness.process.jobs import RecoverJob
from harness.storage.recorded_files import digest_of
from harness.storage.stage_facts import Recovered
from harness.storage.store import TRIALS
from harness.workloads.saved import save


def run(job: RecoverJob, progress: Callable[[int, int, str], None]) -> Recovered:
    """Rebuild the trial from its ``q_config``, check it on the tuning batches, and export it.

    Raises:
        InputError: ``q_config`` is another network's, or the trials' predictions are damaged.
        HarnessError: the rebuilt model predicts otherwise than the trial did.
    """
    source, workspace, trial = Path(job.source), Path(job.workspace), job.trial
    tuning = read_batches(job.tuning, job.workload)
    data = next(iter(tuning))[0]
    net = recover(clean_network(job.workload), job.q_config, data)
    now = np.concatenate([net(data).argmax(axis=1).asnumpy() for data, _ in tuning])
    try:
        then = read_npz(source / TRIALS, "top1", "<u2", (None, len(now)))[trial]
    except (BadArray, IndexError) as error:
        raise InputError(f"{source / TRIALS} is damaged ({error}): restore it") from None
    differing = np.flatnonzero(now != then)
    if len(differing):
        raise HarnessError(
            f"the model of trial {trial} predicts {len(differing)} of {len(then)} tuning images "
            f"otherwise than it did while tuning (first: image {differing[0]}): another machine, "
            "oneDNN instruction set or version, or a method that changed the network before its search?"
        )
    symbol, params = save(net, data, workspace / "model", lambda: clean_network(job.workload))
    return Recovered(
        trial=trial,
        accuracy=float((now == tuning.labels).mean()),
        images=len(now),
        symbol=digest_of(symbol, workspace),
        params=digest_of(params, workspace),
    )
