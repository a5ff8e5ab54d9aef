"""``sensitivity``: an INC strategy that finds by gradients which ranges to cut and what to keep in fp32.

INC's strategies learn what an operator costs in accuracy by evaluating models with and without it:
one evaluation an operator. Here ``noise`` says what the rounding at each place does to each image's
decision, MXNet's own quantisation pass says, in milliseconds and without an image, where a proposed
configuration rounds, and ``roofline`` what it costs. So configurations are compared before any is
evaluated. docs/beyond.md has the method, its sources and its limits.
"""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from neural_compressor.strategy.strategy import TuneStrategy

from harness.methods.backend import Choice, Network
from harness.methods.inc_formats import Operator, OperatorConfig, TuneConfig
from harness.methods.operator_choices import by_minmax, can_be_fp32, in_fp32
from harness.methods.operator_facts import OperatorFacts
from harness.methods.search import Search

DEFAULTS = {"images": 64, "worth": 10.0, "tighten": 2.0, "sure": 1.645}


class SensitivityTuneStrategy(TuneStrategy):  # type: ignore[misc]
    """Cut ranges, which costs nothing, and keep in fp32 what pays: least noise for least time.

    ``options`` (set from configuration):
        images: how many the noise is measured on.
        worth: exclude, even within the tolerance, while the expected flips, or the tolerance if that
            is more, fall by a share this many times that by which the time rises.
        tighten: what the expected flips are divided by when an evaluation refuses a model.
        sure: how many standard errors of the evaluation must fit into the tolerance: 1.645 is 95 %
            one-sided; 0 leaves it to the evaluation alone.
    """

    options: Mapping[str, float] = {}

    def next_tune_cfg(self) -> Iterator[TuneConfig]:
        """Yield the cheapest model whose expected loss is within the tolerance, then stricter ones."""
        options = {**DEFAULTS, **self.options}
        network = Network(self.model, self.adaptor, self.calib_dataloader)
        ranges, noise = network.calibrate(int(self.calib_iter[0]))
        noise = network.with_places(noise, ranges, int(options["images"]))
        excludable = frozenset(
            operator[0] for operator in self.opwise_tune_cfgs if can_be_fp32(self, operator)
        )
        search = Search(network, noise, excludable, float(options["worth"]))
        tolerated, choice, refused = self._tolerated(), Choice(), None
        limit = self._told_apart(tolerated, float(options["sure"]))
        while True:
            choice = search.within(tolerated, limit, choice)
            if choice == refused:  # though nothing is expected to flip
                choice = choice.without(excludable)
            self._tell(search, choice)
            network.set_ranges(choice)
            yield self._config(choice)
            if choice.excluded == excludable:
                return
            refused, limit = choice, search.flips(choice) / float(options["tighten"])

    def _told_apart(self, tolerated: float, sure: float) -> float:
        """Return the most flips with which the evaluation can tell whether the loss is tolerated.

        Of n images f n flip, for better or worse, so the loss that it measures has a standard error of
        sqrt(f / n): a model with more flips may pass by luck.
        """
        if not sure or tolerated <= 0:
            return math.inf
        images = len(self.calib_dataloader.labels)
        return float(images * (tolerated / sure) ** 2)

    def _tolerated(self) -> float:
        """Return the top-1 that may be lost."""
        criterion = self.cfg.tuning.accuracy_criterion
        if criterion.relative is not None:
            return float(criterion.relative) * float(self.baseline[0])
        return float(criterion.absolute)

    def _config(self, choice: Choice) -> TuneConfig:
        halvings = dict(choice.halvings)

        def chosen(operator: Operator) -> OperatorConfig:
            choose = in_fp32 if operator[0] in choice.excluded else by_minmax
            configuration = choose(self, operator)
            times = halvings.get(f"{operator[0]}_output", 0)
            if times:  # INC takes two proposals of one configuration for one
                configuration["activation"]["halvings"] = times
            return configuration

        return {
            "calib_iteration": int(self.calib_iter[0]),
            "calib_sampling_size": int(self.calib_sampling_size[0]),
            "op": OrderedDict((operator, chosen(operator)) for operator in self.opwise_tune_cfgs),
        }

    def _tell(self, search: Search, choice: Choice) -> None:
        path = Path(self.cfg.tuning.workspace.path) / "sensitivity.json"
        power = search.noise.power()
        places = search.noise.loudest(search.network.present(Choice()))
        names = [*choice.excluded, *dict(choice.halvings), *(place.name for place in places)]
        facts = {
            "images": len(search.noise.shifts),
            "excluded": sorted(choice.excluded),
            "halvings": dict(sorted(choice.halvings)),
            "expected_loss": search.loss(choice),
            "expected_flips": search.flips(choice),
            "expected_loss_of_all_int8": search.loss(Choice()),
            "expected_flips_of_all_int8": search.flips(Choice()),
            "relative_time": search.time(choice) / search.time(Choice()),
            "places": [[s.kind, s.name, round(float(np.sqrt(power[s])), 6)] for s in places],
            "names_are": OperatorFacts.seen_by(self).of(sorted(names)),
        }
        path.write_text(json.dumps(facts, indent=1) + "\n")
