"""How many late queries a trial may have, so that the percentile is below the target with confidence.

This is MLPerf's rule of early stopping (https://github.com/mlcommons/inference_policies, "Early
stopping"; loadgen/early_stopping.cc): a trial of n queries, of which t were late, is long enough if a
system that is late with probability 1 - percentile would have at most t late ones with a probability of
at most 1 - confidence. The rule takes queries to be late independently of each other.
"""

from __future__ import annotations

from scipy.special import bdtr

PERCENTILE = 0.99
CONFIDENCE = 0.99


def most_late(
    queries: int, percentile: float = PERCENTILE, confidence: float = CONFIDENCE
) -> int | None:
    """Return the most late queries with which a trial passes; None if it is too short to pass."""
    fewest, most = -1, queries
    while most - fewest > 1:
        middle = (fewest + most) // 2
        if bdtr(middle, queries, 1 - percentile) <= 1 - confidence:
            fewest = middle
        else:
            most = middle
    return None if fewest < 0 else fewest
