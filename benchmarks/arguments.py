"""What the benchmarks' command lines have in common."""

from __future__ import annotations


def positive(word: str) -> int:
    """Return a whole number of at least 1.

    Raises:
        ValueError: it is none; argparse turns that into its message.
    """
    number = int(word)
    if number < 1:
        raise ValueError
    return number
