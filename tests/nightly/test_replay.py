"""A suspicion measured again, and whole nights replayed from real rounds of identical code.

``data/aa_rounds.npz`` holds what ``./run.sh aa`` timed on two cores of an AMD EPYC, a shared virtual
machine: 50 rounds of 20 batches of each method of the bundled workload, seconds.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from harness import PROJECT
from harness.nightly.aa.replay import Replays, replay, rounds_needed
from harness.nightly.sequential_test import ALPHA, LOOKS, confirm
from harness.nightly.verdict import NIGHTLY

Floats = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def real() -> dict[str, Floats]:
    with np.load(PROJECT / "tests" / "data" / "aa_rounds.npz") as stored:
        return {name: stored[name].astype(np.float64) for name in stored.files}


def drawn(rng: np.random.Generator, rounds: int, sd: float, factor: float = 1.0) -> Floats:
    return factor * np.exp(sd * rng.standard_normal((rounds, 1)) + np.zeros((rounds, 4)))


def test_of_100_histories_of_identical_code_at_most_one_alarms(real: dict[str, Floats]) -> None:
    found = replay(real, 5, 1, histories=100)
    assert found.histories == 100
    assert found.suspected > 10  # nights of five rounds are noisy there: there is much to confirm
    assert found.alarms <= 1


@pytest.mark.slow
def test_histories_of_more_nights(real: dict[str, Floats]) -> None:
    """Drawn with replacement, to have rounds enough for the nights as they are planned."""
    rng = np.random.default_rng(1)
    many = {name: each[rng.integers(0, 50, rounds_needed(20, 5))] for name, each in real.items()}
    assert replay(many, 20, 5, histories=100, seed=3).alarms <= 1
    for slowed in ("fp32", "fp32_fused", "int8_full_naive"):
        found = replay(many, 20, 5, histories=40, slowed=(slowed, 1.05))
        assert found.found >= 36, slowed
        assert found.alarms <= 1


@pytest.mark.slow
@pytest.mark.parametrize("sd", [0.003, 0.02, 0.06])
def test_identical_code_is_seldom_confirmed(sd: float) -> None:
    rng = np.random.default_rng(2)
    called = 0
    for _ in range(1500):
        before, now = ({"a": drawn(rng, 10 * LOOKS, sd)} for _ in range(2))
        for look in range(1, LOOKS + 1):
            upto = 10 * look
            (state,) = confirm({"a": before["a"][:upto]}, {"a": now["a"][:upto]}, look, NIGHTLY)
            if state.state != "open":
                called += state.state == "confirmed"
                break
    assert called <= ALPHA * 1500


def test_states() -> None:
    rng = np.random.default_rng(3)
    before = {name: drawn(rng, 20, 0.005) for name in "abc"}
    now = {
        "a": drawn(rng, 20, 0.005, 1.05),
        "b": drawn(rng, 20, 0.005, 1.0),
        "c": drawn(rng, 20, 0.005, NIGHTLY.slower + 1),
    }
    first = {each.method: each for each in confirm(before, now, 1, NIGHTLY)}
    assert {name: each.state for name, each in first.items()} == {
        "a": "confirmed",
        "b": "cleared",
        "c": "open",
    }
    assert first["a"].ratio.estimate == pytest.approx(1.05, abs=0.01)
    assert first["a"].ratio.low < 1.05 < first["a"].ratio.high
    assert first["a"].p_value <= first["a"].allowed == pytest.approx(ALPHA / LOOKS / 3)
    assert first["a"].rounds == 20
    last = {each.method: each.state for each in confirm(before, now, LOOKS, NIGHTLY)}
    assert last["c"] != "open"


def test_few_pairs_confirm_nothing() -> None:
    """Whether a process's own drift made the difference does not show in them."""
    rng = np.random.default_rng(6)
    before, now = {"a": drawn(rng, 40, 0.005)}, {"a": drawn(rng, 40, 0.005, 1.1)}
    states = [
        confirm({"a": before["a"][:n]}, {"a": now["a"][:n]}, 1, NIGHTLY)[0] for n in (10, 15, 40)
    ]
    assert [each.state for each in states] == ["open", "confirmed", "confirmed"]
    assert states[0].p_value == 2.0**-10


def autocorrelated(rng: np.random.Generator, rho: float, count: int) -> Floats:
    values = rng.standard_normal(count)
    for at in range(1, count):
        values[at] = rho * values[at - 1] + (1 - rho**2) ** 0.5 * values[at]
    return values


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bimodal", "half", "own"])
@pytest.mark.parametrize("rounds", [5, 20])
def test_drift_and_modes_of_processes_are_seldom_confirmed(kind: str, rounds: int) -> None:
    """Student's test alone confirms up to 4 % of bimodal rows and 9 to 20 % of drifting ones."""
    rng = np.random.default_rng(7)
    called = 0
    for _ in range(400):
        shared = autocorrelated(rng, 0.8, LOOKS * rounds) * 0.5**0.5
        sides = []
        for _side in range(2):
            own = autocorrelated(rng, 0.8, LOOKS * rounds)
            logs = {
                "bimodal": rng.integers(0, 2, LOOKS * rounds) * 2.0,
                "half": shared + own * 0.5**0.5,
                "own": own,
            }[kind]
            sides.append({"a": np.exp(0.03 * logs)[:, None] * np.ones(2)})
        for look in range(1, LOOKS + 1):
            upto = look * rounds
            before, now = ({"a": side["a"][:upto]} for side in sides)
            (state,) = confirm(before, now, look, NIGHTLY)
            if state.state != "open":
                called += state.state == "confirmed"
                break
    assert called <= ALPHA * 400 + 6  # three standard errors


def test_faster_is_no_slowdown() -> None:
    rng = np.random.default_rng(4)
    (found,) = confirm({"a": drawn(rng, 10, 0.01)}, {"a": drawn(rng, 10, 0.01, 0.9)}, 1, NIGHTLY)
    assert found.state == "cleared" and found.p_value > 0.99


def test_both_must_be_measured() -> None:
    with pytest.raises(ValueError, match=r"\['a'\] measured before, \['b'\] now"):
        confirm({"a": np.ones((5, 5))}, {"b": np.ones((5, 5))}, 1, NIGHTLY)


def test_a_replay_needs_its_rounds(real: dict[str, Floats]) -> None:
    with pytest.raises(ValueError, match="50 rounds; histories of 5 \\+ 1 nights of 10 rounds"):
        replay(real, 10, 5)
    assert isinstance(replay(real, 5, 1, histories=1), Replays)
