"""Whether two runs are the same: what each key of a plan determines, and how plans are compared.

``EFFECTS`` says what each key of the configuration determines. A question about two runs is a set of
effects: keys with another effect may differ. Results are determined by all keys but those of
``TIMES_ONLY``, which change only how models are measured, and of ``NOTHING``. ``PART_EFFECTS`` says the
same of a plan's other parts.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from enum import Enum

from harness.facts.machine_facts import Machine
from harness.facts.nested import ABSENT, Difference, Keys, differing, flattened, listed
from harness.facts.typed import JsonObject
from harness.storage.method_options import MADE_ELSEWHERE
from harness.storage.plan import RunPlan


class Effect(Enum):
    """What a key of the configuration determines."""

    NOTHING = "where a run is kept, what is measured beside its rows, and how it is shown"
    PLACE = "where an input lies; the digest of the file is compared too"
    FETCHING = "whether an input may be fetched"
    INPUT = "what every row computes on"
    THREADS = "the threads that are asked for"
    MODELS = "how the rows' models are made"
    COST = "what it costs to make them, and nothing else of them"
    TIMING = "how a batch is timed"
    AMOUNT = "how much is timed and profiled"
    REFERENCE = "the rows that others are set against"
    OWN = "whatever a user's own code makes of it"


EFFECTS = {  # by dotted key; the longest key that leads to a value counts
    "run": Effect.NOTHING,
    "machine": Effect.NOTHING,
    "machine_type": Effect.NOTHING,
    "machine_id": Effect.NOTHING,
    "table": Effect.NOTHING,
    "protocol.roof": Effect.NOTHING,
    "nightly": Effect.NOTHING,
    "workload": Effect.INPUT,
    "workload.rec": Effect.PLACE,
    "workload.params": Effect.PLACE,
    "workload.symbol": Effect.PLACE,
    "workload.tuning.source": Effect.PLACE,
    "workload.model.params": Effect.PLACE,
    "workload.model.symbol": Effect.PLACE,
    "workload.download": Effect.FETCHING,
    "max_cpu_isa": Effect.INPUT,
    "mxnet_additions": Effect.INPUT,
    "threads": Effect.THREADS,
    "threads.sweep": Effect.AMOUNT,
    "method": Effect.MODELS,
    "methods": Effect.MODELS,
    "methods.shared_calibration": Effect.COST,
    "tuning": Effect.MODELS,
    "protocol": Effect.AMOUNT,
    "protocol.batches": Effect.TIMING,
    "protocol.warmup_s": Effect.TIMING,
    "protocol.latency_ms": Effect.NOTHING,
    "protocol.server": Effect.TIMING,
    "baseline": Effect.REFERENCE,
    "fused": Effect.REFERENCE,
}
LATER = {  # keys that older plans lack, with the value that means the same
    "threads.allocator": "system",
    **dict.fromkeys(
        ("protocol.instances", "protocol.share_cores", "protocol.server", "threads.sweep"), None
    ),
}
UNDETERMINING = [key for key, effect in EFFECTS.items() if effect is Effect.NOTHING]


def _sections(effects: Iterable[str]) -> set[str]:
    """Return the sections whose keys do not all have one effect."""
    return {key.rsplit(".", depth)[0] for key in effects for depth in range(1, key.count(".") + 1)}


DIVIDED = _sections(EFFECTS)
FINISHED_PAIR = ("symbol", "params")  # keys of a row that takes a model made elsewhere

Question = frozenset[Effect]  # the effects of the keys that must be equal
TIMES_ONLY: Question = frozenset({Effect.TIMING, Effect.AMOUNT, Effect.REFERENCE})
SAME_RUN: Question = frozenset(Effect) - {Effect.NOTHING}
SAME_MODELS: Question = SAME_RUN - TIMES_ONLY
SAME_ELSEWHERE: Question = SAME_RUN - {Effect.PLACE, Effect.COST}  # on any machine
SAME_TASK: Question = frozenset({Effect.INPUT, Effect.TIMING})  # for nights to be compared
# may change between nights, and explain a difference
SOFTWARE: Question = frozenset({Effect.MODELS, Effect.COST})


class PartEffect(Enum):
    """What a part of a plan says of sameness."""

    COMPARED = "it is equal in two plans of one run"
    DERIVED = "it follows from parts that are compared"
    NOTHING = "it determines nothing"


PART_EFFECTS = {  # in the order in which differences are listed
    "config": PartEffect.COMPARED,
    "files": PartEffect.COMPARED,
    "threads": PartEffect.COMPARED,
    "versions": PartEffect.COMPARED,
    "harness": PartEffect.COMPARED,
    "machine": PartEffect.COMPARED,
    "images": PartEffect.DERIVED,
    "tuning_images": PartEffect.DERIVED,
    "tuning_overlap": PartEffect.DERIVED,
    "run": PartEffect.NOTHING,
    "created": PartEffect.NOTHING,
    "overrides": PartEffect.NOTHING,
    "warnings": PartEffect.NOTHING,
    "schema": PartEffect.NOTHING,
    "code": PartEffect.NOTHING,
    "checkout": PartEffect.NOTHING,
    "packages": PartEffect.NOTHING,
    "foreign": PartEffect.NOTHING,
}
COMPARED = [part for part, effect in PART_EFFECTS.items() if effect is PartEffect.COMPARED]
DERIVED = [part for part, effect in PART_EFFECTS.items() if effect is PartEffect.DERIVED]
# Of all that is known of the machine. Not EC2's instance type: the same CPU under another name times
# alike, and a run must go on where the metadata service does not answer.
SAME_MACHINE = ("cpu_model", "isa", "allowed_cpus", "usable_cores")
SAME_TYPE = ("cpu_model", "isa", "usable_cores")  # of two machines that one column stands for
MACHINE_SOFTWARE = ("kernel", "microcode", "os")


def effects_in(config: JsonObject) -> dict[str, Effect]:
    """Return what the keys of a configuration determine, by dotted key.

    That is ``EFFECTS``, and PLACE for the files of rows whose digests the plan has. A path in the
    arguments of a user's own method has no digest, so it counts.
    """
    files = {
        f"method.{name}.{key}": Effect.PLACE
        for name, method in config.get("method", {}).items()
        if method["_target_"] == MADE_ELSEWHERE
        for key in FINISHED_PAIR
    }
    return {**EFFECTS, **files}


def effect_of(key: str, effects: Mapping[str, Effect] = EFFECTS) -> Effect:
    """Return what a dotted key of the configuration determines; OWN for keys of a user's own.

    Args:
        effects: those of one configuration, from ``effects_in``, if its methods matter.
    """
    while key and key not in effects:
        key = key.rpartition(".")[0]
    return effects.get(key, Effect.OWN)


def selected(config: JsonObject, effects: Collection[Effect]) -> JsonObject:
    """Return the part of a configuration with these effects, in its order, without what LATER means."""
    known = effects_in(config)
    divided = _sections(known) | _sections(LATER)

    def part(section: JsonObject, at: str) -> JsonObject:
        kept: JsonObject = {}
        for key, value in section.items():
            where = f"{at}{key}"
            if where in LATER and value == LATER[where]:
                continue
            wanted = effect_of(where, known) in effects
            if where in divided and isinstance(value, dict):
                inner = part(value, f"{where}.")
                if inner or wanted:
                    kept[key] = inner
            elif wanted:
                kept[key] = value
        return kept

    return part(config, "")


def renewed(before: JsonObject, now: JsonObject, at: str = "") -> JsonObject:
    """Return a run's configuration, with the values of now for keys that determine nothing.

    Args:
        at: the dotted key, with a dot behind it, that both are the values of; empty at the top.
    """
    config: JsonObject = {}
    for key in {**before, **now}:
        where = f"{at}{key}"
        if where in DIVIDED and key in before and key in now:
            config[key] = renewed(before[key], now[key], f"{where}.")
            continue
        source = now if effect_of(where) is Effect.NOTHING else before
        if key in source:
            config[key] = source[key]
    return config


def differences(
    old: RunPlan, new: RunPlan, question: Question = SAME_RUN, machine: Keys = SAME_MACHINE
) -> list[str]:
    """Return the differences of two plans that bear on a question, one line a key.

    Args:
        machine: the facts of the machines that must be equal.
    """
    before, after = (
        {**plan.as_dict(), "machine": _facts(plan.machine, machine)} for plan in (old, new)
    )
    effects = [effects_in(plan.config.stored) for plan in (old, new)]
    lines = []
    for part in COMPARED:
        different = differing(before[part], after[part], (part,))
        lines += listed(
            one
            for one in different
            if _bears_on(one.keys, question, effects) and not _is_later(one)
        )
    if list(old.methods) != list(new.methods) and set(old.methods) == set(new.methods):
        lines.append("config.method: the order of the rows differs")
    return lines


def _is_later(difference: Difference) -> bool:
    """Say whether a key of LATER is missing in one plan and has the value of before in the other."""
    meaning = LATER.get(difference.key.removeprefix("config."), ABSENT)
    values = [difference.before, difference.after]
    return all(value in (ABSENT, meaning) for value in values)


def _bears_on(keys: Keys, question: Question, effects: Iterable[Mapping[str, Effect]]) -> bool:
    part, *inside = keys
    if part == "config":
        key = ".".join(map(str, inside))
        return any(effect_of(key, each) in question for each in effects)
    return part != "files" or keys[-1] != "path"


def pooling_differences(one: RunPlan, other: RunPlan) -> list[str]:
    """Return why two runs on machines of one type are not measurements of one plan; empty if they are.

    Files may lie elsewhere. Rows, software and the threads must be the same, and so must the CPUs.
    """
    return differences(one, other, SAME_ELSEWHERE, SAME_TYPE)


def settings(plan: RunPlan) -> JsonObject:
    """Return all that determines a run's results on any machine, by dotted key.

    Threads and CPUs are left out: they are the machine's, and machines are compared by them.
    """
    return {
        **flattened(plan.versions.stored, "versions"),
        "harness": plan.harness,
        **{f"files.{role}.sha256": digest for role, digest in file_digests(plan).items()},
        **{part: getattr(plan, part) for part in DERIVED},
        **flattened(selected(plan.config.stored, SAME_ELSEWHERE), "config"),
    }


def alike(plan: RunPlan) -> JsonObject:
    """Return all that must be equal in two nights for a verdict to mean anything."""
    finished = _finished_files(plan)  # of one row each, which may change as any row may
    return {
        "machine": _facts(plan.machine, SAME_MACHINE),
        "files": {role: one for role, one in file_digests(plan).items() if role not in finished},
        "images": {"validated": plan.images, "tuned on": plan.tuning_images},
        "threads": {key: getattr(plan.threads, key) for key in ("policy", "count", "environment")},
        **selected(plan.config.stored, SAME_TASK),
    }


def environment(plan: RunPlan) -> JsonObject:
    """Return all that may change between nights and explain a difference.

    Rows that take a model made elsewhere have the digests of its files.
    """
    config = selected(plan.config.stored, SOFTWARE)
    methods = {name: dict(method) for name, method in config["method"].items()}
    for role, (name, key) in _finished_files(plan).items():
        methods[name][f"{key}_sha256"] = plan.files[role].sha256
    return {
        "versions": plan.versions.stored,
        **({} if plan.packages is None else {"packages": plan.packages}),
        "harness": plan.harness,
        "code": plan.code,
        **({} if plan.checkout is None else {"checkout": plan.checkout.stored}),
        "machine": _facts(plan.machine, MACHINE_SOFTWARE),
        **config,
        "method": methods,
    }


def software_differences(old: RunPlan, new: RunPlan) -> list[str]:
    """Return what differs in the software that measures, one line a key; empty if nothing does.

    That is the code, the packages, the kernel and the microcode. The commit does not count: the code's
    digest says whether it brought other code. Nor do engines, of which a run has those of its rows.
    """
    before, now = (
        {
            "versions": {k: v for k, v in plan.versions.stored.items() if k != "engines"},
            "packages": plan.packages,
            "harness": plan.harness,
            "code": plan.code,
            "machine": _facts(plan.machine, MACHINE_SOFTWARE),
        }
        for plan in (old, new)
    )
    known = [key for key in before if before[key] is not None and now[key] is not None]
    return listed(differing({k: before[k] for k in known}, {k: now[k] for k in known}))


def same_images(one: RunPlan, other: RunPlan) -> bool:
    """Say whether two runs validated the same images in the same order."""
    records = [file_digests(plan).get("rec") for plan in (one, other)]
    return records[0] == records[1] and one.images == other.images


def file_digests(plan: RunPlan) -> dict[str, str]:
    """Return the SHA-256 of the run's input files by role; a row's own is ``int8_mine.symbol``."""
    return {role: file.sha256 for role, file in plan.files.items()}


def _finished_files(plan: RunPlan) -> dict[str, tuple[str, str]]:
    """Return the row and the key of each file of a model made elsewhere, by the file's role."""
    files = {f"{name}.{key}": (name, key) for name in plan.methods for key in FINISHED_PAIR}
    return {role: file for role, file in files.items() if role in plan.files}


def _facts(machine: Machine, keys: Collection[str]) -> JsonObject:
    return {key: getattr(machine, key) for key in keys}
