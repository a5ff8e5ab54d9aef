"""A run in progress: prepares its images and runs its jobs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

from harness.errors import HarnessError
from harness.facts.typed import Mistyped, decode
from harness.files import locks, whole_files
from harness.host import threads
from harness.host.topology import read_topology
from harness.images import preparation
from harness.process import executor
from harness.process.jobs import (
    ImageSet,
    Job,
    MeasureJob,
    OptimizeJob,
    ProfileJob,
    SavedModel,
    ValidateJob,
    WorkerWorkload,
)
from harness.render.progress import Display, Grown, told_once
from harness.run.course import Course, Step, course_of
from harness.run.inputs import Inputs
from harness.run.job_result import stage_result, with_faults
from harness.run.worker_setup import build_environment, method_for_workers, workload_for_workers
from harness.screen.run_table import fitted_table
from harness.storage import outcomes, recorded_files, store
from harness.storage.configuration import Protocol
from harness.storage.plan import RunPlan
from harness.storage.record import MethodRecord, Outcome, RoundRecord
from harness.storage.stage_facts import Optimize, ProfileFacts, RoundFacts, Validate
from harness.storage.store import RunFolder
from harness.table import kernels, validity
from harness.table.loaded_run import rows_of

PROFILED_S = 3.0  # of forward passes; as long again before, for the one that converts the weights


def open_session(
    plan: RunPlan,
    inputs: Inputs,
    folder: RunFolder,
    folders: Sequence[Path],
    show: Display,
) -> Session:
    """Prepare the images, unless the cache holds them, and return the session of a run.

    The workers' thread settings come from the plan's options, never from the variables that the plan
    keeps: a plan is data, and such variables could make a worker load any library.

    Raises:
        InputError: an image does not decode, or there is no space for the prepared images.
    """
    sources = {
        "validation": (inputs.validation, plan.images, plan.files["rec"], folder.labels),
        "tuning": (
            inputs.tuning,
            plan.images if inputs.overlap else plan.tuning_images,
            plan.files["rec" if inputs.overlap else "tuning"],
            folder.labels if inputs.overlap else folder.path / "labels_tuning.npy",
        ),
    }
    used = {"validation": plan.images, "tuning": plan.tuning_images}
    data: dict[str, ImageSet] = {}
    workload = workload_for_workers(plan.workload, plan.files, plan.config.mxnet_additions)
    for role, (index, images, file, labels) in sources.items():
        with show.step(f"preparing the {role} images") as report:
            prepared, how = preparation.ensure(
                preparation.Source(index, file.sha256, images),
                workload.transform,
                plan.versions,
                preparation.Place.of(plan.config.run),
                plan.machine.usable_cores,
                # not bound to cores: bound workers would all sit on the first place
                build_environment({}, plan.config, folders),
                report,
                plan.config.run.timeout_s,
                locks.Wait(
                    plan.config.run.wait_s,
                    "run.wait_s",
                    told_once(
                        show,
                        "another process prepares the same images",
                        plan.config.run.wait_s,
                        report,
                    ),
                ),
            )
        whole_files.write_array(labels, index.labels[:images])
        whole_files.write_json(folder.path / f"prepared_{role}.json", how.stored)
        data[role] = ImageSet(
            prepared=str(prepared.path), stored=images, labels=str(labels), images=used[role]
        )
    settings = threads.resolve(
        plan.config.threads.stored, read_topology(), threads.find_kmp_library()
    )
    environment = build_environment(settings.environment, plan.config, folders)
    return Session(plan, folder, workload, environment, data, show, course_of(plan, folder))


@dataclass(frozen=True)
class Session:
    """A run in progress.

    Attributes:
        workload: the configuration of the workload as workers get it.
        environment: the environment of every worker that measures.
        data: the prepared images by role, validation and tuning.
        course: how far it is.
    """

    plan: RunPlan
    folder: RunFolder
    workload: WorkerWorkload
    environment: dict[str, str]
    data: dict[str, ImageSet]
    show: Display
    course: Course

    @property
    def protocol(self) -> Protocol:
        return self.plan.config.protocol

    def run_stages(self, position: int, name: str, before: MethodRecord | None = None) -> None:
        """Run the stages of one method that are not rounds: optimize, validate and profile.

        The record of the finished stages is on disk before this returns or raises.

        Args:
            before: the method's record in a continued run; its intact stages are not run again.
        """
        interrupted = Outcome(outcomes.INTERRUPTED)
        label = self.plan.methods[name].label
        others = before.others if before else {}
        row = MethodRecord(self.plan.run, name, label, position, interrupted, others=others)
        try:
            for stage in (self._optimize, self._validate_if_needed, self._profile_if_needed):
                ended = stage(row, before)
                if ended.outcome.kind != outcomes.OK:
                    break
                row = replace(ended, outcome=interrupted)
            row = ended
        finally:
            self.folder.save_record(row)
            if row.outcome.kind != outcomes.OK:
                self.course.drop(name)
        self.show.ended(f"{row.label}: {row.outcome}", self._table_so_far)

    def _table_so_far(self) -> Grown:
        try:
            rows = rows_of(self.folder, self.plan, self.folder.load_records())
        except HarnessError:  # a run does not end because something cannot be shown
            rows = []
        # drawn twice a second, so made once for each size of the terminal
        return lru_cache(lambda width, lines: fitted_table(rows[-lines:], width, best=None))

    def _optimize(self, row: MethodRecord, before: MethodRecord | None) -> MethodRecord:
        method = self.plan.methods[row.method]
        saved = self.folder.method(row.method) / store.OPTIMIZED
        facts = self._intact_model(saved)
        if facts is not None:
            known = before.history if before else None
            return replace(row, outcome=Outcome(outcomes.OK), optimize=facts, history=known)
        shared = self.plan.config.methods.shared_calibration
        job = OptimizeJob(
            workload=self.workload,
            method=method_for_workers(row.method, method, self.plan.files),
            tuning=self.data["tuning"],
            cpus=self.plan.machine.allowed_cpus,
            workspace=str(self.folder.method(row.method)),
            shared=str(self.folder.path) if shared else None,
        )
        ended = self.run_job(row, job, "optimising")
        outcome, facts = stage_result(ended, Optimize, self._log_name(row, job))
        if facts:
            outcome = with_faults(outcome, validity.pass_faults(facts))
            if outcome.kind == outcomes.OK:
                self.folder.save_optimized(row.method, facts)
        path = saved.with_name(store.HISTORY)
        history = recorded_files.digest_of(path, path.parent) if path.is_file() else None
        return replace(row, outcome=outcome, optimize=facts, history=history)

    def _intact_model(self, path: Path) -> Optimize | None:
        """Return the facts of the optimised model of an interrupted run; None unless it is intact."""
        if not path.is_file():
            return None
        try:
            facts = decode(whole_files.load_json(path), Optimize)
        except Mistyped:
            return None
        intact = all(
            recorded_files.is_intact(path.parent / file.path, file) for file in facts.model
        )
        return facts if intact else None

    def validate(self, row: MethodRecord) -> MethodRecord:
        """Run the row's saved model over the validation images."""
        job = ValidateJob(
            model=self._model(row),
            cpus=self.plan.machine.allowed_cpus,
            predictions="predictions.npz",
        )
        ended = self.run_job(row, job, "validating")
        outcome, facts = stage_result(ended, Validate, self._log_name(row, job))
        if facts:
            outcome = with_faults(outcome, validity.validation_faults(facts))
        return replace(row, outcome=outcome, validate=facts)

    def _validate_if_needed(self, row: MethodRecord, before: MethodRecord | None) -> MethodRecord:
        facts = before.validate if before and _same_model(before, row) else None
        if facts and not validity.validation_faults(facts):
            predictions = self.folder.method(row.method) / facts.predictions.path
            if recorded_files.is_intact(predictions, facts.predictions):
                return replace(row, outcome=Outcome(outcomes.OK), validate=facts)
        return self.validate(row)

    def _profile_if_needed(self, row: MethodRecord, before: MethodRecord | None) -> MethodRecord:
        """Record which oneDNN primitives the row's model runs, in a pass that is not timed."""
        batches = self.protocol.profile_batches
        if not batches:
            return replace(row, outcome=Outcome(outcomes.OK))
        known = before.profile if before and _same_model(before, row) else None
        if known and not self._kernel_faults(row, known):
            return replace(row, outcome=Outcome(outcomes.OK), profile=known)
        assert row.validate is not None
        batches, size = profiled_batches(row.validate, batches)
        job = ProfileJob(model=self._model(row), batches=batches, size=size)
        ended = self.run_job(row, job, "profiling", kernels.ENVIRONMENT)
        outcome, facts = stage_result(ended, ProfileFacts, self._log_name(row, job))
        if facts:
            outcome = with_faults(outcome, self._kernel_faults(row, facts))
        return replace(row, outcome=outcome, profile=facts)

    def _kernel_faults(self, row: MethodRecord, facts: ProfileFacts) -> list[str]:
        return validity.profile_faults(
            kernels.Profile.recorded(facts),
            validity.is_called_int8(row.method, row.label),
            self.plan.machine.isa or (),
            self.plan.config.max_cpu_isa,
        )

    def measure(self, row: MethodRecord, round_: int, attempt: int) -> RoundRecord:
        """Time a row's model in one round; the record is not on disk yet."""
        protocol = self.protocol
        job = MeasureJob(
            model=self._model(row),
            cpus=self.plan.machine.allowed_cpus,
            sizes=list(protocol.sizes(self.workload.batch_size).items()),
            warmup_s=protocol.warmup_s,
        )
        activity = f"timing, round {round_} of {protocol.rounds}"
        ended = self.run_job(row, job, activity, round_=round_)
        outcome, facts = stage_result(ended, RoundFacts, self._log_name(row, job))
        if facts:
            # only the workload's own batch size counts: a batch of one need not keep every thread busy
            outcome = with_faults(outcome, validity.pass_faults(facts.timed[0]))
        return RoundRecord(self.plan.run, row.method, round_, attempt, outcome, facts)

    def _model(self, row: MethodRecord) -> SavedModel:
        assert row.optimize is not None
        return SavedModel(
            workload=self.workload,
            images=self.data["validation"],
            workspace=str(self.folder.method(row.method)),
            symbol=row.optimize.symbol,
            params=row.optimize.params,
        )

    def run_job(
        self,
        row: MethodRecord,
        job: Job,
        activity: str,
        extra: Mapping[str, str] | None = None,
        round_: int = 0,
    ) -> executor.Ended:
        """Run one stage of a row in a process of its own, in the row's folder, and wait for it.

        Args:
            extra: environment variables of this stage alone.
            round_: the number of the round that it is.
        """
        workspace = self.folder.method(row.method)
        log = workspace / f"{job.stage}.log"
        title = f"{row.label}: {activity}"
        step = Step(row.method, job.stage, round_)
        head = f"{self.course.place(step)}{row.label}: {self.course.named(step) or activity}"
        left = partial(self.course.left, step)
        with self.course.taking(step), self.show.step(title, head, left) as report:
            worker = executor.Worker(job, {**self.environment, **(extra or {})}, log, workspace)
            return worker.wait(report, self.plan.config.run.timeout_s)

    def _log_name(self, row: MethodRecord, job: Job) -> str:
        log = self.folder.method(row.method) / f"{job.stage}.log"
        return str(log.relative_to(self.folder.path))


def profiled_batches(validated: Validate, batches: int) -> tuple[int, int]:
    """Return how many batches to profile, and how many images each has.

    Shares of time need no more than ``PROFILED_S``: a slow model gets fewer batches, or one of fewer
    images where a whole one takes longer than that.

    Args:
        batches: at most.
    """
    seconds = sum(validated.forward_s) / validated.images  # of an image
    size = validated.batch_size
    affordable = batches * size if seconds == 0 else int(PROFILED_S / seconds)
    if affordable < size:
        return 1, max(1, affordable)
    return min(batches, affordable // size), size


def _same_model(one: MethodRecord, other: MethodRecord) -> bool:
    models = [[file.sha256 for file in row.optimize.model] for row in (one, other) if row.optimize]
    return len(models) == 2 and models[0] == models[1]
