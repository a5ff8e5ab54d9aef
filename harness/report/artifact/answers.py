"""What a run's record answers of the questions that reproducibility lists ask, fact by fact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from harness.report.artifact.effort import effort
from harness.report.evidence import RunDigests
from harness.storage.method_options import MADE_ELSEWHERE
from harness.storage.outcomes import FINISHED, OK
from harness.storage.plan import RANDOM_WEIGHTS, RunPlan
from harness.table.loaded_run import LoadedRun
from harness.table.metrics import ADDED, PUBLISHED
from harness.table.plan_words import checkout_text, machine_text, mxnet_text, system_text
from harness.table.searches import engine_searches, searches

YES, PARTLY, NO = "yes", "in part", "no"
NONE, OPEN = "does not apply", "open"
BUNDLED = "benchmarks/bundled/"  # the workload's files that the repository holds


@dataclass(frozen=True)
class Answer:
    """An answer to a question of a list.

    Attributes:
        status: YES, PARTLY, NO or NONE by the record; OPEN where only a person can tell.
        said: what the record says of it, or what is left to answer.
    """

    status: str
    said: str


def unanswered(said: str) -> Answer:
    """Return the answer that a person has to give."""
    return Answer(OPEN, said)


def answers(run: LoadedRun, digests: RunDigests, command: str) -> dict[str, Answer]:
    """Return what the record answers, by the name of the fact.

    Args:
        command: the one that repeats the run.
    """
    parts = (
        _rows(run),
        _software(run.plan),
        _data(run.plan),
        _machine(run),
        _repeating(run.plan, digests, command),
        _tuning(run),
        _statistics(run),
        _effort(run),
    )
    return {name: answer for part in parts for name, answer in part.items()}


def _rows(run: LoadedRun) -> Mapping[str, Answer]:
    """Return which rows there are, and whether they came to an end."""
    ends = [record.outcome.kind for record in run.records]
    others = [f"{row.label} ({row.outcome})" for row in run.rows if row.outcome != OK]
    without = f"; without a result: {', '.join(others)}" if others else ""
    planned = len(run.plan.methods)
    finished = len(ends) == planned and all(end in FINISHED for end in ends)
    labels = ", ".join(method.label for method in run.plan.methods.values())
    return {
        "algorithm": Answer(
            YES, f"The rows are {labels}. The paragraph on methods describes them."
        ),
        "rows": Answer(
            YES if finished else PARTLY,
            f"{ends.count(OK)} of {planned} planned rows were measured{without}.",
        ),
        "limits": Answer(
            PARTLY,
            f"The {len(run.notes)} notes under the table say what limits its numbers. Limits of the "
            "paper's claims are left to the authors.",
        ),
    }


def _software(plan: RunPlan) -> Mapping[str, Answer]:
    versions = plan.versions
    code = f", code digest {plan.code}" if plan.code else ""
    wheel = versions.mxnet_wheel_sha256
    built = f"MXNet {mxnet_text(versions)}"
    network = plan.workload.model.network
    params = plan.files.get("params")
    if RANDOM_WEIGHTS in plan.warnings:
        model = Answer(PARTLY, "The weights are random, so accuracies mean nothing.")
    elif params is None:
        model = Answer(PARTLY, "The record has no digest of a file of weights.")
    else:
        of = f" of {network}" if network else ""
        model = Answer(YES, f"The weights{of} are {_name(params.path)}, SHA-256 {params.sha256}.")
    return {
        "program": Answer(YES, f"inc-bench {plan.harness}{code}; {checkout_text(plan)}."),
        "binary": Answer(
            YES if wheel else PARTLY,
            f"{built}, from a wheel with SHA-256 {wheel}."
            if wheel
            else f"{built}; the digest of its wheel was not recorded.",
        ),
        "dependencies": Answer(
            YES,
            "requirements/*.lock"
            + (" and requirements/engines/*.lock" if versions.engines else "")
            + " name every package with the SHA-256 of its files.",
        ),
        "model": model,
        "training": Answer(NONE, "The run trains nothing: it takes weights and quantises them."),
    }


def _data(plan: RunPlan) -> Mapping[str, Answer]:
    workload, transform = plan.workload, plan.workload.transform
    files = [
        f"{_name(file.path)} ({role}), SHA-256 {file.sha256}"
        for role, file in sorted(plan.files.items())
        if role in ("rec", "tuning")
    ]
    counts = (
        f"{plan.images} validation images of {workload.classes} classes in batches of "
        f"{workload.batch_size}; {plan.tuning_images} tuning images"
    )
    if transform is None:
        prepared = Answer(PARTLY, "The network of the workload's own prepares its images.")
    else:
        prepared = Answer(
            YES,
            f"Images are resized to {transform.resize} pixels, cropped to {transform.crop} and "
            f"normalised. {'All images' if workload.images is None else 'A part of the images'} of "
            "the record file are validated.",
        )
    bundled = _is_bundled(plan)
    return {
        "data": Answer(YES, "; ".join([counts, *files]) + "."),
        "split": Answer(
            NO if plan.tuning_overlap else YES,
            "The tuning images are the first of the validated ones, as in the published procedure: "
            "accuracies of tuned rows are not those of unseen images."
            if plan.tuning_overlap
            else "No tuning image is among the validated ones.",
        ),
        "preparation": prepared,
        "data_access": Answer(YES, "The images and the weights are in the repository.")
        if bundled
        else unanswered("Say where the images and the weights can be had."),
        "data_licence": Answer(YES, "Fashion-MNIST: MIT (NOTICE). Weights: Apache-2.0.")
        if bundled
        else unanswered("Name the licences of the images and of the weights."),
        "code_licence": Answer(
            YES, "inc-bench: Apache-2.0. requirements/LICENCES.md has those of all packages."
        ),
    }


def _is_bundled(plan: RunPlan) -> bool:
    """Say whether the repository holds all files of images and weights that a run reads."""
    paths = [path for path in plan.workload.paths.values() if path]
    if any(method.target == MADE_ELSEWHERE for method in plan.methods.values()):
        return False
    return bool(paths) and all(path.startswith(BUNDLED) for path in paths)


def _machine(run: LoadedRun) -> Mapping[str, Answer]:
    plan, machine = run.plan, run.plan.machine
    sets = f", instruction sets {', '.join(machine.isa)}" if machine.isa else ""
    memory = machine.memory_total_bytes
    size = f", {memory / 1e9:.0f} GB of memory" if memory else ""
    disturbed = [row.label for row in run.rows if row.method in run.disturbances]
    return {
        "hardware": Answer(YES, f"The machine has {machine_text(machine)}{sets}{size}."),
        "environment": Answer(
            YES,
            "; ".join(
                [
                    system_text(machine),
                    f"MXNet {plan.versions.mxnet}",
                    f"Intel Neural Compressor {plan.versions.neural_compressor}",
                    *plan.versions.engine_texts,
                ]
            )
            + ".",
        ),
        "state": Answer(
            PARTLY if disturbed else YES,
            f"Thread policy {plan.threads.policy}. "
            + (
                f"Disturbed, the notes say by what: {', '.join(disturbed)}."
                if disturbed
                else "Nothing disturbed the timings."
            ),
        ),
    }


def _repeating(plan: RunPlan, digests: RunDigests, command: str) -> Mapping[str, Answer]:
    return {
        "command": Answer(YES, f"{command} repeats the run."),
        "evaluation": Answer(
            YES, "The command that repeats the run evaluates it too; the code is in the repository."
        ),
        "functional": Answer(
            YES,
            "Documented: README.md and docs/. Exercisable: the command that repeats the run. Verified: "
            f"./run.sh verify run={plan.run} must print {digests.results}.",
        ),
        "setting": Answer(
            YES, f"plan.json has every key of the configuration, SHA-256 {digests.config}."
        ),
        "output": Answer(
            YES,
            "A record a row, predictions of every image, and this report; all with their SHA-256.",
        ),
    }


def _tuning(run: LoadedRun) -> Mapping[str, Answer]:
    of_engines = [search for _, search in engine_searches(run.plan, run.records)]
    of_inc = searches(run.plan, run.records)
    settings = [search.max_trials for search in of_inc] + [
        search.max_trials for search in of_engines
    ]
    if not settings:
        return {"hyperparameters": Answer(YES, "No row searches; plan.json has every setting.")}
    limits = sorted({most for most in settings if most is not None})
    most = f", with at most {' or '.join(map(str, limits))} trials" if limits else ""
    return {
        "hyperparameters": Answer(
            YES,
            f"{len(settings)} rows search{most}. The "
            "record has every trial; the paragraph on methods has the criterion and the seed.",
        )
    }


def _statistics(run: LoadedRun) -> Mapping[str, Answer]:
    rounds = sorted({row.rounds for row in run.rows if row.rounds})
    metrics = ", ".join(metric.title for metric in (*PUBLISHED, *ADDED))
    most = rounds[-1] if rounds else 0
    if most > 1:
        spread = Answer(
            YES,
            f"Times have 95 % intervals over up to {most} rounds, each in a fresh process; the "
            "paragraph on methods names the procedures.",
        )
    else:
        spread = Answer(
            NO,
            "Each row was timed in one process, so its times have no intervals that cover other "
            "processes. protocol=careful measures them.",
        )
    counted = f"up to {most} rounds" if most else "one validation pass"
    return {
        "metrics": Answer(YES, f"{metrics}. docs/table.md defines them."),
        "runs": Answer(YES, f"Each row was optimised once and timed in {counted}."),
        "spread": spread,
    }


def _effort(run: LoadedRun) -> Mapping[str, Answer]:
    """Return what the run took, as far as its records have it."""
    took = effort(run)
    peak = took.memory_bytes
    memory = f", at most {peak / 1e9:.1f} GB of memory at once" if peak else ""
    sizes = [
        file.bytes
        for record in run.records
        if record.optimize
        for file in record.optimize.model
        if file.bytes is not None
    ]
    disk = f"The models take {sum(sizes) / 1e6:.0f} MB. " if sizes else ""
    energy = (
        "Energy for 1,000 images of the timed parts was read: the Conditions table has it."
        if took.reads_energy
        else "Energy was not measured."
    )
    if took.seconds is None:
        said = "The seconds of processes were not recorded"
        time = Answer(NO, f"{said}.")
    else:
        said = f"The recorded processes took {_time_of(took.seconds)}"
        whole = " ".join([f"{said}{memory}.", *took.left_out])
        time = Answer(PARTLY if took.left_out else YES, whole)
    is_partly = took.reads_energy or took.seconds is not None
    return {
        "time": time,
        "energy": Answer(PARTLY if is_partly else NO, f"{said}. {energy}"),
        "disk": Answer(PARTLY, f"{disk}README.md says what the packages take."),
        "preparing": Answer(NO, "It was not recorded. README.md says what it took elsewhere."),
    }


def _time_of(seconds: float) -> str:
    return f"{seconds / 60:.0f} minutes" if seconds >= 120 else f"{seconds:.0f} s"


def _name(path: str) -> str:
    return path.rpartition("/")[2]
