"""Bring back the model of one tuning trial, as the run that tuned it left it, and validate it."""

from __future__ import annotations

from dataclasses import replace

from harness.errors import HarnessError, InputError, proposal
from harness.process.jobs import RecoverJob
from harness.run.context import Context
from harness.run.continuing import require_typed_allocator
from harness.run.inputs import check_inputs
from harness.run.job_result import require_answer
from harness.run.opening import open_session
from harness.storage import outcomes
from harness.storage.method_options import EQUALIZED
from harness.storage.record import MethodRecord, Outcome
from harness.storage.stage_facts import Optimize, Recovered
from harness.storage.store import HISTORY, TRIALS, RunFolder
from harness.storage.tuning_history import QConfig, read_history
from harness.table.loaded_run import rows_of
from harness.table.markdown import table


def recover(folder: RunFolder, method: str, trial: int, context: Context) -> str:
    """Rebuild trial ``trial`` (from 1), check it against its recorded predictions, validate it.

    The model stays in ``methods/<method>/recovered_<trial>/``.

    Returns:
        its row beside the baseline's, as Markdown, and what was recovered.

    Raises:
        InputError: no such method or trial in this run, a file of the run has changed, or its tuning
            history is not the one that it recorded.
        HarnessError: the rebuilt model does not predict what the trial did.
    """
    plan = folder.load_plan()
    assert plan is not None
    if method not in plan.methods:
        near = proposal(method, plan.methods)
        raise InputError(f"method={method}: run {plan.run} has {', '.join(plan.methods)}{near}")
    if plan.methods[method].target == EQUALIZED:
        raise InputError(
            f"method={method}: its trials are of the equalised network, and recover has that of the "
            "weights alone: the row's own model is the one that its search kept"
        )
    folder.require_own("a tuning history never travels, so recover it where it was measured")
    require_typed_allocator(plan, context.composed.overrides)
    source = folder.method(method)
    configuration = _configuration(folder, method, trial)
    with folder.locked():
        inputs = check_inputs(plan.workload)
        for role, file in plan.files.items():
            if role in inputs.files and inputs.files[role].sha256 != file.sha256:
                raise InputError(f"{file.path} is not the file that run {plan.run} used")
        # a trial is MXNet's: no engine's environment is made for it
        session = open_session(plan, inputs, folder, context.folders, context.show, {})
        name = f"{method}/recovered_{trial}"
        row = MethodRecord(
            plan.run,
            name,
            f"{plan.methods[method].label} trial {trial}",
            0,
            Outcome(outcomes.OK),
        )
        log = folder.method(name) / "recover.log"
        job = RecoverJob(
            workload=session.workload,
            tuning=session.data["tuning"],
            source=str(source),
            workspace=str(folder.method(name)),
            trial=trial,
            q_config=configuration,
        )
        ended = session.run_job(row, job, "recovering")
        recovered = require_answer(ended, Recovered, "recovering the trial", log)
        model = Optimize(  # the recovery was not timed
            cost_s=0, symbol=recovered.symbol, params=recovered.params, disturbed=[]
        )
        row = session.validate(replace(row, optimize=model))
        if row.outcome.kind != outcomes.OK:
            raise HarnessError(f"{row.label}: {row.outcome}")
        measured = [r for r in folder.load_records() if r.method == plan.config.baseline]
        *others, ours = rows_of(folder, plan, [*measured, row])
        rows = [*others, replace(ours, cost_s=None)]
    return (
        f"{table(rows)}\n\n"
        f"trial {recovered.trial}: top-1 {recovered.accuracy:.4f} on the {recovered.images} tuning "
        f"images, every prediction as recorded; the model is in {folder.method(name)}"
    )


def _configuration(folder: RunFolder, method: str, trial: int) -> QConfig:
    """Return what the tuning history says of a trial; the worker gets that, and not the file."""
    path = folder.method(method) / HISTORY
    again = "measure the row again, in a new run"
    known = next((row.history for row in folder.load_records() if row.method == method), None)
    if known is None:
        if path.is_file():
            raise InputError(f"{path}: run {folder.id} has no digest of it: {again}")
        if path.with_name(TRIALS).is_file():
            raise InputError(
                f"method={method} of run {folder.id} was tuned by a version that left its history as a "
                f"pickle, which could run anything and is read no longer: {again}"
            )
        raise InputError(f"method={method} has no tuning history in run {folder.id}")
    history = read_history(path, known.sha256)
    if not 1 <= trial <= len(history):
        raise InputError(f"trial={trial}: {path} holds trials 1 .. {len(history)}")
    entry = history[trial - 1]
    if entry["q_config"] is None:
        raise InputError(f"trial={trial} cannot be made again: {entry['because']}")
    return entry["q_config"]
