"""The rows of the table: how each makes a model of the clean fp32 network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.errors import InputError, one_line


def instantiated(description: Mapping[str, Any]) -> Any:
    """Return the method that a row's configuration describes.

    Raises:
        InputError: the class cannot be imported or does not take these arguments.
    """
    from hydra.errors import InstantiationException
    from hydra.utils import instantiate

    arguments = {key: value for key, value in description.items() if key != "label"}
    try:
        method = instantiate(arguments, _convert_="all")
    except InstantiationException as error:
        reason = one_line(error.__cause__ or error)
        raise InputError(f"method {description.get('label')!r}: {reason}") from None
    if not callable(getattr(method, "optimize", None)):
        made = type(method).__name__
        raise InputError(f"method {description.get('label')!r}: {made} has no optimize(context)")
    return method
