"""Operators' outputs one at a time, and on disk.

INC's ``inspect_tensor`` holds all outputs of a batch in memory at once, several times over: 15 GB for
ResNet50 and 64 images. A strategy looks at one operator after the other, so one at a time will do.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np
import numpy.typing as npt
from neural_compressor.adaptor.mxnet_utils.util import (
    TensorCollector,
    prepare_model_data,
    run_forward,
)

Tensor = npt.NDArray[np.float32]
FIRST_BATCH = [1]


class Outputs(Mapping[str, dict[str, Tensor]]):
    """Outputs by operator as INC gives them, {operator: {operator: tensor}}, read when asked for.

    They are in a file without a name, which goes when this object or the process does.

    Args:
        folder: where there is space for them: 2.7 GB for ResNet50 and 64 images.
    """

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._places: dict[str, tuple[int, tuple[int, ...]]] = {}

    def add(self, operator: str, tensor: Tensor) -> None:
        self._places[operator] = (self._file.seek(0, 2), tensor.shape)
        self._file.write(np.ascontiguousarray(tensor, dtype=np.float32).data)

    def __getitem__(self, operator: str) -> dict[str, Tensor]:
        offset, shape = self._places[operator]
        self._file.seek(offset)
        count = int(np.prod(shape))
        return {operator: np.fromfile(self._file, np.float32, count).reshape(shape)}

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def visit_outputs(
    adaptor: Any,
    model: Any,
    data: Any,
    operators: Collection[str],
    visit: Callable[[str, Tensor], None],
) -> None:
    """Run the first batch through a model; call ``visit`` with each operator and its output.

    An int8 output is dequantised first, by the range that it was calibrated to.
    """
    symbol, loader = prepare_model_data(model, adaptor.ctx, data)
    collector = _Visitor(adaptor, model, operators, visit)
    run_forward(symbol, adaptor.ctx, loader, iter([True]), collector, collector.pre_batch)
    if collector.error is not None:
        raise collector.error


def inspect_on_disk(adaptor: Any, folder: Path) -> None:
    """Make an adaptor's ``inspect_tensor`` keep what it finds in files in ``folder``."""
    everything = adaptor.inspect_tensor

    def inspect_tensor(
        model: Any,
        data: Any,
        op_list: Collection[str] = (),
        iteration_list: Collection[int] = (),
        *arguments: Any,
        **options: Any,
    ) -> dict[str, list[Outputs]]:
        if list(iteration_list) != FIRST_BATCH:
            tensors = everything(model, data, op_list, iteration_list, *arguments, **options)
            return dict(tensors)
        outputs = Outputs(folder)
        visit_outputs(adaptor, model, data, op_list, outputs.add)
        return {"activation": [outputs]}

    adaptor.inspect_tensor = inspect_tensor


class _Visitor(TensorCollector):  # type: ignore[misc]
    """INC's collector, which finds the operator that a tensor belongs to, without the collection."""

    def __init__(
        self,
        adaptor: Any,
        model: Any,
        operators: Collection[str],
        visit: Callable[[str, Tensor], None],
    ) -> None:
        super().__init__(operators, adaptor._qtensor_to_tensor, adaptor._tensor_to_node)
        self._ranges = model.calib_cache.get("last", {})
        self._visit = visit
        self.error: Exception | None = None

    def collect_gluon(self, name: str, kind: str, array: Any) -> None:
        collected = self.tensors_dicts[-1]
        try:
            super().collect_gluon(name, kind, array)
            for operator, tensors in collected.items():
                for tensor_name, (is_quantized, tensor) in tensors.items():
                    if is_quantized:
                        tensor = self._dequantized(tensor_name, tensor)
                    self._visit(operator, tensor.asnumpy())
        except Exception as error:  # MXNet, which calls this, would lose it
            self.error = self.error or error
        collected.clear()

    def _dequantized(self, name: str, tensor: Any) -> Any:
        low, high = (mx.nd.array([limit]).squeeze() for limit in self._ranges[name])
        return mx.nd.contrib.dequantize(tensor, min_range=low, max_range=high, out_type="float32")
