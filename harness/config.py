"""Compose the Hydra configuration; turn its errors into ones that name the key and the choices."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from harness.errors import InputError

PROJECT = Path(__file__).resolve().parent.parent
CONF = PROJECT / "conf"


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
    search = ",".join(f"file://{folder.resolve()}" for folder in folders)
    wanted = [*overrides, *([f"hydra.searchpath=[{search}]"] if search else [])]
    try:
        with initialize_config_dir(str(CONF), version_base="1.3"):
            config = compose("config", wanted)
        values = OmegaConf.to_container(config, resolve=True)
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        raise InputError(_explained(error, folders)) from None
    assert isinstance(values, dict)
    composed: dict[str, Any] = {str(key): value for key, value in values.items()}
    _check(composed)
    return Composed(tuple(overrides), composed)


def project_path(path: str) -> Path:
    """Return ``path``; a relative one counts from the project's folder."""
    return PROJECT / Path(path).expanduser()


def choices(group: str, folders: Sequence[Path] = ()) -> list[str]:
    """Return what can be chosen in a group, such as ``method``."""
    roots = [CONF, *folders]
    return sorted({path.stem for root in roots for path in (root / group).glob("*.yaml")})


def _check(values: dict[str, Any]) -> None:
    if not values.get("method"):
        raise InputError("no method is chosen: give method=[fp32,...]")
    workload = values["workload"]
    for key, least in (("batch_size", 1), ("classes", 2)):
        if not isinstance(workload[key], int) or workload[key] < least:
            raise InputError(
                f"workload.{key}={workload[key]}: use a whole number of at least {least}"
            )
    if workload["classes"] > 1 << 16:
        raise InputError(f"workload.classes={workload['classes']}: at most {1 << 16} are supported")
    tuning = values["tuning"]
    for key, least in (("max_trials", 1), ("sampling_size", 1), ("seed", 0)):
        if not isinstance(tuning[key], int) or tuning[key] < least:
            raise InputError(f"tuning.{key}={tuning[key]}: use a whole number of at least {least}")
    if tuning["criterion"] not in ("relative", "absolute"):
        raise InputError(f"tuning.criterion={tuning['criterion']}: use relative or absolute")
    for key in ("tolerance", "timeout_s"):
        if not isinstance(tuning[key], (int, float)) or tuning[key] < 0:
            raise InputError(f"tuning.{key}={tuning[key]}: use a number of at least 0")
    if not isinstance(workload["tuning"]["batches"], int) or workload["tuning"]["batches"] < 1:
        raise InputError(f"workload.tuning.batches={workload['tuning']['batches']}: use at least 1")
    resize, crop = workload["transform"]["resize"], workload["transform"]["crop"]
    if crop > resize:
        raise InputError(
            f"workload.transform.crop={crop} is larger than workload.transform.resize={resize}"
        )


def _explained(error: Exception, folders: Sequence[Path]) -> str:
    """Return Hydra's message in one paragraph, with the choices where one was not found."""
    text = " ".join(str(error).split())
    missing = re.search(r"Could not (?:find|load) '(\w+)/([^']+?)'", text)
    if missing:
        group, wanted = missing.groups()
        found = choices(group, folders)
        if found:
            return f"{group}={wanted}: there is no such {group}; choose from {', '.join(found)}"
    unknown = re.search(r"Key '([^']+)' is not in struct.*?full_key: (\S+)", text)
    if unknown:
        return f"{unknown.group(2)}: there is no such key; --help and conf/ show the keys"
    group = re.search(r"Could not override '([^']+)'", text)
    if group:
        return f"{group.group(1)}: there is no such key or group; --help and conf/ show them"
    return text
