"""An INC strategy that proposes one model, all of it calibrated alike."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

from neural_compressor.strategy.strategy import TuneStrategy


class AllAlikeTuneStrategy(TuneStrategy):  # type: ignore[misc]
    """``options``: algorithm, minmax or kl."""

    options: Mapping[str, Any] = {"algorithm": "minmax"}

    def next_tune_cfg(self) -> Iterator[dict[str, Any]]:
        def chosen(operator: Any) -> Any:
            choices = self.opwise_quant_cfgs[operator] or self.opwise_tune_cfgs[operator]
            wanted = self.options["algorithm"]
            by = (c for c in choices if c["activation"].get("algorithm") == wanted)
            return copy.deepcopy(next(by, choices[0]))

        yield {
            "calib_iteration": int(self.calib_iter[0]),
            "calib_sampling_size": int(self.calib_sampling_size[0]),
            "op": OrderedDict((op, chosen(op)) for op in self.opwise_tune_cfgs),
        }
