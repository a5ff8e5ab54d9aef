"""Models and data: everything that knows what an image or a network is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.errors import InputError, one_line
from harness.workloads.private import only


def fp32_network(workload: Mapping[str, Any]) -> Any:
    """Return the workload's clean fp32 network, as its ``model._target_`` makes it.

    Args:
        workload: its configuration; ``files`` in it has the SHA-256 by path that the plan has of the
            model's files.

    Raises:
        InputError: the target cannot be imported, or refuses its arguments or files, or one of these
            is not the one that was planned.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    try:
        with only(workload.get("files", {})):
            return instantiate(workload["model"], _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__ or error
        if isinstance(cause, InputError):
            raise cause from None
        raise InputError(f"workload.model: {one_line(cause)}") from None
