"""The environments of the engines that a run's rows ask for: made before anything is measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.render.progress import Display
from harness.setup.engine_env import Unsupported, engine_lock, locked_versions, ready_engine
from harness.setup.environments import Place, SetupError
from harness.storage import outcomes
from harness.storage.configuration import Method
from harness.storage.record import Outcome


@dataclass(frozen=True)
class EngineEnvironment:
    """The environment of an engine, or the outcome of the rows that ask for it.

    Attributes:
        python: its interpreter; None if it could not be made.
        missing: why not.
    """

    python: Path | None = None
    missing: Outcome | None = None


@dataclass(frozen=True)
class Engines:
    """How workers of engines other than MXNet are started.

    Attributes:
        environments: of packages, by the engines' names.
        variables: of these workers; threads are not set by variables there.
        cpus: one a thread.
    """

    environments: Mapping[str, EngineEnvironment]
    variables: dict[str, str]
    cpus: list[int]


def engine_environments(
    methods: Mapping[str, Method],
    folders: Sequence[Path],
    limit: str | None,
    show: Display,
    unread: str | None = None,
) -> dict[str, EngineEnvironment]:
    """Return the environment of each engine that a row asks for, by name.

    One that cannot be made costs its rows and no others.

    Args:
        limit: the configuration's max_cpu_isa. Engines have kernels beside oneDNN's, which it does not
            bind: with OpenVINO's convolutions on AVX2, its quantisation stays on AVX-512.
        unread: a threads.affinity of which only libiomp5 knows what it comes to.
    """
    reason = None
    if limit is not None:
        reason = (
            f"max_cpu_isa={limit} limits oneDNN, and other engines have kernels that it does not "
            "bind: measure this row in a run without max_cpu_isa"
        )
    elif unread is not None:
        reason = (
            f"threads.affinity={unread} is for libiomp5, which other engines do not use, and it lists "
            "no CPUs: give threads.affinity=auto, none, or granularity=fine,proclist=[0,1],explicit"
        )
    if reason is not None:
        refused = EngineEnvironment(missing=Outcome(outcomes.REFUSED, reason))
        return dict.fromkeys(_asked(methods), refused)
    return {name: _environment(name, folders, show) for name in _asked(methods)}


def engine_versions(
    methods: Mapping[str, Method], folders: Sequence[Path]
) -> dict[str, dict[str, str]]:
    """Return the locked versions of each engine that a row asks for, by the engine's name.

    Raises:
        SetupError: an engine has no lock file.
    """
    return {name: locked_versions(engine_lock(name, folders)) for name in _asked(methods)}


def _asked(methods: Mapping[str, Method]) -> list[str]:
    return sorted({method.engine.environment for method in methods.values() if method.engine})


def _environment(name: str, folders: Sequence[Path], show: Display) -> EngineEnvironment:
    try:
        with show.step(f"making sure of the environment of {name}"):
            # held, by a descriptor, until this process ends
            return EngineEnvironment(ready_engine(engine_lock(name, folders)).python)
    except Unsupported as error:
        return EngineEnvironment(missing=Outcome(outcomes.REFUSED, str(error)))
    except SetupError as error:  # pip's last lines are in it
        return EngineEnvironment(missing=Outcome(outcomes.FAILED, " ".join(str(error).split())))
    except OSError as error:
        folder = Place(engine=name).folder
        reason = f"{error}. The environment is made in {folder}: is it writable, with 1 GB free?"
        return EngineEnvironment(missing=Outcome(outcomes.FAILED, reason))
