"""How much more time a row takes with a dense layer over its input added."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

UNITS = (0, 64, 128, 256, 384, 512)
BATCH, SIZE = 64, 56
BATCHES = 40
MODES = ("full", "smart")


def slowdowns() -> Iterator[tuple[str, int, float]]:
    """Yield mode, units, and the ratio of times to those without them, timed in turn."""
    import mxnet as mx
    import numpy as np

    values = np.random.default_rng(1).normal(size=(BATCH, 3, SIZE, SIZE)).astype("float32")
    data = mx.np.array(values)
    for mode in MODES:
        networks = {units: _network(mode, units, data) for units in UNITS}
        seconds: dict[int, list[float]] = {units: [] for units in UNITS}
        for _ in range(BATCHES):
            for units, network in networks.items():
                start = time.perf_counter()
                network(data).wait_to_read()
                seconds[units].append(time.perf_counter() - start)
        quick = {units: float(np.quantile(each, 0.25)) for units, each in seconds.items()}
        for units in UNITS[1:]:
            yield mode, units, quick[units] / quick[0]


def _network(mode: str, units: int, data: Any) -> Any:
    """Return the bundled network in int8, with a layer of as many units more."""
    import mxnet as mx
    from mxnet.contrib.quantization import quantize_net

    from benchmarks.bundled.make import HERE, pretrained
    from benchmarks.nights.scenario import CODE
    from harness.methods.additions import repaired

    net = pretrained(str(HERE / "resnet50v2_w4.params"))
    scope: dict[str, Any] = {"mx": mx, "Any": Any, "UNITS": {mode: units}, "BIAS": {}}
    exec(CODE, scope)  # the same text that is put into the row's module
    net = scope["_worse"](mode, repaired(net, data.shape), (1, *data.shape[1:]))
    labels = mx.np.zeros(len(data))
    dataset = mx.gluon.data.ArrayDataset(data, labels)
    batches = mx.gluon.data.DataLoader(dataset, batch_size=len(data))
    quantized = quantize_net(
        net,
        quantize_mode=mode,
        calib_mode="naive",
        calib_data=batches,
        data_shapes=[(1, *data.shape[1:])],
    )
    quantized.hybridize(static_alloc=True, static_shape=True)
    quantized(data).wait_to_read()
    return quantized
