"""The tutorial's procedure: one process tunes everything, a second validates what was saved.

    python -m benchmarks.vs_published.published tune JOB.json
    python -m benchmarks.vs_published.published validate JOB.json

Written from its description, and kept as plain as that: both processes hold the data set as float32,
decoded on one thread; one network goes through all methods; INC's strategies share one
``Quantization`` with its calibration cache; every model gets one timed pass, without warm-up. One
thing differs on purpose: the random generators are seeded before every strategy.

Of the harness only what makes the two alike is used: the workload's network, the options that INC is
told, the strategy ``mycustom``, the adaptation of INC to this MXNet, and how a model is read. MXNet
2.0.0b1 loses attributes of fused batch norms when it writes a model, which would then predict at
random, so they are put back as the harness does it. The check of a saved model that the harness adds
is not part of the published procedure and is not made here.
"""

from __future__ import annotations

import functools
import importlib
import json
import logging
import random
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np
import yaml
from mxnet.gluon.data import DataLoader
from mxnet.gluon.data.vision import ImageRecordDataset, transforms

from benchmarks.vs_published.clock import Phases
from harness.facts.typed import decode
from harness.process.jobs import WorkerWorkload
from harness.process.lifetime import die_with_parent
from harness.storage.method_options import FUSED, INC, QUANTIZED, UNOPTIMIZED
from harness.workloads import fp32_network
from harness.workloads.saved import export, load_exported

SWALLOWED = "Unexpected exception"  # what INC's fit() logs about an exception that it swallows


def decoded(job: Mapping[str, Any]) -> Any:
    """Return the validation set as it was published: every image as float32, made one by one."""
    shape = job["workload"]["transform"]
    pipeline = transforms.Compose(
        [
            transforms.Resize(shape["resize"], keep_ratio=shape["keep_ratio"]),
            transforms.CenterCrop(shape["crop"]),
            transforms.ToTensor(),
            transforms.Normalize(tuple(shape["mean"]), tuple(shape["std"])),
        ]
    )
    images = ImageRecordDataset(job["workload"]["rec"]).take(job["images"])
    dataset = images.transform_first(pipeline, lazy=False)
    mx.npx.waitall()  # MXNet computes behind Python's back; this is when the images are there
    return dataset


def tune(job: Mapping[str, Any], phases: Phases) -> dict[str, Any]:
    """Make and save every method's model in this one process.

    Returns:
        by method: cost_s, whether a model was found, and for INC the trials' accuracies with the
        seconds of evaluating and what INC was told; an error's text where there was one.
    """
    size = job["workload"]["batch_size"]
    dataset = decoded(job)
    phases.end("decoding")
    batches = DataLoader(dataset.take(job["tuning_batches"] * size), size, shuffle=False)
    batches.batch_size = size  # INC asks for it
    net = fp32_network(decode(job["workload"], WorkerWorkload))
    phases.end("loading the network")
    published = Published(job, net, batches)
    made = {}
    for name, method in job["methods"].items():
        began = time.perf_counter()
        print(f"published: {method['label']}", file=sys.stderr, flush=True)
        try:
            made[name] = published.optimize(name, method)
        except Exception as error:  # of one method; the others are still worth comparing
            made[name] = {"error": f"{type(error).__name__}: {error}"}
        made[name]["seconds"] = time.perf_counter() - began
        phases.end("tuning")
    return made


class Published:
    """One network and one ``Quantization``, used by all methods one after the other."""

    def __init__(self, job: Mapping[str, Any], net: Any, batches: Any) -> None:
        self._job, self._net, self._batches = job, net, batches
        self._folder = Path(job["workspace"])
        self._clean = functools.cache(lambda: fp32_network(decode(job["workload"], WorkerWorkload)))
        self._quantizer: Any = None
        self._trials: list[dict[str, float]] = []

    def optimize(self, name: str, method: Mapping[str, Any]) -> dict[str, Any]:
        """Make and save one method's model."""
        target = method["_target_"]
        began = time.perf_counter()
        if target == INC:
            return self._tuned(name, method)
        if target == UNOPTIMIZED:
            self._net.hybridize(static_alloc=True, static_shape=True)
            cost = time.perf_counter() - began
            self._net(self._first()).wait_to_read()  # a graph is exported once it has run
            made = self._net
        elif target == FUSED:
            self._net.optimize_for(
                self._first(), backend="ONEDNN", static_alloc=True, static_shape=True
            )
            cost, made = time.perf_counter() - began, self._net
        else:  # the command refuses what is not known
            assert target == QUANTIZED
            made = self._quantized(method)
            cost = time.perf_counter() - began
        self._save(made, name)
        return {"cost_s": cost, "saved": True}

    def _first(self) -> Any:
        return next(iter(self._batches))[0]

    def _quantized(self, method: Mapping[str, Any]) -> Any:
        from mxnet.contrib.quantization import quantize_net

        made = quantize_net(
            self._net,
            quantize_mode=method["quantize_mode"],
            calib_mode=method["calib_mode"],
            quantize_granularity=method["quantize_granularity"],
            calib_data=self._batches,
        )
        made.hybridize(static_alloc=True, static_shape=True)
        return made

    def _tuned(self, name: str, method: Mapping[str, Any]) -> dict[str, Any]:
        """Tune with INC's own ``fit()``, and say when it swallowed an exception."""
        strategy = _registered(method)
        quantizer = self._quantizer_of(strategy, method)
        quantizer.cfg.tuning.strategy.name = strategy
        quantizer.cfg.tuning.exit_policy.max_trials = int(method["options"]["max_trials"])
        # INC seeds these when it makes a Quantization, and bayesian draws from them: as it was
        # published, that depends on the strategies before it; every row of the harness is seeded
        random.seed(method["options"]["seed"])
        np.random.seed(method["options"]["seed"])
        self._net.hybridize()  # quantize_net left it so; here in case no method used it
        self._trials = []
        swallowed = _Swallowed()
        logging.getLogger().addHandler(swallowed)
        began = time.perf_counter()
        found = quantizer.fit()
        cost = time.perf_counter() - began
        logging.getLogger().removeHandler(swallowed)
        if swallowed.errors:
            raise RuntimeError(f"INC swallowed: {swallowed.errors[0]}")
        if found is not None:
            self._save(found.model, name)
        return {
            "cost_s": cost,
            "saved": found is not None,
            "trials": [trial["accuracy"] for trial in self._trials[1:]],  # [0] is fp32
            "evaluation_s": sum(trial["seconds"] for trial in self._trials),
            "evaluations": len(self._trials),
            "told": _told(quantizer.cfg, inc_options(strategy, method["options"])),
        }

    def _quantizer_of(self, strategy: str, method: Mapping[str, Any]) -> Any:
        """Return the one ``Quantization``, made by the first strategy that asks for it."""
        if self._quantizer is None:
            from neural_compressor.experimental import Quantization

            told = inc_options(strategy, method["options"])
            told["tuning"]["workspace"] = {"path": str(self._folder)}
            config = self._folder / "inc.yaml"
            config.write_text(yaml.safe_dump(told, sort_keys=False))
            self._quantizer = Quantization(str(config))
            self._quantizer.model = self._net
            self._quantizer.calib_dataloader = self._batches
            self._quantizer.eval_func = self._evaluate
        return self._quantizer

    def _evaluate(self, model: Any) -> float:
        began = time.perf_counter()
        metric = mx.gluon.metric.Accuracy()
        for data, label in self._batches:
            metric.update(label, model(data))
        accuracy = float(metric.get()[1])
        self._trials.append({"accuracy": accuracy, "seconds": time.perf_counter() - began})
        return accuracy

    def _save(self, net: Any, name: str) -> None:
        export(net, self._first(), self._folder / name, self._clean)


def _registered(method: Mapping[str, Any]) -> str:
    """Return the name that INC knows a strategy by; one given by its path is registered first."""
    from harness.process.compat import import_inc

    import_inc()
    from neural_compressor.strategy import STRATEGIES
    from neural_compressor.strategy.strategy import strategy_registry

    strategy = str(method["strategy"])
    if "." not in strategy:
        return strategy
    module, _, cls_name = strategy.rpartition(".")
    cls = getattr(importlib.import_module(module), cls_name)
    cls.options = dict(method.get("strategy_options", {}))
    name = cls_name[: -len("TuneStrategy")].lower()
    if name not in STRATEGIES:
        strategy_registry(cls)
    return str(name)


def inc_options(strategy: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what INC reads as YAML: the tutorial's file, with the composed options in it.

    The data types are named because INC adds bf16 by itself where the CPU has it.
    """
    dtypes = ["int8", "fp32"]
    return {
        "model": {"name": "network", "framework": "mxnet"},
        "quantization": {
            "approach": "post_training_static_quant",
            "calibration": {"sampling_size": int(options["sampling_size"])},
            "model_wise": {
                "weight": {"dtype": dtypes.copy()},
                "activation": {"dtype": dtypes.copy(), "algorithm": ["minmax", "kl"]},
            },
        },
        "tuning": {
            "strategy": {"name": strategy},
            "objective": options["objective"],
            "accuracy_criterion": {options["criterion"]: float(options["tolerance"])},
            "exit_policy": {
                "timeout": int(options["timeout_s"]),
                "max_trials": int(options["max_trials"]),
            },
            "random_seed": int(options["seed"]),
        },
    }


def _told(config: Any, asked: Any) -> Any:
    """Return of INC's configuration in force what ``asked`` names, as plain values."""
    if isinstance(asked, Mapping):
        return {key: _told(config[key], value) for key, value in asked.items()}
    return list(config) if isinstance(config, (list, tuple)) else config


class _Swallowed(logging.Handler):
    """Keeps what INC logs about exceptions that ``fit()`` swallows."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.errors: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if SWALLOWED in record.getMessage():
            self.errors.append(record.getMessage())


def validate(job: Mapping[str, Any], phases: Phases) -> dict[str, Any]:
    """Decode the data set again and give every saved model one timed pass over it.

    Returns:
        by method: top1, top5 and validation_s, the wall clock of the pass.
    """
    dataset = decoded(job)
    phases.end("decoding")
    batches = DataLoader(dataset, job["workload"]["batch_size"], shuffle=False)
    found = {}
    for name, method in job["methods"].items():
        stem = Path(job["workspace"]) / name
        symbol, params = Path(f"{stem}-symbol.json"), Path(f"{stem}-0000.params")
        if not symbol.is_file():
            continue
        print(f"published: validating {method['label']}", file=sys.stderr, flush=True)
        net = load_exported(symbol, params)
        net.hybridize(static_alloc=True, static_shape=True)
        phases.end("loading models")
        top1 = mx.gluon.metric.Accuracy()
        top5 = mx.gluon.metric.TopKAccuracy(5)
        began = time.perf_counter()
        for data, label in batches:
            scores = net(data)
            top1.update(label, scores)
            top5.update(label, scores)
        seconds = time.perf_counter() - began
        found[name] = {"top1": top1.get()[1], "top5": top5.get()[1], "validation_s": seconds}
        phases.end("validation")
    return found


STEPS: dict[str, Callable[[Mapping[str, Any], Phases], dict[str, Any]]] = {
    "tune": tune,
    "validate": validate,
}


def main() -> None:
    step, path = sys.argv[1], Path(sys.argv[2])
    job = json.loads(path.read_text())
    die_with_parent(job["parent"])
    phases = Phases(job["began"])
    phases.end("start and imports")
    methods = STEPS[step](job, phases)
    answer = {"methods": methods, "phases": phases.seconds}
    Path(job["answer"]).write_text(json.dumps(answer, indent=1, default=float) + "\n")


if __name__ == "__main__":
    main()
