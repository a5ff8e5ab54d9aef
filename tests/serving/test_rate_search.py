"""The search for the highest rate, by the loop of real instances, against queueing theory."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from harness import PROJECT
from harness.facts.value_types import FEWEST_QUERIES
from harness.process.jobs import Trial
from harness.serving.arrivals import arrival_times
from harness.serving.early_stopping import most_late
from harness.serving.line import Line
from harness.serving.rate_search import (
    LOWEST,
    MOST,
    Rates,
    Search,
    highest_rates,
    late_at_percentile,
    late_with_confidence,
)
from harness.serving.trial import Served, serve
from helpers.queueing import highest_load, simulated_waits, waits_no_longer

SERVICE_S = 0.004


@dataclass
class SyntheticSystem:
    """A network and a clock: each batch takes a known time, and waiting takes none of ours."""

    service_s: float
    moment: float = 100.0
    sizes: list[int] = field(default_factory=list)

    def now(self) -> float:
        return self.moment

    def wait_until(self, moment: float) -> None:
        self.moment = max(self.moment, moment)

    def __call__(self, data: int) -> SyntheticSystem:
        self.sizes.append(data)
        return self

    def wait_to_read(self) -> None:
        self.moment += self.service_s


def run_trial(
    rate: float,
    queries: int,
    allowed: int,
    target_s: float,
    *,
    seed: int = 1,
    largest: int = 1,
    delay_s: float = 0,
) -> tuple[Served, Line]:
    system = SyntheticSystem(SERVICE_S)
    line = Line.new()
    trial = Trial(
        rate=rate,
        queries=queries,
        seed=seed,
        began_at=system.moment,
        target_s=target_s,
        most_late=allowed,
        delay_s=delay_s,
    )
    served = serve(system, [(largest, None)], line, trial, largest, system)
    return served, line


def search_rates(target_s: float, search: Search, *, seed: int) -> Rates:
    attempts = highest_rates(search)
    attempt = next(attempts)
    while True:
        _, line = run_trial(attempt.rate, attempt.queries, attempt.allowed, target_s, seed=seed)
        try:
            attempt = attempts.send(line.late)
        except StopIteration as end:
            rates: Rates = end.value
            return rates


def test_formula_of_waiting_times_agrees_with_a_simulation() -> None:
    for load, services in ((0.3, 1.0), (0.5, 2.5), (0.8, 4.0), (0.9, 9.5)):
        waits = simulated_waits(load, 2_000_000, seed=3)
        assert np.mean(waits <= services) == pytest.approx(
            waits_no_longer(load, services), abs=2e-3
        )
    assert waits_no_longer(0.7, 0.0) == pytest.approx(0.3)  # that nobody is there
    assert waits_no_longer(highest_load(9.0), 9.0) == pytest.approx(0.99)


@pytest.mark.parametrize("services", [3.0, 10.0])
def test_the_rate_that_is_found_is_that_of_queueing_theory(services: float) -> None:
    """The 99th percentile of a query's time is ``services`` times of service, one its own."""
    search = Search(capacity=1 / SERVICE_S, precision=0.005, duration_s=0, fewest_queries=60_000)
    rates = search_rates(services * SERVICE_S, search, seed=1)
    theory = highest_load(services - 1) / SERVICE_S
    assert rates.highest == pytest.approx(theory, rel=0.03)
    assert rates.shown is not None and rates.highest is not None
    assert 0.9 * theory < rates.shown < rates.highest


def test_nothing_is_found_where_one_query_alone_is_late() -> None:
    search = Search(1 / SERVICE_S, 0.01, 0, 1000)
    assert search_rates(0.9 * SERVICE_S, search, seed=1) == Rates(None, None)


def test_a_search_in_which_every_trial_passes_ends() -> None:
    attempts, rates = highest_rates(Search(10.0, 0.02, 0, 1000)), [0.0]
    with pytest.raises(StopIteration) as end:
        rates.append(next(attempts).rate)
        while True:
            rates.append(attempts.send(0).rate)
    assert end.value.value == Rates(rates[-1], rates[-1]) and rates[-1] <= 80


@given(st.floats(0.04, 3), st.floats(0.5, 1), st.floats(0.001, 0.9))
def test_bisection_finds_both_borders(border: float, share: float, precision: float) -> None:
    """Above the first border 5 % of the queries are late, and down to the second one some."""
    attempts = highest_rates(Search(1.0, precision, 100.0, 1000))
    attempt, tried = next(attempts), []
    try:
        while True:
            assert LOWEST / 2 <= attempt.rate <= MOST and attempt.rate not in tried
            assert attempt.queries == 1000 and attempt.allowed in (9, most_late(1000))
            tried.append(attempt.rate)
            late = 50 if attempt.rate > border else 6 if attempt.rate > share * border else 0
            attempt = attempts.send(late)
    except StopIteration as end:
        rates: Rates = end.value
    for rate, limit in ((rates.highest, border), (rates.shown, share * border)):
        if rate is None:
            assert limit <= LOWEST
        else:
            assert rate <= limit <= rate * (1 + precision) * (1 + 1e-9)


def test_waiting_for_others_makes_batches_and_serves_more() -> None:
    """A batch of 4 takes as long as one: the rate is more than one at a time can serve."""
    served, line = run_trial(600, 4000, 27, 0.05, largest=4, delay_s=0.01)
    assert line.late == 0 and len(served.latency_s) == 4000
    assert set(served.batch_sizes) == {1, 2, 3, 4} and sum(served.batch_sizes) == 4000
    assert len(served.forward_s) == len(served.batch_sizes)
    one_by_one, line = run_trial(600, 4000, 27, 0.05)
    assert line.late == 28  # then it ended
    assert len(one_by_one.latency_s) < 4000


def test_a_query_waits_for_others_no_longer_than_the_deadline() -> None:
    served, _ = run_trial(0.1, 500, 0, 0.05, largest=8, delay_s=0.01)
    assert served.batch_sizes == [1] * 500
    assert min(served.latency_s) == pytest.approx(0.01 + SERVICE_S)
    assert max(served.latency_s) == pytest.approx(0.01 + SERVICE_S)


def test_arrivals_are_a_poisson_process_and_stretch_with_the_rate() -> None:
    times = np.array(arrival_times(20_000, 50.0, seed=7))
    gaps = np.diff(times, prepend=0)
    assert gaps.min() > 0
    assert gaps.mean() == pytest.approx(1 / 50, rel=0.03)
    assert gaps.std() == pytest.approx(1 / 50, rel=0.03)
    counts = np.bincount(times.astype(int))[:-1]  # in each second
    assert counts.var() == pytest.approx(counts.mean(), rel=0.2)
    assert abs(np.corrcoef(gaps[:-1], gaps[1:])[0, 1]) < 0.03
    assert arrival_times(100, 25.0, seed=7) == pytest.approx(2 * times[:100])
    assert arrival_times(10, 50.0, seed=8) != arrival_times(10, 50.0, seed=7)


def test_mlperfs_numbers_of_early_stopping() -> None:
    """459 queries with none late, 662 with one (mlperf.conf has these for the 99th percentile)."""
    assert most_late(FEWEST_QUERIES) == 0 and most_late(FEWEST_QUERIES - 1) is None
    assert [most_late(queries) for queries in (458, 459, 661, 662)] == [None, 0, 0, 1]
    assert most_late(64, percentile=0.9) == 1  # the single-stream scenario's
    assert [late_at_percentile(queries) for queries in (100, 662, 1000)] == [0, 6, 9]
    assert late_with_confidence(458) == -1


@given(st.integers(459, 300_000))
def test_late_queries_are_allowed_as_the_binomial_distribution_says(queries: int) -> None:
    allowed = most_late(queries)
    assert allowed is not None
    assert binom.cdf(allowed, queries, 0.01) <= 0.01 < binom.cdf(allowed + 1, queries, 0.01)


@given(
    st.lists(st.floats(0, 10), min_size=1, max_size=50),
    st.integers(1, 8),
    st.floats(0, 2),
    st.floats(0, 12),
)
def test_each_query_is_taken_once_in_order(
    arrivals: list[float], largest: int, delay_s: float, now: float
) -> None:
    arrivals.sort()
    line, taken = Line.new(), []
    while (batch := line.take(arrivals, now, largest, delay_s)) is not None:
        first, last = batch.queries[0], batch.queries[-1]
        assert len(batch.queries) <= largest
        assert arrivals[last] <= batch.complete_at
        assert now <= batch.complete_at <= max(now, arrivals[first] + delay_s)
        if len(batch.queries) < largest and last + 1 < len(arrivals):
            assert arrivals[last + 1] > batch.complete_at
        taken += batch.queries
    assert taken == list(range(len(arrivals)))
    line.reset()
    again = line.take(arrivals, now, largest, delay_s)
    assert again is not None and again.queries[0] == 0
    line.close()


def test_processes_share_a_line() -> None:
    """Three processes take 3,000 queries that all have arrived: each query once."""
    code = (
        "import sys; from harness.serving.line import Line\n"
        "line, arrivals = Line(int(sys.argv[1])), [0.0] * 3000\n"
        "while (batch := line.take(arrivals, 1.0, 2, 0.0)) is not None:\n"
        "    line.add_late(1); print(*batch.queries)"
    )
    line = Line.new()
    command = [sys.executable, "-c", code, str(line.descriptor)]
    started = [
        subprocess.Popen(
            command, cwd=PROJECT, pass_fds=[line.descriptor], stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    printed = [process.communicate()[0].split() for process in started]
    assert sorted(int(query) for queries in printed for query in queries) == list(range(3000))
    assert line.late == 1500
