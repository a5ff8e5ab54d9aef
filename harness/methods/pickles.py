"""Keep INC from reading and writing pickles, since reading one can run any code.

``TuneStrategy._save`` writes the history after each trial, which ``journal`` keeps as plain data
instead; ``Quantization.pre_process`` would resume from such a file, and ``utility`` recovers from one
and reads dumped tensors.
"""

from __future__ import annotations

from typing import Any, NoReturn

import neural_compressor.experimental.quantization as quantization
import neural_compressor.utils.utility as utility
from neural_compressor.strategy.strategy import TuneStrategy

from harness.errors import HarnessError


class _Closed:
    """Replaces the module ``pickle`` in INC."""

    def __getattr__(self, name: str) -> NoReturn:
        raise HarnessError(
            f"INC asked for pickle.{name}, and what a pickle says is run: use ./run.sh recover, which "
            "reads the harness's own tuning history"
        )


def close() -> None:
    """Keep INC from writing its history and from reading pickles in this process."""
    TuneStrategy._save = _kept_by_the_journal
    quantization.pickle = utility.pickle = _Closed()


def _kept_by_the_journal(strategy: Any) -> None:
    """Write nothing."""
