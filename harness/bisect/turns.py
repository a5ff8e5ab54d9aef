"""One turn: a version's own ``run.sh`` measures the row once, in a run of its own."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.bisect.asides import Asides
from harness.bisect.pairs import Unmeasured, Version
from harness.config import compose_config
from harness.errors import HarnessError, InputError
from harness.facts.override_key import is_for_row, key_of
from harness.host.libraries import allocator
from harness.nightly.entry import build_entry
from harness.nightly.verdict import BATCH, ONCE
from harness.process.lifetime import die_with_parent
from harness.process.variables import passed_on
from harness.run.context import Context
from harness.run.continuing import require_typed_allocator
from harness.run.other_checkout import with_whole_paths
from harness.storage.plan import RunPlan
from harness.storage.store import RunFolder
from harness.table.metrics import TOP1, TOP5, Metric
from harness.words.overrides import for_hydra, looks_up, set_to

LOG = "turn.log"
OWN = ("nightly", "run", "machine")  # sections that a turn has of its own
UNTIMED = ("protocol.profile_batches=0", "protocol.roof=false", "protocol.sweep=[]")
SPLITS = (  # of several instances or thread counts, and what needs them
    "protocol.instances",
    "protocol.share_cores",
    "protocol.latency_ms",
    "protocol.server",
    "threads.sweep",
)


@dataclass
class Turns:
    """Measures versions, each turn in a run of its own under ``results``.

    Attributes:
        asides: the checkouts.
        words: of every run.
        places: the same of where it is kept.
        reference: the version that others are measured in turn with.
        models: by version, the run whose model later turns measure again.
    """

    asides: Asides
    method: str
    metric: Metric
    results: Path
    words: Sequence[str]
    places: Sequence[str]
    reference: Version
    models: dict[Version, str] = field(default_factory=dict)

    def __call__(self, version: Version, anew: bool) -> npt.NDArray[Any]:
        """Measure a version once.

        Args:
            anew: its model is made anew; otherwise that of its first turn is measured again.

        Returns:
            (B,) seconds of a turn's batches, or (1,) a figure; of accuracies (n,) bool.

        Raises:
            Unmeasured: its run failed.
        """
        place = self.asides.place(version, version == self.reference)
        number = sum(1 for _ in self.results.glob("*/*")) + 1
        folder = self._run(
            place, f"{number:04d}-{version.name[:12]}", self.models.get(version), anew
        )
        try:
            figures = self._figures(folder)
            if anew or self.models.setdefault(version, folder.id) != folder.id:
                _drop_models(folder)
        except HarnessError as error:
            raise Unmeasured(str(error)) from None
        return figures

    def drop_models(self) -> None:
        """Delete the models that turns have left, when none is measured again."""
        for path in self.results.glob("*/*"):
            with suppress(HarnessError):  # of a turn that failed
                _drop_models(RunFolder(path))

    def _run(self, place: Path, run: str, model: str | None, anew: bool) -> RunFolder:
        words = [*self.words, *self.places, set_to("run.id", run)]
        if model is not None and not anew:
            words.append(set_to("run.reuse_tuned", model))
        log = self.results / f"{run}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as printed:
            try:
                ended = subprocess.run(
                    [place / "run.sh", "run", *words],
                    env=passed_on(os.environ),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=printed,
                    check=False,
                    preexec_fn=partial(die_with_parent, os.getpid()),
                )
            except OSError as error:
                raise Unmeasured(f"its run.sh cannot be started ({error.strerror})") from None
        folders = list(self.results.glob(f"*/{run}"))
        if ended.returncode or len(folders) != 1:
            said = log.read_text(errors="replace").strip().splitlines()
            last = f": {said[-1]}" if said else ""
            raise Unmeasured(f"its run {run} ended with exit code {ended.returncode}{last} ({log})")
        log.replace(folders[0] / LOG)
        return RunFolder(folders[0])

    def _figures(self, folder: RunFolder) -> npt.NDArray[Any]:
        row = build_entry(folder).row(self.method)
        if row is not None and row.has_no_solution and self.metric in (TOP1, TOP5):
            plan = folder.load_plan()
            assert plan is not None
            return np.zeros(plan.images, dtype=bool)  # without a model no image is right
        if row is None or not row.has(self.metric.name):
            outcome = "no such row" if row is None else row.outcome
            raise Unmeasured(f"its run {folder.id} has no {self.metric.name} ({outcome})")
        if self.metric == BATCH and row.times is not None:
            return np.asarray(row.times[0])
        if self.metric in ONCE:
            return np.array([row.once[self.metric.name]], dtype=np.float64)
        assert row.correct is not None
        return np.asarray(row.correct[0 if self.metric == TOP1 else 1])


def turn_words(plan: RunPlan, method: str, metric: Metric, context: Context) -> list[str]:
    """Return the words of every turn: those of a run, for one row, and no more than the metric takes.

    Raises:
        InputError: a word of the run's plan does more than choose and set, or the plan names a
            library that no word of now names, or no round would be timed where a turn is to be one.
    """
    require_typed_allocator(plan, context.overrides)
    own = {key_of(word) for word in context.overrides}
    words = [word for word in plan.words if key_of(word) not in own]
    odd = next((word for word in words if _starts_more(word)), None)
    if odd is not None:
        raise InputError(
            f"run {plan.run} was measured with {odd}, which a plan cannot start: type it, too"
        )
    if metric == BATCH:
        _require_rounds(plan, context)
    words += context.overrides
    replaced = {*map(key_of, UNTIMED), *SPLITS, "protocol.rounds"}
    words = [
        word
        for word in for_hydra(words)
        if key_of(word).split(".")[0] not in OWN
        and ".".join(key_of(word).split(".")[:2]) not in replaced
        and is_for_row(key_of(word), method)
    ]
    # no word where it is null already: versions of before may lack the key
    words += [f"{key}=null" for key in SPLITS if attrgetter(key)(plan.config) is not None]
    words += [f"method=[{method}]", *UNTIMED, f"protocol.rounds={int(metric == BATCH)}"]
    needed = max(plan.tuning_images, plan.workload.batch_size)
    if metric == BATCH and needed < plan.images:  # the time of a batch needs no more
        words = [word for word in words if key_of(word) != "workload.images"]
        words.append(f"workload.images={needed}")
    return with_whole_paths(words)


def _require_rounds(plan: RunPlan, context: Context) -> None:
    """Raise an InputError if a turn would time no round, by the words typed or else by the plan."""
    typed = [word for word in context.overrides if key_of(word).split(".")[0] == "protocol"]
    protocol = plan.config.protocol
    origin = f"run {plan.run} was measured with protocol={protocol.name}"
    if {"protocol", "protocol.batches"} & {key_of(word) for word in typed}:
        protocol = compose_config(typed, context.folders).config.protocol
        origin = " ".join(typed)
    if not protocol.batches:
        raise InputError(
            f"{origin}, which times no rounds: add protocol=careful, which each turn then takes"
        )


def _starts_more(word: str) -> bool:
    """Say whether a word of a plan would do more on a command line than choose and set a value."""
    is_setting = not word.startswith("-") and ("=" in word or word.startswith("~"))
    loads = key_of(word) == allocator.KEY and "/" in word
    return not is_setting or loads or looks_up(word)


def turn_places(results: Path, machine: str, context: Context) -> list[str]:
    """Return the words that say where turns are kept."""
    places: Mapping[str, str] = {
        "run.results": str(results),
        "run.cache": str(context.cache),
        "machine": machine,
    }
    words = [set_to(key, value) for key, value in places.items()]
    return words + context.conf_words


def _drop_models(folder: RunFolder) -> None:
    """Delete the models of a turn."""
    for record in folder.load_records():
        if record.optimize is not None:
            own = folder.method(record.method)
            made = {own / file.path for file in record.optimize.files}
            for path in {*made, *own.glob("model-*")}:  # an engine's row has MXNet's model, too
                path.unlink(missing_ok=True)
