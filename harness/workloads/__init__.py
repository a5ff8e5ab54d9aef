"""Models: networks and their weights, read, checked and saved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.errors import InputError, one_line
from harness.targets import made, require_found
from harness.workloads.private import only


def fp32_network(workload: Mapping[str, Any]) -> Any:
    """Return the workload's clean fp32 network from its ``model._target_``.

    Args:
        workload: its configuration; ``files`` in it has the SHA-256 by path that the plan has of the
            model's files.

    Raises:
        InputError: the target is none that may be named or imported, or refuses its arguments or files,
            or one of these is not the one that was planned.
    """
    try:
        require_found(workload["model"])
    except InputError as error:
        raise InputError(f"workload.model: {error}") from None
    try:
        with only(workload.get("files", {})):
            return made(workload["model"])
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"workload.model: {one_line(error)}") from None
