"""One network with its defect: every row makes a model of it, is scored on images it never saw, and
all models are timed in turn. Runs in a worker."""

from __future__ import annotations

import contextlib
import filecmp
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np

from benchmarks.strategies.models import made
from harness.errors import NoSolution
from harness.facts.typed import decode
from harness.images.batches import Batches
from harness.images.prepared import Prepared
from harness.methods import instantiated
from harness.methods.base import Context
from harness.methods.shared_calibration import SHARED_CACHE
from harness.process.jobs import WorkerWorkload
from harness.stats import accuracy, speed
from harness.storage.configuration import Method
from harness.storage.method_options import INC
from harness.workloads.saved import load_exported, save

FP32 = "fp32_fused"
BACKWARD = 2  # what a backward pass counts as, in forward passes
WARM, TIMED = 3, 8  # batches of a round

Files = tuple[Path, Path]  # a model's symbol and weights


class Counted(Batches):
    """Batches of chosen images, held in memory, that count how many images were asked for."""

    def __init__(
        self, prepared: Prepared, labels: Any, chosen: Any, workload: WorkerWorkload
    ) -> None:
        self._chosen = chosen
        self.asked = 0
        super().__init__(
            prepared, labels[chosen], workload.batch_size, workload.transform, keep=True
        )

    def kept(self) -> Counted:
        return self

    def __iter__(self) -> Iterator[list[Any]]:
        for batch in super().__iter__():
            self.asked += len(batch[1])
            yield batch

    def _batch(self, at: int) -> list[Any]:
        chosen = self._chosen[at : at + self.batch_size]
        pixels = np.concatenate([self._prepared.read(int(n), int(n) + 1) for n in chosen])
        data = self._normalize(self._to_tensor(mx.np.array(pixels, dtype="uint8")))
        data.wait_to_read()
        return [data, mx.np.array(self.labels[at : at + len(chosen)], dtype="float64")]


@dataclass
class Case:
    """The images and the network of one case."""

    defect: str
    seed: int
    tuning: Counted
    held_back: Counted
    workspace: Path
    sampling: int
    models: dict[str, Files] = field(default_factory=dict)

    def make(self, name: str, description: dict[str, Any], kl: _Kl) -> dict[str, Any]:
        """Return what one row made: outcome, what it evaluated and asked for, and its seconds."""
        folder = self.workspace / name
        folder.mkdir(parents=True, exist_ok=True)
        searches = "strategy" in description
        if searches:
            (folder / SHARED_CACHE).write_text(kl.cache)
        net, _ = made(self.defect, self.seed)
        context = Context(net, self.tuning, folder, folder if searches else None, _quietly)
        self.tuning.asked = 0
        began = time.perf_counter()
        trials, outcome, excluded, found = 0, "ok", list[str](), None
        try:
            with contextlib.chdir(folder):  # some strategies of INC write to the working folder
                optimized = instantiated(decode(description, Method)).optimize(context)
            trials = int(optimized.quantization.get("trials", 0))
            excluded = list(optimized.quantization.get("excluded_operators", []))
            found = optimized.net
        except NoSolution as error:
            outcome, trials = "no solution", error.trials
        except Exception as error:
            outcome = f"failed: {type(error).__name__}: {error}"[:300]
        seconds, asked = time.perf_counter() - began, self.tuning.asked
        if found is not None:
            self.models[name] = self._saved(found, folder)
        if _by_kl(folder):
            seconds += kl.seconds
            asked += self.sampling
        if (folder / "sensitivity.json").is_file():
            probed = json.loads((folder / "sensitivity.json").read_text())["images"]
            asked += BACKWARD * int(probed)
        return {
            "outcome": outcome,
            "trials": trials,
            "evaluated": trials * len(self.tuning.labels),
            "images": asked,
            "seconds": seconds,
            "excluded": excluded,
        }

    def _saved(self, net: Any, folder: Path) -> Files:
        """Save a model; one that another row has made, too, is that row's, to the bit."""
        data = next(iter(self.held_back))[0]
        files = save(net, data, folder / "model", lambda: made(self.defect, self.seed)[0])
        return next((other for other in self.models.values() if _same(other, files)), files)

    def right(self, files: Files) -> Any:
        """Return (images,) bool: which images that nothing was tuned on a model gets right."""
        net = _loaded(files)
        found = [net(data).argmax(axis=1).asnumpy() for data, _ in self.held_back]
        return np.concatenate(found).astype(np.int64) == self.held_back.labels

    def times(self, rounds: int) -> dict[Files, list[list[float]]]:
        """Return each round's median seconds of a batch, (rounds, 1) a model, in shuffled order.

        Every round loads the models anew, since where one lies in memory is worth some percent. The
        median, since one batch that another process disturbs would outweigh what differs here.
        """
        rng = np.random.default_rng(self.seed)
        data = next(iter(self.held_back))[0]
        found: dict[Files, list[list[float]]] = {files: [] for files in self.models.values()}
        for _ in range(rounds):
            for at in rng.permutation(len(found)):
                files = list(found)[at]
                net = _loaded(files)
                batches = []
                for _ in range(WARM + TIMED):
                    began = time.perf_counter()
                    net(data).wait_to_read()
                    batches.append(time.perf_counter() - began)
                found[files].append([float(np.median(batches[WARM:]))])
        return found


@dataclass(frozen=True)
class _Kl:
    """INC's thresholds by KL divergence, made once a case: they are the same for all strategies.

    Attributes:
        cache: the file that INC rows share, with these alone in it.
        seconds: what making them took, which is added to what every strategy took that used them.
    """

    cache: str
    seconds: float

    @classmethod
    def of(cls, case: Case, options: dict[str, Any]) -> _Kl:
        took = {}
        for algorithm in ("minmax", "kl"):
            folder = case.workspace / f"calibration_{algorithm}"
            folder.mkdir(parents=True)
            row = {
                "label": algorithm,
                "_target_": INC,
                "strategy": "benchmarks.strategies.calibrating.AllAlikeTuneStrategy",
                "strategy_options": {"algorithm": algorithm},
                "options": {**options, "criterion": "absolute", "tolerance": 1.0},
            }
            net, _ = made(case.defect, case.seed)
            began = time.perf_counter()
            instantiated(decode(row, Method)).optimize(
                Context(net, case.tuning, folder, folder, _quietly)
            )
            took[algorithm] = time.perf_counter() - began
        stored = json.loads((folder / SHARED_CACHE).read_text())
        cache = json.dumps({**stored, "minmax": {}})
        return cls(cache, max(took["kl"] - took["minmax"], 0.0))


def run(job: dict[str, Any], progress: Callable[[int, int, str], None]) -> dict[str, Any]:
    """Return the case's facts: where the defect is, fp32's accuracy, and each row's.

    Args:
        job: defect, seed, rows (by name, as their configuration), options of INC, tuning and held
            back images, rounds, workload, prepared, stored, labels, workspace.
    """
    workload = decode(job["workload"], WorkerWorkload)
    prepared = Prepared(Path(job["prepared"]), job["stored"], workload.transform.crop)
    labels = np.load(job["labels"])
    order = np.random.default_rng([job["seed"], 1]).permutation(job["stored"])
    parts = order[: job["tuning"]], order[job["tuning"] :][: job["held_back"]]
    tuning, held_back = (Counted(prepared, labels, part, workload) for part in parts)
    case = Case(
        job["defect"],
        job["seed"],
        tuning,
        held_back,
        Path(job["workspace"]),
        job["options"]["sampling_size"],
    )
    kl = _Kl.of(case, job["options"])
    rows = {}
    for done, (name, description) in enumerate(job["rows"].items()):
        progress(done, len(job["rows"]), name)
        rows[name] = case.make(name, description, kl)
    times = case.times(job["rounds"])
    right = {files: case.right(files) for files in times}
    fp32 = case.models[FP32]
    for name, files in case.models.items():
        loss = accuracy.relative_loss(right[fp32], right[files])
        gain = speed.speedup(times[fp32], times[files])
        rows[name]["loss"] = [loss.estimate, loss.low, loss.high]
        rows[name]["speedup"] = [gain.estimate, gain.low, gain.high]
        rows[name]["times"] = times[files]
    _, where = made(job["defect"], job["seed"])
    return {
        "defect": job["defect"],
        "seed": job["seed"],
        "where": where,
        "fp32": float(right[fp32].mean()),
        "kl_s": kl.seconds,
        "rows": rows,
    }


def _loaded(files: Files) -> Any:
    """Return a model as it is after saving: it runs as in a run, and faster than INC's own."""
    net = load_exported(*files)
    net.hybridize(static_alloc=True, static_shape=True)
    return net


def _same(files: Files, other: Files) -> bool:
    return all(filecmp.cmp(*pair, shallow=False) for pair in zip(files, other))


def _by_kl(folder: Path) -> bool:
    trajectory = folder / "trajectory.json"
    return trajectory.is_file() and "int8 kl" in trajectory.read_text()


def _quietly(done: int, total: int, what: str) -> None:
    """Progress that nobody watches."""
