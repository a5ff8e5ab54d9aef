"""A row for a model that was quantised elsewhere: an exported pair of a symbol and its weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import mxnet as mx
import numpy as np

from harness.errors import InputError, one_line
from harness.methods.base import Context, Optimized
from harness.workloads.saved import load_exported


@dataclass(frozen=True)
class Finished:
    """The network of a pair, as ``HybridBlock.export`` wrote it; its cost is loading and checking it.

    Attributes:
        symbol, params: the files.
        symbol_sha256, params_sha256: what they must have; the run sets what it was planned with.
    """

    symbol: str | None = None
    params: str | None = None
    symbol_sha256: str | None = None
    params_sha256: str | None = None

    def optimize(self, context: Context) -> Optimized:
        """Load the pair.

        Raises:
            InputError: a file is another one, MXNet does not read the two, or the network does not fit
                the workload.
        """
        digests = (self.symbol_sha256, self.params_sha256)
        net = load_exported(Path(str(self.symbol)), Path(str(self.params)), digests)
        net.hybridize(static_alloc=True, static_shape=True)
        data, _ = next(iter(context.tuning))
        expected = context.net(data[:1])
        try:
            scores = net(data)
            mx.npx.waitall()
        except mx.base.MXNetError as error:
            raise InputError(
                f"the model {self.symbol} does not run on the workload's images of shape "
                f"{data.shape[1:]}: MXNet says {one_line(error)}; export one that was made for this "
                "workload"
            ) from None
        if isinstance(scores, (list, tuple)) or scores.shape != (len(data), expected.shape[1]):
            output = "several outputs" if isinstance(scores, (list, tuple)) else str(scores.shape)
            raise InputError(
                f"the model {self.symbol} gives {output} for {len(data)} images, and "
                f"{(len(data), expected.shape[1])} is needed: export one that was made for this workload"
            )
        if not np.isfinite(scores.asnumpy()).all():
            raise InputError(
                f"the model {self.symbol} gives scores that are NaN or infinite: export it again"
            )
        return Optimized(net)
