"""Compose the Hydra configuration; turn its errors into ones that name the key and the choices."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.types import Quote, QuotedString
from omegaconf import OmegaConf

from harness import PROJECT
from harness.errors import InputError, proposal
from harness.facts.faults import MISSING, Fault
from harness.facts.override_key import spell
from harness.facts.typed import decode
from harness.process.variables import cache_home
from harness.storage.configuration import Configuration
from harness.storage.configuration_checks import advice, inconsistent, new_fault, takes_text
from harness.targets import require_known
from harness.words.mistakes import HYDRA_ERRORS, Composing, explain
from harness.words.overrides import for_hydra

CONF = PROJECT / "conf"
# Hydra's own groups, of an application that Hydra itself starts: a quarter of what composing takes
UNUSED = tuple(
    f"~hydra/{group}"
    for group in ("env", "help", "hydra_help", "hydra_logging", "job_logging", "launcher",
                  "output", "sweeper")
)  # fmt: skip

OmegaConf.register_new_resolver("cache_home", cache_home, replace=True)


@dataclass(frozen=True)
class Composed:
    """A configuration.

    Attributes:
        overrides: what the user asked, as typed.
        config: everything, resolved.
        download: whether what was asked now, on the command line or in a file of a folder given now,
            says to fetch weights; never taken from a plan.
    """

    overrides: tuple[str, ...]
    config: Configuration
    download: bool = False


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
    values = composed_values(overrides, folders)
    config = check_values(values, folders)
    for key, method in (("baseline", config.baseline), ("fused", config.fused)):
        known = choices("method", folders)
        if method not in (*config.method, *known):
            near = proposal(method, known)
            raise InputError(f"{key}={method}: no such method; use one of {', '.join(known)}{near}")
    return Composed(tuple(overrides), config, config.workload.download)


def composed_values(overrides: Sequence[str], folders: Sequence[Path]) -> dict[str, Any]:
    """Return the container that words compose to, before any check.

    Raises:
        InputError: Hydra cannot compose it.
    """
    try:
        return _composed(overrides, folders)
    except HYDRA_ERRORS as error:
        raise InputError(explain(error, overrides, _composing(folders))) from None


def project_path(path: str) -> Path:
    """Return ``path``; a relative one counts from the project's folder, ``~`` is a home folder."""
    return PROJECT / os.path.expanduser(path)


def is_group(key: str, folders: Sequence[Path] = ()) -> bool:
    """Say whether a word's key chooses files, such as ``method``, and does not set a value."""
    group = re.split("[@/]", key)[0]
    return any((root / group).is_dir() for root in (CONF, *folders)) and "." not in group


def choices(group: str, folders: Sequence[Path] = ()) -> list[str]:
    """Return what can be chosen in a group, such as ``method``."""
    roots = [CONF, *folders]
    return sorted({path.stem for root in roots for path in (root / group).glob("*.yaml")})


def _composing(folders: Sequence[Path]) -> Composing:
    groups = [path.name for root in (CONF, *folders) for path in root.iterdir() if path.is_dir()]
    return Composing(
        compose=lambda words: _composed(words, folders),
        groups=list(dict.fromkeys(groups)),
        choices=lambda group: choices(group, folders),
    )


def _composed(overrides: Sequence[str], folders: Sequence[Path]) -> dict[str, Any]:
    # Hydra reads these entries without OmegaConf, so ${ needs no escape there
    entries = (QuotedString(f"file://{folder.resolve()}", Quote.single) for folder in folders)
    search = ",".join(entry.with_quotes() for entry in entries)
    searched = [f"hydra.searchpath=[{search}]"] if search else []
    wanted = [*for_hydra(overrides), *searched, *UNUSED]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", wanted)
    values = OmegaConf.to_container(config, resolve=True)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def check_values(values: dict[str, Any], folders: Sequence[Path]) -> Configuration:
    """Return a configuration that is to be measured, after every check of its keys.

    Raises:
        InputError: a value is not what it should be.
    """
    methods = values.get("method")
    if not methods:
        raise InputError("no method is chosen: give method=[fp32,...]")
    for name, method in methods.items() if isinstance(methods, dict) else ():
        if isinstance(method, dict) and not {"label", "_target_"} <= set(method):
            raise InputError(f"method {name}: its file must give label and _target_")
    wrong = new_fault(values)
    if wrong is not None:
        raise InputError(_said(wrong, folders))
    config = decode(values, Configuration)
    contradiction = inconsistent(config)
    if contradiction is not None:
        raise InputError(contradiction)
    require_known(values, folders)
    return config


def _said(wrong: Fault, folders: Sequence[Path]) -> str:
    """Return what is wrong with a value, and what to write instead."""
    if wrong.value is MISSING:
        return f"{wrong}: the configuration has not the form of conf/"
    if wrong.expected == "an object":
        value = spell(wrong.value)
        return (
            f"{wrong.at}={value}: the configuration has not the form of conf/; give its keys: type "
            f"{wrong.at}.KEY=VALUE"
        )
    written = None if isinstance(wrong.value, str) else _written(wrong, folders)
    if written is not None:
        file, line = written
        return f"{advice(wrong)}; in {file} write {line}"
    return advice(wrong)


def _written(wrong: Fault, folders: Sequence[Path]) -> tuple[Path, str] | None:
    """Return the file in which YAML read a text as something else, and the line that keeps it one."""
    if not takes_text(wrong.at):
        return None
    last = wrong.at.rsplit(".", 1)[-1]
    for root in (*folders, CONF):
        for path in sorted(root.glob("**/*.yaml")):
            try:
                content = path.read_text(encoding="utf-8")
                read = OmegaConf.to_container(OmegaConf.create(content))
                texts = yaml.load(content, yaml.BaseLoader)
            except HYDRA_ERRORS:
                continue
            text = _text_of(read, texts, last, wrong.value)
            if text is not None:
                return path, f"{last}: {json.dumps(text, ensure_ascii=False)}"
    return None


def _text_of(read: Any, texts: Any, key: str, value: Any) -> str | None:
    """Return how a key's value is written in YAML, where it was read as ``value``."""
    if not isinstance(read, dict):
        return None
    for name, each in read.items():
        text = texts.get(name) if isinstance(name, str) else None
        if name == key and type(each) is type(value) and each == value and isinstance(text, str):
            return text
        inside = _text_of(each, text, key, value) if isinstance(text, dict) else None
        if inside is not None:
            return inside
    return None
