"""A run in progress: the images are prepared, and each job gets what it needs."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from harness.config import project_path
from harness.errors import HarnessError, InputError
from harness.host import machine, threads
from harness.host.isa import VARIABLE
from harness.images import preparation
from harness.process import executor
from harness.process.confinement import MEMORY
from harness.process.own_modules import named_in_environment
from harness.protocol import Protocol
from harness.render.progress import Display, told_once
from harness.run.inputs import Inputs
from harness.storage import locks, record, store
from harness.storage.plan import RunPlan
from harness.storage.record import MethodRecord, Outcome, RoundRecord
from harness.storage.stage_facts import Optimize, Process, ProfileFacts, RoundFacts, Validate
from harness.storage.store import RunFolder
from harness.storage.typed import Mistyped, decode
from harness.table import kernels, validity

GB = 10**9
LOOK_BYTES = 4 * GB  # ResNet50v2 takes 0.8
COPIES = 8  # of the weights at once, as read, set, and looked through
THREAD_BYTES = 32 << 20  # a thread's stack and oneDNN's scratch
StageFacts = TypeVar("StageFacts", bound=Process)


def environment_of(
    variables: Mapping[str, str], config: Mapping[str, Any], folders: Sequence[Path]
) -> dict[str, str]:
    """Return the environment of a run's workers.

    Args:
        variables: of threads; none for workers that are not measured.
    """
    limit = config.get("max_cpu_isa")
    return executor.worker_environment(
        {
            **variables,
            **({VARIABLE: limit} if limit else {}),
            **named_in_environment(folders),
            MEMORY: str(memory_of(config)),
            "INC_BENCH_CACHE": str(project_path(config["run"]["cache"])),
        }
    )


def memory_of(config: Mapping[str, Any]) -> int:
    """Return how many bytes of private memory a worker may hold; 0 is no limit.

    Unless the configuration says it that is what the machine, or its control group, has: a process
    that wants more is to fail by itself, before the kernel ends another one for want of memory.
    """
    given = config["run"].get("memory_gb")  # a plan of before has none, which is null
    if given is not None:
        return int(given * GB)
    return machine.total_memory() or 0


def bytes_to_look(config: Mapping[str, Any], files: Mapping[str, Any]) -> int:
    """Return how much a worker may hold that looks at the model, with two blank images.

    Copies of the weights, and what the activations, the threads and MXNet itself take: a symbol of a
    kilobyte may ask for any amount. Unless the configuration says another limit.
    """
    limit = memory_of(config)
    if config["run"].get("memory_gb") is not None:
        return limit
    weights = sum(
        file.get("bytes", 0) for role, file in files.items() if role in ("params", "symbol")
    )
    needed = LOOK_BYTES + COPIES * weights + THREAD_BYTES * (os.cpu_count() or 1)
    return int(min(limit or needed, needed))


def absolute_paths(value: Any) -> Any:
    """Return a workload's configuration with its files' paths absolute: workers run elsewhere."""
    if not isinstance(value, Mapping):
        return value
    made = {key: absolute_paths(item) for key, item in value.items()}
    for key in ("rec", "params", "symbol"):
        if isinstance(made.get(key), str):
            made[key] = str(project_path(made[key]))
    return made


def with_digests(
    workload: Mapping[str, Any], files: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Return a workload as workers get it: absolute paths, and what its model's files must be."""
    paths = {role: str(project_path(workload[role])) for role in store.MODEL if role in files}
    digests = {path: files[role]["sha256"] for role, path in paths.items()}
    return {**absolute_paths(workload), "files": digests}


def open_session(
    plan: RunPlan,
    inputs: Inputs,
    folder: RunFolder,
    folders: Sequence[Path],
    show: Display,
) -> Session:
    """Prepare the images unless the cache holds them.

    The workers' thread settings are made of the plan's options anew: a plan is data, and variables
    that it keeps could have a worker load anything.

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
    data: dict[str, dict[str, Any]] = {}
    for role, (index, images, file, labels) in sources.items():
        with show.step(f"preparing the {role} images") as report:
            prepared, how = preparation.ensure(
                preparation.Source(index, file["sha256"], images),
                plan.workload["transform"],
                plan.versions,
                preparation.Place.of(plan.config["run"]),
                plan.machine["usable_cores"],
                # not bound to cores: bound workers would all sit on the first place
                environment_of({}, plan.config, folders),
                report,
                plan.config["run"]["timeout_s"],
                locks.Wait(
                    # a plan of before has none
                    plan.config["run"].get("wait_s", locks.USUAL_LIMIT_S),
                    "run.wait_s",
                    told_once(show, "another process prepares the same images", report),
                ),
            )
        store.write_array(labels, index.labels[:images])
        store.write_json(folder.path / f"prepared_{role}.json", how)
        data[role] = {"prepared": str(prepared.path), "stored": images, "labels": str(labels)}
    data["tuning"]["images"] = plan.tuning_images
    settings = threads.resolve(
        plan.config.get("threads", {}), machine.read_topology(), threads.find_kmp_library()
    )
    environment = environment_of(settings.environment, plan.config, folders)
    workload = with_digests(plan.workload, plan.files)
    return Session(plan, folder, workload, environment, data, show)


def value_of(ended: executor.Ended, doing: str, log: Path) -> Any:
    """Return what a job returned, or raise what it means for the whole run."""
    if ended.kind == executor.DONE:
        return ended.value
    if ended.error and ended.error["kind"] == "input":
        raise InputError(ended.message)
    raise HarnessError(f"{doing} failed: {ended.message}; start it again (log: {log})")


@dataclass(frozen=True)
class Session:
    """A run in progress: what every job needs."""

    plan: RunPlan
    folder: RunFolder
    workload: dict[str, Any]
    environment: dict[str, str]
    data: dict[str, dict[str, Any]]
    show: Display

    @property
    def protocol(self) -> Protocol:
        return Protocol.of(self.plan.config["protocol"])

    def measure(self, position: int, name: str, before: MethodRecord | None = None) -> None:
        """Optimise, validate and profile one method.

        Its record is on disk before this returns or raises, with what was finished.

        Args:
            before: its record of a run that is continued; what is whole in it is not done again.
        """
        interrupted = Outcome(record.INTERRUPTED)
        label = self.plan.methods[name]["label"]
        others = before.others if before else {}
        row = MethodRecord(self.plan.run, name, label, position, interrupted, others=others)
        try:
            for stage in (self._optimize, self._validated, self._profiled):
                ended = stage(row, before)
                if ended.outcome.kind != record.OK:
                    break
                row = replace(ended, outcome=interrupted)
            row = ended
        finally:
            self.folder.save_record(row)
        self.show.note(f"{row.label}: {row.outcome}")

    def _optimize(self, row: MethodRecord, before: MethodRecord | None) -> MethodRecord:
        method = self.plan.methods[row.method]
        kept = self.folder.method(row.method) / store.OPTIMIZED
        facts = self._kept(kept)
        if facts is not None:
            known = before.history if before else None
            return replace(row, outcome=Outcome(record.OK), optimize=facts, history=known)
        shared = self.plan.config["methods"]["shared_calibration"]
        job = {
            "stage": "optimize",
            "workload": self.workload,
            "method": dict(method),
            "tuning": self.data["tuning"],
            "cpus": self.plan.machine["allowed_cpus"],
            "workspace": str(self.folder.method(row.method)),
            "shared": str(self.folder.path) if shared else None,
        }
        ended = self.start_job(row, job, "optimising")
        outcome, facts = answer_of(ended, Optimize, self._shown(row, job))
        if facts:
            outcome = _judged(outcome, validity.of_pass(facts))
            if outcome.kind == record.OK:
                self.folder.save_optimized(row.method, facts)
        path = kept.with_name(store.HISTORY)
        history = store.digest_of(path, path.parent) if path.is_file() else None
        return replace(row, outcome=outcome, optimize=facts, history=history)

    def _kept(self, path: Path) -> Optimize | None:
        """Return the facts of a model that an interrupted run left whole, if it did."""
        if not path.is_file():
            return None
        try:
            facts = decode(store.load_json(path), Optimize)
        except Mistyped:
            return None
        whole = all(store.is_intact(path.parent / file.path, file) for file in facts.model)
        return facts if whole else None

    def validate(self, row: MethodRecord) -> MethodRecord:
        """Run the row's saved model over the validation images."""
        job = {**self._of_model(row), "stage": "validate", "predictions": "predictions.npz"}
        ended = self.start_job(row, job, "validating")
        outcome, facts = answer_of(ended, Validate, self._shown(row, job))
        if facts:
            outcome = _judged(outcome, validity.of_validation(facts))
        return replace(row, outcome=outcome, validate=facts)

    def _validated(self, row: MethodRecord, before: MethodRecord | None) -> MethodRecord:
        facts = before.validate if before and _same_model(before, row) else None
        if facts and not validity.of_validation(facts):
            predictions = self.folder.method(row.method) / facts.predictions.path
            if store.is_intact(predictions, facts.predictions):
                return replace(row, outcome=Outcome(record.OK), validate=facts)
        return self.validate(row)

    def _profiled(self, row: MethodRecord, before: MethodRecord | None) -> MethodRecord:
        """See which of oneDNN's primitives the row's model is, in a pass that is not timed."""
        batches = self.protocol.profile_batches
        if not batches:
            return replace(row, outcome=Outcome(record.OK))
        known = before.profile if before and _same_model(before, row) else None
        if known and not self._wrong_kernels(row, known):
            return replace(row, outcome=Outcome(record.OK), profile=known)
        job = {**self._of_model(row), "stage": "profile", "batches": batches}
        ended = self.start_job(row, job, "profiling", kernels.ENVIRONMENT)
        outcome, facts = answer_of(ended, ProfileFacts, self._shown(row, job))
        if facts:
            outcome = _judged(outcome, self._wrong_kernels(row, facts))
        return replace(row, outcome=outcome, profile=facts)

    def _wrong_kernels(self, row: MethodRecord, facts: ProfileFacts) -> list[str]:
        return validity.of_profile(
            kernels.Profile.recorded(facts),
            validity.called_int8(row.method, row.label),
            self.plan.machine["isa"],
            self.plan.config["max_cpu_isa"],
        )

    def time(self, row: MethodRecord, round_: int, attempt: int) -> RoundRecord:
        """Time a row's model in one round; the record is not on disk yet."""
        protocol = self.protocol
        job = {
            **self._of_model(row),
            "stage": "measure",
            "sizes": list(protocol.sizes(self.workload["batch_size"]).items()),
            "warmup_s": protocol.warmup_s,
        }
        ended = self.start_job(row, job, f"timing, round {round_} of {protocol.rounds}")
        outcome, facts = answer_of(ended, RoundFacts, self._shown(row, job))
        if facts:
            # a batch of one need not keep every thread busy: the workload's own size is what tells
            outcome = _judged(outcome, validity.of_pass(facts.timed[0]))
        return RoundRecord(self.plan.run, row.method, round_, attempt, outcome, facts)

    def _of_model(self, row: MethodRecord) -> dict[str, Any]:
        """Return what every job needs that runs a row's saved model on the validation images."""
        assert row.optimize is not None
        return {
            "workload": self.workload,
            "images": self.plan.images,
            "cpus": self.plan.machine["allowed_cpus"],
            "workspace": str(self.folder.method(row.method)),
            "symbol": row.optimize.symbol.path,
            "params": row.optimize.params.path,
            "sha256": {
                "symbol": row.optimize.symbol.sha256,
                "params": row.optimize.params.sha256,
            },
            **{key: self.data["validation"][key] for key in ("prepared", "labels")},
        }

    def start_job(
        self,
        row: MethodRecord,
        job: Mapping[str, Any],
        doing: str,
        extra: Mapping[str, str] | None = None,
    ) -> executor.Ended:
        """Run one stage of a row in a process of its own, in the row's folder, and wait for it.

        Args:
            extra: variables that this stage alone needs in its environment.
        """
        workspace = self.folder.method(row.method)
        log = workspace / f"{job['stage']}.log"
        with self.show.step(f"{row.label}: {doing}") as report:
            worker = executor.Worker(job, {**self.environment, **(extra or {})}, log, workspace)
            return worker.wait(report, self.plan.config["run"]["timeout_s"])

    def _shown(self, row: MethodRecord, job: Mapping[str, Any]) -> str:
        log = self.folder.method(row.method) / f"{job['stage']}.log"
        return str(log.relative_to(self.folder.path))


def _judged(outcome: Outcome, wrong: Sequence[str]) -> Outcome:
    """Return INVALID with the reasons, if there are any."""
    return Outcome(record.INVALID, "; ".join(wrong)) if wrong else outcome


def _same_model(one: MethodRecord, other: MethodRecord) -> bool:
    models = [[file.sha256 for file in row.optimize.model] for row in (one, other) if row.optimize]
    return len(models) == 2 and models[0] == models[1]


def answer_of(
    ended: executor.Ended, kind: type[StageFacts], log: str
) -> tuple[Outcome, StageFacts | None]:
    """Return the outcome of a job of one row, and its facts with those of its process.

    The facts are None if it did not end well, or said what no record may hold: nobody could read it.
    """
    outcome = outcome_of(ended, log)
    if ended.kind != executor.DONE:
        return outcome, None
    process = {
        "seconds": ended.seconds,
        "peak_rss_bytes": ended.peak_rss_bytes,
        "confined": ended.confined,
    }
    try:
        return outcome, decode({**ended.value, **process}, kind)
    except Mistyped as error:
        return Outcome(record.FAILED, f"the method says that {error}"), None


def outcome_of(ended: executor.Ended, log: str) -> Outcome:
    """Return the typed outcome of a job of one row."""
    if ended.kind == executor.DONE:
        return Outcome(record.OK)
    if ended.kind == executor.TIMEOUT:
        return Outcome(record.TIMEOUT, ended.message, log)
    if ended.error and ended.error["kind"] == "no solution":
        return Outcome(record.NO_SOLUTION, ended.message, log, ended.error["trials"])
    if ended.error and ended.error["kind"] == "refused":
        return Outcome(record.REFUSED, ended.message, log)
    if ended.error and ended.error["kind"] == "timeout":
        return Outcome(record.TIMEOUT, ended.message, log)
    return Outcome(record.FAILED, ended.message, log)
