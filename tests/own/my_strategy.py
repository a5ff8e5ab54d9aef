"""An INC strategy of the user's own."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

from neural_compressor.strategy.strategy import TuneStrategy


class MyKLTuneStrategy(TuneStrategy):
    """One proposal: every operator in int8, calibrated by ``options["algorithm"]``."""

    options: Mapping[str, Any] = {}

    def next_tune_cfg(self) -> Iterator[dict[str, Any]]:
        wanted = self.options["algorithm"]
        yield {
            "calib_iteration": int(self.calib_iter[0]),
            "calib_sampling_size": int(self.calib_sampling_size[0]),
            "op": OrderedDict(
                (
                    operator,
                    copy.deepcopy(
                        next(c for c in found if c["activation"].get("algorithm") == wanted)
                    ),
                )
                for operator, found in self.opwise_quant_cfgs.items()
            ),
        }
