"""The rows of the table: how each makes a model of the clean fp32 network."""

from __future__ import annotations

from typing import Any

from harness.errors import InputError, one_line
from harness.storage.configuration import Method
from harness.targets import made


def instantiated(description: Method) -> Any:
    """Return the method that a row's configuration describes.

    Raises:
        InputError: the class is none that may be named or imported, or does not take these arguments.
    """
    try:
        method = made(description.arguments)
    except Exception as error:
        raise InputError(f"method {description.label!r}: {one_line(error)}") from None
    if not callable(getattr(method, "optimize", None)):
        kind = type(method).__name__
        raise InputError(f"method {description.label!r}: {kind} has no optimize(context)")
    return method
