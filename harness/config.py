"""Compose the Hydra configuration; turn its errors into ones that name the key and the choices."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from harness.errors import InputError
from harness.host import isa
from harness.protocol import Protocol
from harness.variables import OWN_PREFIX, cache_home

PROJECT = Path(__file__).resolve().parent.parent
CONF = PROJECT / "conf"
LEAST = {  # whole numbers and the least that they may be
    "workload.batch_size": 1,
    "workload.classes": 2,
    "workload.tuning.batches": 1,
    "workload.transform.resize": 1,
    "workload.transform.crop": 1,
    "tuning.max_trials": 1,
    "tuning.sampling_size": 1,
    "tuning.seed": 0,
    "nightly.runs": 1,
}
# what a configuration file or an override may raise on its way through Hydra
HYDRA_ERRORS = (
    AttributeError,
    HydraException,
    KeyError,
    OmegaConfBaseException,
    OSError,
    RecursionError,
    TypeError,
    ValueError,
    yaml.YAMLError,
)


OmegaConf.register_new_resolver("cache_home", cache_home, replace=True)


@dataclass(frozen=True)
class Composed:
    """A configuration.

    Attributes:
        overrides: what the user asked, as typed.
        values: everything, resolved, as plain Python.
    """

    overrides: tuple[str, ...]
    values: dict[str, Any]


def compose_config(overrides: Sequence[str], folders: Sequence[Path] = ()) -> Composed:
    """Compose ``conf/config.yaml`` with the user's overrides.

    Args:
        overrides: Hydra's ``key=value`` and ``group=choice``.
        folders: configuration folders of the user's own, searched after the project's.

    Raises:
        InputError: an unknown key, group choice or method, or a value of the wrong form.
    """
    for folder in folders:
        if not folder.is_dir():
            raise InputError(f"--conf {folder}: no such folder")
    try:
        values = _composed(overrides, folders)
    except HYDRA_ERRORS as error:
        raise InputError(_explained(error, overrides, folders)) from None
    try:
        _check(values)
    except (AttributeError, KeyError, TypeError) as error:
        raise InputError(f"the configuration has not the form of conf/ ({error!r})") from None
    for key in ("baseline", "fused"):
        known = choices("method", folders)
        if values[key] not in (*values["method"], *known):
            raise InputError(f"{key}={values[key]}: no such method; use one of {', '.join(known)}")
    return Composed(tuple(overrides), values)


def project_path(path: str) -> Path:
    """Return ``path``; a relative one counts from the project's folder."""
    return PROJECT / Path(path).expanduser()


def choices(group: str, folders: Sequence[Path] = ()) -> list[str]:
    """Return what can be chosen in a group, such as ``method``."""
    roots = [CONF, *folders]
    return sorted({path.stem for root in roots for path in (root / group).glob("*.yaml")})


def _composed(overrides: Sequence[str], folders: Sequence[Path]) -> dict[str, Any]:
    search = ",".join(f"file://{folder.resolve()}" for folder in folders)
    wanted = [*overrides, *([f"hydra.searchpath=[{search}]"] if search else [])]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", wanted)
    values = OmegaConf.to_container(config, resolve=True)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def _check(values: dict[str, Any]) -> None:
    if not values.get("method"):
        raise InputError("no method is chosen: give method=[fp32,...]")
    for name, method in values["method"].items():
        if not {"label", "_target_"} <= set(method):
            raise InputError(f"method {name}: its file must give label and _target_")
    for key, least in LEAST.items():
        number = _value(values, key)
        if not _is_number(number, int) or number < least:
            raise InputError(f"{key}={number}: use a whole number of at least {least}")
    for key in ("tuning.tolerance", "tuning.timeout_s", "run.timeout_s", "run.cache_limit_gb"):
        number = _value(values, key)
        if not _is_number(number, (int, float)) or not 0 <= number < math.inf:
            raise InputError(f"{key}={number}: use a number of at least 0")
    workload = values["workload"]
    switches = {
        "methods.shared_calibration": values["methods"]["shared_calibration"],
        "table.intervals": values["table"]["intervals"] or False,
        "workload.transform.keep_ratio": workload["transform"]["keep_ratio"],
        "workload.download": workload.get("download", False),
        "workload.random_weights": workload.get("random_weights", False),
    }
    for key, switch in switches.items():
        if not isinstance(switch, bool):
            raise InputError(f"{key}={switch}: use true or false")
    files = {key: workload.get(key) for key in ("rec", "params", "symbol")}
    for key, path in {**files, "tuning.source": workload["tuning"]["source"]}.items():
        if path is not None and not (isinstance(path, str) and path):
            raise InputError(f"workload.{key}={path}: give the path of a file")
    for key in ("run.results", "run.cache"):
        if not isinstance(_value(values, key), str):
            raise InputError(f"{key}={_value(values, key)}: give the path of a folder")
    for key in ("run.id", "run.reuse_tuned", "machine", "nightly.baseline"):
        name = _value(values, key)
        if name is not None and not re.fullmatch(r"\w[\w.-]*|", str(name), re.ASCII):
            raise InputError(f"{key}={name}: use a plain name of letters, digits, '.', '-' and '_'")
    if workload["classes"] > 1 << 16:
        raise InputError(f"workload.classes={workload['classes']}: at most {1 << 16} are supported")
    Protocol.of(values["protocol"])
    if values["max_cpu_isa"] not in (None, *isa.NAMES):
        raise InputError(
            f"max_cpu_isa={values['max_cpu_isa']}: use null or one of {', '.join(isa.NAMES)}"
        )
    if values["tuning"]["criterion"] not in ("relative", "absolute"):
        raise InputError(
            f"tuning.criterion={values['tuning']['criterion']}: use relative or absolute"
        )
    _check_transform(workload["transform"])


def _check_transform(transform: dict[str, Any]) -> None:
    resize, crop = transform["resize"], transform["crop"]
    if crop > resize:
        raise InputError(
            f"workload.transform.crop={crop} is larger than workload.transform.resize={resize}: "
            "lower the one or raise the other"
        )
    for key in ("mean", "std"):
        numbers = transform[key]
        if (
            not isinstance(numbers, list)
            or len(numbers) != 3
            or not all(_is_number(n, (int, float)) and math.isfinite(n) for n in numbers)
            or (key == "std" and min(numbers) <= 0)
        ):
            allowed = "three numbers" if key == "mean" else "three numbers above 0"
            raise InputError(f"workload.transform.{key}={numbers}: use {allowed}, [R,G,B]")


def _value(values: dict[str, Any], key: str) -> Any:
    value: Any = values
    for part in key.split("."):
        value = value[part]
    return value


def _is_number(value: Any, kinds: type | tuple[type, ...]) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def _explained(error: Exception, overrides: Sequence[str], folders: Sequence[Path]) -> str:
    """Return Hydra's message in one paragraph, with the choices where one was not found."""
    text = " ".join(str(error).split())
    missing = re.search(r"Could not (?:find|load) '(\w+)/([^']*?)'", text)
    if missing:
        group, wanted = missing.groups()
        found = choices(group, folders)
        if found:
            return f"{group}={wanted}: there is no such {group}; choose from {', '.join(found)}"
    unknown = re.search(r"Could not override '([^']+)'", text)
    if unknown:
        return f"{unknown.group(1)}: there is no such key; {_known(unknown.group(1), overrides, folders)}"
    variable = re.search(r"Environment variable '([^']*)' not found", text)
    if variable:
        name = variable.group(1)
        text += (
            f". Of your own variables run.sh passes on only those whose names begin with {OWN_PREFIX}: "
            f"use ${{oc.env:{OWN_PREFIX}{name.removeprefix(OWN_PREFIX)}}} and set that"
        )
    return f"{' '.join(overrides)}: {text}"


def _known(key: str, overrides: Sequence[str], folders: Sequence[Path]) -> str:
    """Say which keys there are where ``key`` was looked for."""
    names = (word.split("=", 1)[0] for word in overrides)
    chosen = [w for w, name in zip(overrides, names) if "." not in name and name != key]
    try:
        level = _composed(chosen, folders)
    except HYDRA_ERRORS:
        return "conf/ shows the keys"
    parents: list[str] = []
    for part in key.split(".")[:-1]:
        if not isinstance(level.get(part), dict):
            break
        level = level[part]
        parents.append(part)
    return f"{'.'.join(parents) or 'the configuration'} has {', '.join(level)}"
