"""Rows tuned by Intel Neural Compressor (INC): a strategy searches for an accurate int8 model.

INC's ``fit()`` catches every exception, logs it and returns None, so an error, a timeout and an
exhausted search look alike. ``SteppedQuantization`` runs the same traversal without the catch-all.
``journal`` counts the models that a search evaluates.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any

import mxnet as mx
import yaml

from harness.errors import InputError, NoSolution, TuningTimeout
from harness.facts.typed import decode
from harness.methods.base import Context, Optimized
from harness.process.compat import import_inc
from harness.storage.configuration_checks import wrong_search
from harness.storage.method_options import SearchOptions
from harness.storage.tuning_history import IncQuantised

import_inc()

import neural_compressor.adaptor.mxnet as inc_adaptor  # noqa: E402
from neural_compressor.adaptor.mxnet_utils.util import DataLoaderWrap  # noqa: E402
from neural_compressor.experimental import Quantization  # noqa: E402
from neural_compressor.strategy import STRATEGIES  # noqa: E402
from neural_compressor.strategy.strategy import TuneStrategy, strategy_registry  # noqa: E402

from harness.methods.graph import with_own_numbers  # noqa: E402
from harness.methods.inc_settings import (  # noqa: E402
    inc_config,
    meets,
    prefer_accurate,
    require_operators,
    weighed_best_remade,
    without_bf16,
)
from harness.methods.inspection import inspect_on_disk  # noqa: E402
from harness.methods.journal import Enough, Journal  # noqa: E402
from harness.methods.long_search import (  # noqa: E402
    dynamic_shapes_asked_once,
    share_operator_configurations,
)
from harness.methods.operator_facts import OperatorFacts  # noqa: E402
from harness.methods.pickles import close  # noqa: E402
from harness.methods.resumption import Resumption, digest_of_labels  # noqa: E402
from harness.methods.shared_calibration import SharedCalibration  # noqa: E402
from harness.targets import find  # noqa: E402
from harness.time_limit import time_limit  # noqa: E402

close()

UNFIT = {  # strategies of INC that cannot tune here, by the name that INC knows them by
    "sigopt": "it needs an account at sigopt.com, and a worker has no network",
    "automixedprecision": "it looks for bf16, not for int8; the method bf16 makes that",
}


@dataclass
class Tuned:
    """int8 by an INC strategy.

    Attributes:
        strategy: one of INC's own (basic, mse, bayesian, ...) or the dotted path of a
            ``TuneStrategy`` subclass.
        options: those of ``SearchOptions``; see ``conf/config.yaml``.
        strategy_options: set as the class attribute ``options`` of a strategy given by path.
    """

    strategy: str
    options: Mapping[str, Any]
    strategy_options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check the strategy and the options before anything is measured.

        The configuration has checked the options already, except for those of a user's own class.

        Raises:
            InputError: there is no such strategy, or an option is missing or has a wrong value.
        """
        self._register()
        wrong = wrong_search(self.options)
        if wrong is not None:
            raise InputError(wrong)
        self._options = decode(self.options, SearchOptions)

    def optimize(self, context: Context) -> Optimized:
        """Search for a model; keep the trajectory and the tuning history in the workspace.

        Raises:
            NoSolution: no model met the criterion within max_trials or the search space.
            TuningTimeout: no model met it within timeout_s.
        """
        name = self._register()
        config = context.workspace / "inc.yaml"
        config.write_text(
            yaml.safe_dump(inc_config(self._options, name, context.workspace), sort_keys=False)
        )
        tuning = context.tuning.kept()
        net = with_own_numbers(context.net, next(iter(tuning))[0][:1].shape)
        net.hybridize()
        context = replace(context, net=net, tuning=tuning)
        resumption = None
        if self._options.resume:
            decisive = [
                config.read_text(),
                dict(self.strategy_options),
                digest_of_labels(tuning.labels),
            ]
            resumption = Resumption(context.workspace, decisive, len(tuning.labels))
        keep_best = bool(self._options.keep_best)
        limit_s = float(self._options.timeout_s or 0)
        if resumption is not None:
            limit_s = resumption.limit(limit_s)
        journal = Journal(context, self._options.max_trials, keep_best, resumption)
        search = SteppedQuantization(str(config))
        search.model = context.net
        search.calib_dataloader = context.tuning
        search.eval_func = journal.evaluate
        warnings: list[str] = []
        cache = SharedCalibration(context.shared, search.model.calib_cache)
        cache.load()
        try:
            with exported_once(search.model), dynamic_shapes_asked_once(), journal.quantising():
                search.pre_process()
                require_operators(self._options, search.strategy.opwise_tune_space)
                prefer_accurate(search.strategy, self._options)
                inspect_on_disk(search.strategy.adaptor, context.workspace)
                journal.watch(search.strategy)
                share_operator_configurations(search.strategy)
                with (
                    weighed_best_remade(search.strategy, journal.adopt),
                    time_limit(limit_s) as limit,
                    suppress(Enough),
                ):
                    search.strategy.traverse()
                best: Any = getattr(search.strategy, "best_qmodel", None)
                if best is None or best.model is context.net:
                    missed = self._explained(journal, limit.expired)
                    best = journal.best
                    if best is None:
                        if resumption is not None:
                            resumption.end()
                        raise missed
                    warnings.append(f"no model meets the criterion, this is the best one: {missed}")
            result = {
                "baseline_accuracy": journal.network_accuracy(context.net),
                "tuned_accuracy": journal.network_accuracy(best.model),
                "trials": len(journal.trials),
            }
        except TypeError as error:
            raise without_bf16(error) from None
        except SystemExit as error:  # else the worker would end without an answer
            raise RuntimeError(f"the strategy ended its process: {error!r}") from error
        finally:
            journal.save()
            cache.save()
        configured = _configured(best.q_config, tuning, OperatorFacts.seen_by(search.strategy))
        if resumption is not None:
            resumption.end()
            if resumption.trials:
                warnings.append(
                    f"the search was stopped and went on after {resumption.trials} trials: "
                    f"{resumption.seconds:.1f} s of these are not in its cost"
                )
        if not meets(self._options, result["tuned_accuracy"], result["baseline_accuracy"]):
            configured["meets_criterion"] = False
        return Optimized(
            best.model,
            {"strategy": self.strategy, **configured, **result},
            journal.trials,
            warnings,
        )

    def _register(self) -> str:
        """Return INC's name of the strategy; import and register one named by its path."""
        known = ", ".join(sorted(set(STRATEGIES) - set(UNFIT)))
        if "." not in self.strategy:
            if self.strategy not in STRATEGIES:
                raise InputError(
                    f"INC has no strategy {self.strategy!r}: use one of {known}, or a path"
                )
            if self.strategy in UNFIT:
                raise InputError(
                    f"strategy {self.strategy} cannot run here, {UNFIT[self.strategy]}: use one of "
                    f"{known}, or a path"
                )
            return self.strategy
        cls_name = self.strategy.rpartition(".")[2]
        try:
            cls: Any = find(self.strategy)
        except InputError as error:
            raise InputError(f"strategy {error}") from None
        if not cls_name.endswith("TuneStrategy"):
            raise InputError(
                f"strategy {self.strategy}: INC wants class names ending in TuneStrategy"
            )
        if not (isinstance(cls, type) and issubclass(cls, TuneStrategy)):
            raise InputError(f"strategy {self.strategy} is no subclass of INC's TuneStrategy")
        steps = ("next_tune_cfg", "traverse")
        if all(getattr(cls, step) is getattr(TuneStrategy, step) for step in steps):
            raise InputError(f"strategy {self.strategy} has neither next_tune_cfg nor traverse")
        for unfit, why in UNFIT.items():
            if issubclass(cls, STRATEGIES[unfit]):
                raise InputError(
                    f"strategy {self.strategy} is a {unfit}, which cannot run here, {why}: derive it "
                    f"from another of {known}"
                )
        name = cls_name[: -len("TuneStrategy")].lower()
        if name not in STRATEGIES:
            strategy_registry(cls)
        if STRATEGIES[name] is not cls:
            raise InputError(
                f"strategy {self.strategy}: another is called {name}: rename the class"
            )
        cls.options = dict(self.strategy_options)
        return str(name)

    def _explained(self, journal: Journal, expired: bool) -> NoSolution | TuningTimeout:
        """Return the error that says why the search ended without a model."""
        trials, limit = len(journal.trials), self._options.max_trials
        best = max((trial["accuracy"] for trial in journal.trials), default=float("nan"))
        reached = f"best {best:.4f} against fp32's {journal.baseline:.4f} on the tuning batches"
        if expired:
            return TuningTimeout(
                f"{self.options['timeout_s']} s ended after {trials} trials ({reached})"
            )
        if not journal.stopped:
            reached = "the strategy has nothing more to try"
        elif trials < limit:
            reached += f"; the strategy stopped by its own count before max_trials={limit} models"
        return NoSolution(reached, trials)


def _configured(
    quantised: IncQuantised | None, tuning: Any, operators: OperatorFacts
) -> dict[str, Any]:
    """Return how INC's adaptor quantised a model; nothing if the strategy did not use the adaptor."""
    if not quantised:
        return {}
    configuration = quantised["quant_cfg"]
    return {
        "quantize_mode": configuration["quantize_mode"],
        "quantize_granularity": configuration["quantize_granularity"],
        "excluded_operators": configuration["excluded_symbols"],
        "excluded_are": operators.of(configuration["excluded_symbols"]),
        "kl_operators": sorted(quantised["calib_cfg"]["calib_kl_nodes"]),
        # INC stops after its number of batches or at the end of the loader
        "calibration_images": min(
            quantised["calib_cfg"]["batches"] * tuning.batch_size, len(tuning.labels)
        ),
    }


class SteppedQuantization(Quantization):  # type: ignore[misc]
    """INC's quantisation, used step by step: its ``__call__`` swallows exceptions."""


@contextmanager
def exported_once(model: Any) -> Iterator[None]:
    """Have INC's adaptor export ``model``'s symbol and weights once, not for every configuration.

    For each trial INC runs two batches through the fp32 network and writes and reads it, always with
    the same result. That takes half of a trial's time for the bundled network, and more for larger ones.
    To learn the names of the tensors it runs another batch. One image shows the same graph and names.
    """
    prepare, query = inc_adaptor.prepare_model_data, inc_adaptor.query_quantizable_nodes
    kept: list[Any] = []

    def prepare_once(requested: Any, device: Any, data: Any) -> tuple[Any, Any]:
        if requested is not model:
            return tuple(prepare(requested, device, data))
        if not kept:
            (symbol, arguments, states), loader = prepare(requested, device, [_image(data)])
            inputs = _described_as(loader.input_desc, next(iter(data))[0])
            kept.extend((symbol, arguments, states, inputs))
        symbol, arguments, states, inputs = kept
        loader = data if isinstance(data, DataLoaderWrap) else DataLoaderWrap(data, inputs)
        # INC adds the states to the dict of arguments; it only copies the arrays
        return (symbol, dict(arguments), dict(states)), loader

    def query_by_image(symbol: Any, device: Any, loader: Any) -> Any:
        return query(symbol, device, DataLoaderWrap([_image(loader)], loader.input_desc))

    inc_adaptor.prepare_model_data = prepare_once
    inc_adaptor.query_quantizable_nodes = query_by_image
    try:
        yield
    finally:
        inc_adaptor.prepare_model_data = prepare
        inc_adaptor.query_quantizable_nodes = query


def _image(data: Any) -> tuple[Any, Any]:
    """Return the first image of a loader and its label, as a batch."""
    images, labels = next(iter(data))
    return images[:1], labels[:1]


def _described_as(inputs: Sequence[Any], batch: Any) -> list[Any]:
    """Return INC's description of a network's one input, as for this batch."""
    return [mx.io.DataDesc(known.name, batch.shape, known.dtype, known.layout) for known in inputs]
