"""A run in progress: runs the jobs of its rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path

from msgspec.structs import replace as replace_struct

from harness.errors import HarnessError
from harness.facts.typed import Mistyped, changed, decode, plain
from harness.files import whole_files
from harness.process import executor
from harness.process.executor import Progress
from harness.process.jobs import (
    ConvertJob,
    ImageSet,
    Job,
    MeasureJob,
    OptimizeJob,
    ProfileJob,
    RowEngine,
    SavedModel,
    ValidateJob,
    WorkerWorkload,
)
from harness.render.progress import Display, Grown
from harness.run.course import Course, Step
from harness.run.engine_environments import Engines
from harness.run.instances.placed_splits import PlacedSplit
from harness.run.job_result import same_model, stage_result, with_faults, with_known
from harness.run.worker_setup import method_for_workers, profiled_batches
from harness.screen.run_table import fitted_table
from harness.storage import outcomes, recorded_files, store
from harness.storage.configuration import Protocol
from harness.storage.plan import RunPlan
from harness.storage.record import MethodRecord, Outcome, RoundRecord
from harness.storage.stage_facts import Optimize, ProfileFacts, RoundFacts, Validate
from harness.storage.store import PREDICTIONS, RunFolder
from harness.table import kernels, validity
from harness.table.loaded_run import rows_of


@dataclass(frozen=True)
class Session:
    """A run in progress.

    Attributes:
        workload: the configuration of the workload as workers get it.
        environment: the environment of every worker that measures with MXNet.
        engines: how the others are started.
        data: the prepared images by role, validation and tuning.
        course: how far it is.
        splits: of the machine into instances, in which its rows are measured, too.
    """

    plan: RunPlan
    folder: RunFolder
    workload: WorkerWorkload
    environment: dict[str, str]
    engines: Engines
    data: dict[str, ImageSet]
    show: Display
    course: Course
    splits: Sequence[PlacedSplit] = ()

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
                row = with_known(replace(ended, outcome=interrupted), before)
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
        history_path = saved.with_name(store.HISTORY)
        missing = self.missing_engine(row)
        if missing is not None:
            model = before.optimize if before else None
            return with_known(replace(row, outcome=missing, optimize=model), before)
        facts = self._intact_model(saved)
        if facts is not None:
            known = before.history if before else None
            # a power cut may have taken the record alone
            history = known or recorded_files.found(history_path)
            return replace(row, outcome=Outcome(outcomes.OK), optimize=facts, history=history)
        engine = self._engine(row)
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
        outcome, facts = stage_result(ended, Optimize, self.log_name(row, job.stage))
        if facts:
            outcome = with_faults(outcome, validity.pass_faults(facts))
            if engine is not None and outcome.kind == outcomes.OK:
                outcome, facts = self._convert(row, engine, facts)
        if facts and outcome.kind == outcomes.OK:
            self.folder.save_optimized(row.method, facts)
        history = recorded_files.found(history_path)
        return replace(row, outcome=outcome, optimize=facts, history=history)

    def _convert(
        self, row: MethodRecord, engine: RowEngine, network: Optimize
    ) -> tuple[Outcome, Optimize | None]:
        """Have an engine make the row's model of the network that the row's method made.

        Returns:
            the outcome, and the facts of both: their costs are one.
        """
        model = replace_struct(self._saved(row, network), images=self.data["tuning"])
        job = ConvertJob(model=model, cpus=self.plan.machine.allowed_cpus)
        ended = self.run_job(row, job, "converting", engine=engine)
        outcome, facts = stage_result(ended, Optimize, self.log_name(row, job.stage))
        if facts is None:
            return outcome, None
        assert facts.network is not None
        folders = map(self.folder.method, self.plan.methods)
        both = changed(
            facts,
            network=recorded_files.share(facts.network, Path(job.model.workspace), folders).stored,
            converted_s=facts.seconds,
            cost_s=network.cost_s + facts.cost_s,
            seconds=(network.seconds or 0) + (facts.seconds or 0),
            peak_rss_bytes=max(network.peak_rss_bytes or 0, facts.peak_rss_bytes or 0),
            quantization={
                **(network.stored.get("quantization") or {}),
                **(facts.stored.get("quantization") or {}),
            },
            disturbed=[*plain(network.disturbed), *plain(facts.disturbed)],
            warnings=network.warnings or [],
        )
        return outcome, both

    def missing_engine(self, row: MethodRecord) -> Outcome | None:
        """Return the outcome of a row whose engine has no environment; None where all is there."""
        engine = self._engine(row)
        if engine is None:
            return None
        return self.engines.environments[engine.options.environment].missing

    def _engine(self, row: MethodRecord) -> RowEngine | None:
        # a trial that is recovered is no row of the plan
        method = self.plan.methods.get(row.method)
        options = method.engine if method else None
        if options is None:
            return None
        threads = self.plan.threads.count
        return RowEngine(options=options, threads=threads, cpus=self.engines.cpus)

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
            model=self.model(row),
            cpus=self.plan.machine.allowed_cpus,
            predictions=PREDICTIONS,
        )
        ended = self.run_job(row, job, "validating", engine=job.model.engine)
        outcome, facts = stage_result(ended, Validate, self.log_name(row, job.stage))
        if facts:
            outcome = with_faults(outcome, validity.validation_faults(facts))
        return replace(row, outcome=outcome, validate=facts)

    def _validate_if_needed(self, row: MethodRecord, before: MethodRecord | None) -> MethodRecord:
        facts = before.validate if before and same_model(before, row) else None
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
        known = before.profile if before and same_model(before, row) else None
        if known and not self._kernel_faults(row, known):
            return replace(row, outcome=Outcome(outcomes.OK), profile=known)
        assert row.validate is not None
        batches, size = profiled_batches(row.validate, batches)
        job = ProfileJob(model=self.model(row), batches=batches, size=size)
        extra = None if job.model.engine else kernels.ENVIRONMENT  # OpenVINO's oneDNN fails with it
        ended = self.run_job(row, job, "profiling", extra, engine=job.model.engine)
        outcome, facts = stage_result(ended, ProfileFacts, self.log_name(row, job.stage))
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
        missing = self.missing_engine(row)
        if missing is not None:  # its environment is gone since the model was made
            return RoundRecord(self.plan.run, row.method, round_, attempt, missing)
        protocol = self.protocol
        job = MeasureJob(
            model=self.model(row),
            cpus=self.plan.machine.allowed_cpus,
            sizes=list(protocol.sizes(self.workload.batch_size).items()),
            warmup_s=protocol.warmup_s,
        )
        activity = f"timing, round {round_} of {protocol.rounds}"
        ended = self.run_job(row, job, activity, round_=round_, engine=job.model.engine)
        outcome, facts = stage_result(ended, RoundFacts, self.log_name(row, job.stage))
        if facts:
            # only the workload's own batch size counts: a batch of one need not keep every thread busy
            outcome = with_faults(outcome, validity.pass_faults(facts.timed[0]))
        return RoundRecord(self.plan.run, row.method, round_, attempt, outcome, facts)

    def model(self, row: MethodRecord, engine: RowEngine | None = None) -> SavedModel:
        """Return a row's saved model.

        Args:
            engine: that of a row of an engine's; None: the row's own, with all threads of the run.
        """
        assert row.optimize is not None
        return self._saved(row, row.optimize, engine)

    def _saved(
        self, row: MethodRecord, facts: Optimize, engine: RowEngine | None = None
    ) -> SavedModel:
        return SavedModel(
            workload=self.workload,
            images=self.data["validation"],
            workspace=str(self.folder.method(row.method)),
            symbol=facts.symbol,
            params=facts.params,
            engine=engine or self._engine(row),
        )

    def run_job(
        self,
        row: MethodRecord,
        job: Job,
        activity: str,
        extra: Mapping[str, str] | None = None,
        round_: int = 0,
        engine: RowEngine | None = None,
    ) -> executor.Ended:
        """Run one stage of a row in a process of its own, in the row's folder, and wait for it.

        Args:
            extra: environment variables of this stage alone.
            round_: the number of the round that it is.
            engine: in whose environment the stage runs; None: MXNet's.
        """
        with self.taking(row, Step(row.method, job.stage, round_), activity) as report:
            worker = self.start(row, job, engine, extra or {})
            return worker.wait(report, self.plan.config.run.timeout_s)

    @contextmanager
    def taking(self, row: MethodRecord, step: Step, activity: str) -> Iterator[Progress]:
        """Show in the block that a step of a row is taken; yield what its progress is told to."""
        head = f"{self.course.place(step)}{row.label}: {self.course.named(step) or activity}"
        left = partial(self.course.left, step)
        title = f"{row.label}: {activity}"
        with self.course.taking(step), self.show.step(title, head, left) as report:
            yield report

    def start(
        self,
        row: MethodRecord,
        job: Job,
        engine: RowEngine | None,
        extra: Mapping[str, str],
        number: str = "",
        inherited: Sequence[int] = (),
    ) -> executor.Worker:
        """Start a job of a row in the row's folder.

        Args:
            extra: environment variables of this job alone.
            number: ends the log's name; of one of several jobs at once, which take orders.
            inherited: descriptors that the worker has, too.
        """
        variables, python = self.environment, None
        if engine is not None:
            variables = self.engines.variables
            python = self.engines.environments[engine.options.environment].python
        workspace = self.folder.method(row.method)
        log = workspace / f"{job.stage}{number}.log"
        return executor.Worker(
            job, {**variables, **extra}, log, workspace, python, bool(number), inherited
        )

    def log_name(self, row: MethodRecord, stage: str) -> str:
        """Return a log's path in the run's folder."""
        log = self.folder.method(row.method) / f"{stage}.log"
        return str(log.relative_to(self.folder.path))
