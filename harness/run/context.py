"""What every verb works with: a configuration, the user's folders, and where progress is shown."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.config import Composed, compose_config, project_path
from harness.facts.override_key import key_of
from harness.render.progress import Display
from harness.storage.known_runs import find_run
from harness.storage.store import RunFolder


@dataclass(frozen=True)
class Context:
    """What a verb works with.

    Attributes:
        composed: the configuration.
        folders: of ``--conf``.
        show: where progress goes.
    """

    composed: Composed
    folders: tuple[Path, ...]
    show: Display

    @classmethod
    def of(cls, overrides: Sequence[str], folders: Sequence[Path], show: Display) -> Context:
        """Return the context of a configuration that is composed now.

        Raises:
            InputError: as ``compose_config``.
        """
        return cls(compose_config(overrides, folders), tuple(folders), show)

    def composing(self, overrides: Sequence[str]) -> Context:
        """Return the same context with another configuration.

        Raises:
            InputError: as ``compose_config``.
        """
        return Context.of(overrides, self.folders, self.show)

    @property
    def overrides(self) -> tuple[str, ...]:
        """The words that the configuration was composed of."""
        return self.composed.overrides

    @property
    def conf_words(self) -> list[str]:
        """The words of a command line that name the folders again."""
        return [word for folder in self.folders for word in ("--conf", str(folder))]

    @property
    def places(self) -> tuple[str, ...]:
        """The words by which another command finds the same runs and the same configuration."""
        results = [word for word in self.overrides if key_of(word) == "run.results"]
        return (*results[-1:], *self.conf_words)

    def command(self, verb: str, *words: str) -> str:
        """Return a command on the same runs, as a shell takes it."""
        return shlex.join(["./run.sh", verb, *words, *self.places])

    @property
    def results(self) -> Path:
        """The folder of all runs."""
        return project_path(self.composed.config.run.results)

    @property
    def cache(self) -> Path:
        """The folder of what can be made again."""
        return project_path(self.composed.config.run.cache)

    def find(self, run: str) -> RunFolder:
        """Return a run's folder by RUN or MACHINE/RUN.

        Raises:
            InputError: there is none, or more than one.
        """
        return find_run(self.results, run)
