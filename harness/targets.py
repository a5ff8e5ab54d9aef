"""Which code a configuration may name, by ``_target_`` and by the path of an method_options.INC strategy.

A plan, or a configuration that somebody sends, would otherwise call whatever Python can import. So it
names either what is listed here, or what is defined in a module of a folder given now with --conf.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.errors import InputError, one_line
from harness.facts.override_key import spell
from harness.process.own_modules import own_folders
from harness.storage import method_options

TARGET = "_target_"
Description = Mapping[str, Any]  # of an object: ``_target_``, and its arguments by name
KNOWN = frozenset(
    (
        "benchmarks.bundled.make.pretrained",
        "benchmarks.strategies.calibrating.AllAlikeTuneStrategy",
        "benchmarks.strategies.models.network",
        "harness.engines.neural_compressor.Inc",
        "harness.engines.onnxruntime.OnnxRuntime",
        "harness.engines.openvino.OpenVino",
        "harness.engines.pytorch.PyTorch",
        method_options.AS_RELEASED,
        method_options.BF16,
        method_options.BF16_FALLBACK,
        method_options.EQUALIZED,
        method_options.FUSED,
        method_options.INC,
        method_options.MADE_ELSEWHERE,
        method_options.MYCUSTOM,
        method_options.QUANTIZED,
        method_options.REPAIRED,
        method_options.SENSITIVITY,
        method_options.UNOPTIMIZED,
        "harness.workloads.models.custom",
        "harness.workloads.models.zoo",
    )
)


def require_known(config: Description, folders: Sequence[Path]) -> None:
    """Hold all that a configuration names to the list and the folders, without importing any of it.

    Raises:
        InputError: something else is named; the message has its key.
    """
    for key, target in _named(config):
        if not _may_be(target, folders):
            raise InputError(f"{key}={spell(target)}: {_advice(target)}")


def find(target: Any) -> Any:
    """Import what a configuration names, in a worker; ``own_folders`` are those of ``--conf``.

    Raises:
        InputError: it is not on the list, is not defined in a module of those folders, or cannot be
            imported.
    """
    folders = [Path(folder).resolve() for folder in own_folders()]
    if not _may_be(target, folders):
        raise InputError(f"{spell(target)}: {_advice(target)}")
    found = _imported(target)
    if target not in KNOWN and not _is_defined_in(found, folders):
        raise InputError(
            f"{target} is defined elsewhere than in a folder given with --conf: define a class or a "
            "function of your own there"
        )
    return found


def require_found(description: Description) -> None:
    """Import all that a description names, at any depth; as ``find``."""
    for _, target in _named(description):
        find(target)


def made(description: Description) -> Any:
    """Return what a description's ``_target_`` makes of its other keys, in a worker.

    As Hydra's ``instantiate`` does, but texts are texts: ``${...}`` in them is not looked up.

    Raises:
        InputError: ``find`` refuses a target, at any depth.
        Exception: whatever a target raises.
    """
    arguments = {key: _inside(value) for key, value in description.items() if key != TARGET}
    return find(description[TARGET])(**arguments)


def _inside(value: Any) -> Any:
    if isinstance(value, Mapping):
        is_made = TARGET in value
        return made(value) if is_made else {key: _inside(each) for key, each in value.items()}
    return [_inside(each) for each in value] if isinstance(value, (list, tuple)) else value


def _named(value: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted key and the value of all that names code."""
    if isinstance(value, Mapping):
        for key, each in value.items():
            inside = f"{at}.{key}" if at else str(key)
            is_path = (
                key == "strategy" and value.get(TARGET) == method_options.INC and "." in str(each)
            )
            if key == TARGET or is_path:
                yield inside, each
            else:
                yield from _named(each, inside)
    elif isinstance(value, (list, tuple)):
        for number, each in enumerate(value):
            yield from _named(each, f"{at}[{number}]")


def _may_be(target: Any, folders: Sequence[Path]) -> bool:
    """Say whether a path is on the list, or its first part is a module in one of the folders."""
    if not isinstance(target, str) or target in KNOWN:
        return isinstance(target, str)
    parts = target.split(".")
    if len(parts) < 2 or not all(part.isidentifier() and part[:2] != "__" for part in parts):
        return False
    return any(
        (folder / f"{parts[0]}.py").is_file() or (folder / parts[0]).is_dir() for folder in folders
    )


def _imported(target: str) -> Any:
    """Return what a dotted path leads to, through modules and what is in them."""
    first, *parts = target.split(".")
    try:
        found: Any = importlib.import_module(first)
        for part in parts:
            if hasattr(found, "__path__") and not hasattr(found, part):
                importlib.import_module(f"{found.__name__}.{part}")
            found = getattr(found, part)
    except Exception as error:  # a module of the user's own may raise anything
        raise InputError(f"{target} cannot be imported: {one_line(error)}") from None
    return found


def _is_defined_in(found: Any, folders: Sequence[Path]) -> bool:
    """Say whether a class or function is of a module in one of the folders, or on the list."""
    module, name = getattr(found, "__module__", None), getattr(found, "__qualname__", "")
    file = getattr(sys.modules.get(str(module)), "__file__", None)
    inside = file is not None and any(
        Path(file).resolve().is_relative_to(folder) for folder in folders
    )
    return inside or f"{module}.{name}" in KNOWN


def _advice(target: Any) -> str:
    module = target.split(".")[0] if isinstance(target, str) and target else "its module"
    return (
        "a configuration names code of this project, as conf/ does, or of a folder that is given with "
        f"--conf: name one of those, or give --conf DIR with {module}.py in it"
    )
