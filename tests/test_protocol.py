"""The order of the rounds: every method once, shuffled by the seed, the same for the same seed."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from harness.config import compose_config
from harness.facts.typed import changed
from harness.storage.configuration import Protocol

METHODS = [f"method_{n}" for n in range(6)]


def protocol(*overrides: str) -> Protocol:
    return compose_config(overrides).config.protocol


CAREFUL = protocol("protocol=careful")


def test_the_default_is_published_and_nightly_is_careful_in_more_rounds() -> None:
    assert (protocol().name, protocol().rounds) == ("published", 0)
    nightly = protocol("experiment=nightly")
    assert nightly == changed(CAREFUL, name="nightly", rounds=20)
    assert nightly.reruns >= 1


@given(st.integers(0, 2**32), st.integers(1, 100), st.permutations(METHODS))
def test_a_round_has_every_method_once_whatever_order_they_are_given_in(
    seed: int, round_: int, given_: list[str]
) -> None:
    made = changed(CAREFUL, seed=seed)
    order = made.order(round_, given_)
    assert sorted(order) == METHODS
    assert order == made.order(round_, METHODS)


def test_every_place_in_a_round_is_every_methods() -> None:
    places = Counter(
        (place, method)
        for round_ in range(1, 1201)
        for place, method in enumerate(CAREFUL.order(round_, METHODS))
    )
    assert len(places) == 36
    assert all(140 < count < 260 for count in places.values())  # 200, standard deviation 13


def test_another_seed_is_another_order() -> None:
    orders = {tuple(changed(CAREFUL, seed=n).order(1, METHODS)) for n in range(20)}
    assert len(orders) > 15


def test_the_workloads_batch_size_comes_first_and_once() -> None:
    made = protocol("protocol=careful", "protocol.sweep=[1,64,128]", "protocol.batches=7")
    assert list(made.sizes(64).items()) == [(64, 7), (1, 100), (128, 100)]
