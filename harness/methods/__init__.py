"""The rows of the table: how each makes a model of the clean fp32 network."""

from __future__ import annotations

import inspect
from typing import Any

from harness.errors import InputError, one_line
from harness.storage.configuration import Method
from harness.targets import KNOWN, find, made


def instantiated(description: Method) -> Any:
    """Return the method that a row's configuration describes.

    A class of one's own may stand in for that of a row that has more options: it is not given the
    options that are null and that it does not take.

    Raises:
        InputError: the class is none that may be named or imported, or does not take these arguments.
    """
    try:
        arguments = description.arguments
        if description.target not in KNOWN:
            taken = inspect.signature(find(description.target)).parameters
            takes_all = any(each.kind is each.VAR_KEYWORD for each in taken.values())
            arguments = {
                key: value
                for key, value in arguments.items()
                if value is not None or key in taken or takes_all
            }
        method = made(arguments)
    except Exception as error:
        raise InputError(f"method {description.label!r}: {one_line(error)}") from None
    if not callable(getattr(method, "optimize", None)):
        kind = type(method).__name__
        raise InputError(f"method {description.label!r}: {kind} has no optimize(context)")
    return method
