"""Fixtures of several test files, and how many processes run the tests."""

from __future__ import annotations

import os

import pytest

pytest_plugins = (
    "helpers.browser",
    "helpers.bundled_images",
    "helpers.command_line",
    "helpers.instruction_sets",
    "helpers.record_files",
    "helpers.refusals",
    "helpers.saved_network",
    "helpers.tuning",
)


def pytest_configure(config: pytest.Config) -> None:
    """Keep what matplotlib knows of fonts out of the user's home: tests of figures import it."""
    os.environ.setdefault("MPLCONFIGDIR", str(config.cache.mkdir("matplotlib")))


MOST_PROCESSES = 4  # that run tests beside each other: each may hold 3 GB


def pytest_xdist_auto_num_workers() -> int:
    """Return how many processes run the tests: one for each core that this one may use."""
    return min(MOST_PROCESSES, len(os.sched_getaffinity(0)))
