"""Models: networks and their weights, read, checked and saved."""

from __future__ import annotations

from typing import Any

from harness.errors import InputError, one_line
from harness.process.jobs import WorkerWorkload
from harness.targets import made, require_found
from harness.workloads.private import only


def fp32_network(workload: WorkerWorkload) -> Any:
    """Return the workload's clean fp32 network from its ``model._target_``.

    Raises:
        InputError: the target is none that may be named or imported, or refuses its arguments or files,
            or one of these is not the one that was planned.
    """
    try:
        require_found(workload.model.stored)
    except InputError as error:
        raise InputError(f"workload.model: {error}") from None
    try:
        with only(workload.files):
            return made(workload.model.stored)
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"workload.model: {one_line(error)}") from None
