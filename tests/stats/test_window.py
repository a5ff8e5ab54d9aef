"""The common window of processes: whatever their batches are, its counts are those of known rates."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.stats.speed import typical_rate
from harness.stats.window import (
    Batches,
    Window,
    batches_of,
    batches_within,
    common_window,
    seconds_of_begun,
)

seconds = st.floats(0.01, 10)
starts = st.floats(0, 1000)
processes = st.builds(
    lambda start, times: batches_of(start, [0.0] * len(times), times, [0.0] * len(times)),
    starts,
    st.lists(seconds, min_size=1, max_size=20),
)


def test_batches_lie_where_their_parts_add_up_to() -> None:
    made = batches_of(10.0, [1.0, 0.5], [2.0, 3.0], [0.25, 0.25])
    assert made.began.tolist() == [11.0, 13.75]
    assert made.ended.tolist() == [13.0, 16.75]


def test_window_is_where_all_run_after_their_first_batches() -> None:
    one = batches_of(0.0, [0.0] * 4, [1.0] * 4, [0.0] * 4)
    other = batches_of(0.5, [0.0] * 2, [1.0] * 2, [0.0] * 2)
    assert common_window([one, other]) == Window(1.5, 2.5)
    assert batches_within(one, Window(1.5, 2.5)) == pytest.approx(1.0)
    assert seconds_of_begun(one, Window(0.5, 2.5)).tolist() == [1.0, 1.0]


def test_those_that_never_ran_together_have_no_window() -> None:
    one = batches_of(0.0, [0.0] * 4, [1.0] * 4, [0.0] * 4)
    late = batches_of(10.0, [0.0] * 4, [1.0] * 4, [0.0] * 4)
    assert common_window([one, late]) is None
    assert common_window([one, batches_of(0.0, [0.0], [2.0], [0.0])]) is None


@given(st.lists(processes, min_size=1, max_size=5))
def test_window_is_within_every_process(many: list[Batches]) -> None:
    window = common_window(many)
    if window is not None:
        assert window.seconds > 0
        for one in many:
            assert one.ended[0] <= window.start and window.end <= one.ended[-1]
            assert abs(len(seconds_of_begun(one, window)) - batches_within(one, window)) <= 1 + 1e-6


def test_a_slow_batch_that_an_end_cuts_is_in_the_percentiles() -> None:
    one = batches_of(0.0, [0.0] * 4, [1.0, 1.0, 1.0, 9.0], [0.0] * 4)
    assert seconds_of_begun(one, Window(1.0, 4.0)).tolist() == [1.0, 1.0, 9.0]


@given(processes, st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_parts_of_a_window_add_up(one: Batches, a: float, b: float, c: float) -> None:
    first, last = float(one.began[0]), float(one.ended[-1])
    low, middle, high = (first + share * (last - first) for share in sorted((a, b, c)))
    parts = batches_within(one, Window(low, middle)) + batches_within(one, Window(middle, high))
    assert parts == pytest.approx(batches_within(one, Window(low, high)), abs=1e-6)


@given(starts, st.floats(0.05, 2), st.integers(3, 40), st.floats(0, 0.3), st.floats(0, 0.3))
def test_equal_batches_without_pauses_have_their_rate_in_any_window(
    start: float, each: float, count: int, cut_before: float, cut_after: float
) -> None:
    one = batches_of(start, [0.0] * count, [each] * count, [0.0] * count)
    length = each * count
    window = Window(start + cut_before * length, start + length - cut_after * length)
    assert batches_within(one, window) / window.seconds == pytest.approx(1 / each, rel=1e-6)


def test_rates_of_rounds_have_the_typical_one_and_its_interval() -> None:
    interval = typical_rate([100.0, 101.0, 99.0, 100.5, 99.5])
    assert interval.low < 99.5 < interval.estimate < 100.5 < interval.high
    for wrong in ([100.0], [100.0, 0.0], [[1.0, 2.0]], [100.0, np.inf]):
        with pytest.raises(ValueError, match="two or more"):
            typical_rate(wrong)
