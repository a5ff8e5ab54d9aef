"""The setup of a run's workers: environment, memory limit, and files of the workload."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.config import project_path
from harness.facts.typed import decode
from harness.host.isa import VARIABLE
from harness.host.memory import total_memory
from harness.process import executor
from harness.process.confinement import MEMORY
from harness.process.jobs import WorkerWorkload
from harness.process.own_modules import named_in_environment
from harness.storage import store
from harness.storage.configuration import Configuration, Method, Workload
from harness.storage.method_options import MADE_ELSEWHERE
from harness.storage.plan import InputFile
from harness.storage.stage_facts import Validate

GB = 10**9
INSPECTION_BYTES = 4 * GB  # ResNet50v2 takes 0.8
WEIGHT_COPIES = 8  # at once: as read, as set, and as inspected
THREAD_BYTES = 32 << 20  # a thread's stack and oneDNN's scratch
PROFILED_S = 3.0  # of forward passes; as long again before, for the one that converts the weights


def build_environment(
    variables: Mapping[str, str], config: Configuration, folders: Sequence[Path]
) -> dict[str, str]:
    """Return the environment of a run's workers.

    Args:
        variables: those of the thread settings; none for workers that do not measure.
    """
    limit = config.max_cpu_isa
    return executor.worker_environment(
        {
            **variables,
            **({VARIABLE: limit} if limit else {}),
            **named_in_environment(folders),
            MEMORY: str(memory_limit(config)),
            "INC_BENCH_CACHE": str(project_path(config.run.cache)),
        }
    )


def memory_limit(config: Configuration) -> int:
    """Return how many bytes of private memory a worker may hold; 0 means no limit.

    The default is all memory of the machine or of its control group: a process that wants more must
    fail by itself, before the kernel kills another one.
    """
    limit = config.run.memory_gb
    if limit is not None:
        return int(limit * GB)
    return total_memory() or 0


def inspection_memory_limit(config: Configuration, files: Mapping[str, InputFile]) -> int:
    """Return how many bytes the worker may hold that inspects the model, with two blank images.

    The default covers copies of the weights, activations, threads and MXNet itself: without a limit
    a symbol of a kilobyte could allocate any amount.
    """
    limit = memory_limit(config)
    if config.run.memory_gb is not None:
        return limit
    weights = sum(file.bytes or 0 for role, file in files.items() if role in store.MODEL)
    needed = INSPECTION_BYTES + WEIGHT_COPIES * weights + THREAD_BYTES * (os.cpu_count() or 1)
    return int(min(limit or needed, needed))


def absolute_paths(value: Any) -> Any:
    """Return a workload's configuration with absolute paths: workers run in other folders."""
    if not isinstance(value, Mapping):
        return value
    absolute = {key: absolute_paths(item) for key, item in value.items()}
    for key in ("rec", "params", "symbol"):
        if isinstance(absolute.get(key), str):
            absolute[key] = str(project_path(absolute[key]))
    return absolute


def method_for_workers(name: str, method: Method, files: Mapping[str, InputFile]) -> Method:
    """Return a method as workers get it: files of its own by their absolute paths and their digests."""
    if method.target != MADE_ELSEWHERE:
        return method
    own = {role: files[f"{name}.{role}"] for role in store.MODEL}
    paths = {role: str(project_path(file.path)) for role, file in own.items()}
    digests = {f"{role}_sha256": file.sha256 for role, file in own.items()}
    return decode({**method.stored, **paths, **digests}, Method)


def workload_for_workers(
    workload: Workload, files: Mapping[str, InputFile], additions: str | None = None
) -> WorkerWorkload:
    """Return a workload as workers get it: absolute paths and the digests of the model's files.

    Args:
        additions: the configuration's ``mxnet_additions``; None as MXNet was released.
    """
    digests = {
        str(project_path(path)): files[role].sha256
        for role, path in workload.paths.items()
        if role in store.MODEL and path and role in files
    }
    return decode(
        {
            **absolute_paths(workload.stored),
            "files": digests,
            "mxnet_additions": additions,
        },
        WorkerWorkload,
    )


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
