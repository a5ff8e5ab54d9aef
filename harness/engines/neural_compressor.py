"""The newest Intel Neural Compressor (INC) that still tunes a CNN by accuracy: 3.7.1, on ONNX Runtime.

MXNet's rows are tuned by INC 1.13.1, and 3.8 has no strategies any more. The model that is found is
ONNX Runtime's, and runs in it as any other. INC's ``fit`` catches every exception and then says that
no model was found; so the steps of ``fit`` (``neural_compressor/quantization.py``) are done here.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import neural_compressor
import numpy as np
import onnxruntime
from neural_compressor import PostTrainingQuantConfig
from neural_compressor.config import AccuracyCriterion, TuningCriterion, _Config
from neural_compressor.model import Model
from neural_compressor.strategy import STRATEGIES

from harness.engines.calibration_parts import CalibrationParts
from harness.engines.interface import (
    CRITERIA,
    Batches,
    EngineModel,
    Progress,
    require_choice,
)
from harness.engines.network import INPUT
from harness.engines.onnx_sessions import OnnxRuntimeSessions, on_usable_cpus, save_model
from harness.engines.search_trials import Trials
from harness.errors import InputError, NoSolution, TuningTimeout
from harness.storage.method_options import as_tuple
from harness.time_limit import time_limit

FP32 = "fp32"


@dataclass(frozen=True)
class Inc(OnnxRuntimeSessions):
    """int8 by a strategy of INC, with the limits of MXNet's INC rows.

    Attributes:
        strategy: by INC's name (basic, mse, ...).
        tolerance: of top-1; a part of the fp32 accuracy if ``criterion`` is relative.
        criterion: relative or absolute.
        max_trials: models that are evaluated at most.
        timeout_s: 0 stops at the first model that meets the criterion; else the search goes on until
            then, and the best model that meets it counts.
        sampling_size: images that INC calibrates on; of several it tries each.
    """

    strategy: str = "basic"
    tolerance: float = 0.01
    criterion: str = "relative"
    max_trials: int = 500
    timeout_s: float = 0
    sampling_size: int | Sequence[int] = 192
    seed: int = 0

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            known = ", ".join(sorted(STRATEGIES))
            raise InputError(f"engine.strategy={self.strategy}: INC 3.7 has {known}")
        require_choice("criterion", self.criterion, CRITERIA)

    def optimize(
        self, network: Path, tuning: Batches, stem: Path, progress: Progress
    ) -> EngineModel:
        """As the interface has it.

        Raises:
            NoSolution: no model met the criterion within max_trials or the search space.
            TuningTimeout: no model met it within timeout_s.
        """
        trials = Trials(progress, stem.parent, "trials", self.max_trials)
        evaluations = _Evaluations(tuning, trials)
        with on_usable_cpus(), tempfile.TemporaryDirectory(dir=".") as aside:
            neural_compressor.set_workspace(aside)
            random.seed(self.seed)
            np.random.seed(self.seed)
            configured = self._configured()
            search = STRATEGIES[self.strategy](
                model=Model(str(network), conf=configured),
                conf=_Config(
                    quantization=configured,
                    benchmark=None,
                    pruning=None,
                    distillation=None,
                    nas=None,
                ),
                q_dataloader=CalibrationParts(tuning),
                eval_func=evaluations.accuracy,
            )
            evaluations.search = search
            with time_limit(self.timeout_s) as limit:
                search.traverse()
            best = search.get_best_qmodel()  # made again if the limit ended a later trial
            if best is None:
                self._explain(evaluations, limit.expired)
            graph = stem.with_suffix(".onnx")
            weights = save_model(best.model, graph)
        trajectory, operators = evaluations.trials.entries, best.q_config["op"]
        facts = {
            "strategy": f"{self.strategy} of INC {neural_compressor.__version__}",
            "quantize_granularity": "tensor-wise" if _is_tensor_wise(operators) else "channel-wise",
            "excluded_operators": _excluded(operators),
            "baseline_accuracy": evaluations.baseline,
            "tuned_accuracy": search.best_tune_result[0],
            "trials": len(trajectory),
        }
        return EngineModel(graph, weights, facts, trajectory)

    def _configured(self) -> Any:
        """Return INC's configuration; bf16 is excluded, as for MXNet's rows of INC."""
        return PostTrainingQuantConfig(
            approach="static",
            quant_level=1,  # the strategy that is named, and no other before it
            quant_format="QDQ",
            excluded_precisions=["bf16"],
            calibration_sampling_size=list(as_tuple(self.sampling_size)),
            accuracy_criterion=AccuracyCriterion(
                criterion=self.criterion, tolerable_loss=self.tolerance
            ),
            tuning_criterion=TuningCriterion(
                strategy=self.strategy, max_trials=self.max_trials, timeout=self.timeout_s
            ),
        )

    def _explain(self, evaluations: _Evaluations, expired: bool) -> NoReturn:
        """Raise the error that says why the search ended without a model."""
        entries = evaluations.trials.entries
        best = max((entry["accuracy"] for entry in entries), default=float("nan"))
        reached = f"best {best:.4f} against fp32's {evaluations.baseline:.4f} on the tuning images"
        if expired:
            raise TuningTimeout(f"{self.timeout_s} s ended after {len(entries)} trials ({reached})")
        if len(entries) < self.max_trials:
            reached += "; the strategy has nothing more to try"
        raise NoSolution(reached, len(entries))


@dataclass
class _Evaluations:
    """The accuracies that INC asks for: first fp32's, then one a trial."""

    tuning: Batches
    trials: Trials
    baseline: float = float("nan")
    search: Any = None

    def accuracy(self, model: Any) -> float:
        """Return top-1 of a model, which is an ONNX graph, or the path of one above 2 GB."""
        source = model if isinstance(model, str) else model.SerializeToString()
        session = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
        right = [
            np.argmax(session.run(None, {INPUT: images})[0], axis=1) == labels
            for images, labels in self.tuning
        ]
        accuracy = float(np.mean(np.concatenate(right)))
        if np.isnan(self.baseline):
            self.baseline = accuracy
        else:
            operators = _excluded(self.search.last_tune_cfg["op"])
            self.trials.add(accuracy, dict.fromkeys(operators, FP32))
        return accuracy


def _excluded(operators: Mapping[tuple[str, str], Any]) -> list[str]:
    """Return the names of the operators that stay in fp32."""
    return sorted(
        name for (name, _), choice in operators.items() if choice["activation"]["dtype"] == FP32
    )


def _is_tensor_wise(operators: Mapping[tuple[str, str], Any]) -> bool:
    """Say whether the weights of all quantised convolutions have one scale a tensor."""
    weights = [choice["weight"] for (_, kind), choice in operators.items() if kind == "Conv"]
    return all(weight.get("granularity", "per_tensor") == "per_tensor" for weight in weights)
