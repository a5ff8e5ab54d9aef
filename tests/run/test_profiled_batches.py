"""How much of a model is profiled: as much as its shares need."""

from __future__ import annotations

import pytest

from harness.facts.typed import changed
from harness.run.worker_setup import PROFILED_S, profiled_batches
from helpers.sample_records import measured


@pytest.mark.parametrize(
    ("batches_in_time", "asked", "expected"),
    [
        (100.0, 1, (1, 64)),  # a fast model: all that is asked
        (100.0, 7, (7, 64)),
        (3.5, 7, (3, 64)),  # whole batches while they fit
        (1.0, 7, (1, 64)),
        (0.25, 7, (1, 16)),  # then a part of one
        (0.001, 1, (1, 1)),
    ],
)
def test_a_slow_model_is_profiled_on_fewer_images(
    batches_in_time: float, asked: int, expected: tuple[int, int]
) -> None:
    validate = measured("fp32", 1.0).validate
    assert validate is not None
    forward_s = [PROFILED_S / batches_in_time * (1 - 1e-9)] * 10
    slow = changed(validate, images=640, batch_size=64, forward_s=forward_s)
    assert profiled_batches(slow, asked) == expected
