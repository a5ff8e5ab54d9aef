"""Fixtures of several test files; which tests run, in which order and in how many processes."""

from __future__ import annotations

import gc
import os
import re
from pathlib import Path

import hypothesis
import psutil
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
SLOW_FIXTURES = {  # they start the harness, or MXNet in this process, or draw whole pages
    "cli",
    "compared",
    "every",
    "hostile_report",
    "made_report",
    "refused",
    "saved",
    "session_run",
    "tuning",
    "written",
}
QUICK = "not slow"  # the markers of ./run.sh test quick
WHOLLY_SLOW = re.compile(r"^pytestmark = .*pytest\.mark\.slow", re.MULTILINE)


def pytest_configure(config: pytest.Config) -> None:
    """Keep what matplotlib knows of fonts out of the user's home: tests of figures import it."""
    os.environ.setdefault("MPLCONFIGDIR", str(config.cache.mkdir("matplotlib")))


# no limit of time: the machine may be busy, and a first call may import INC
hypothesis.settings.register_profile(
    "patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("patient")


MOST_PROCESSES = 5  # that run tests beside each other
PROCESS_BYTES = 3e9  # that each of them may hold, with what it starts


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return how many processes run the tests: more than the cores that this one may use.

    Some tests wait, for a lock, a disk or a time limit; slow ones do so more. Memory may allow fewer.
    """
    cores = len(os.sched_getaffinity(0))
    waiting = 1 if config.option.markexpr == QUICK else 2
    held_at_once = int(psutil.virtual_memory().available / PROCESS_BYTES)
    return max(1, min(MOST_PROCESSES, cores + waiting, held_at_once))


@pytest.hookimpl(tryfirst=True)  # before -m looks at the markers
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark what is slow, leave out what needs a quiet machine, and begin with the slow files.

    A process takes a whole file, so a long one must not come last.
    """
    if "quiet" not in config.option.markexpr:
        quiet = [item for item in items if item.get_closest_marker("quiet")]
        config.hook.pytest_deselected(items=quiet)
        items[:] = [item for item in items if not item.get_closest_marker("quiet")]
    for item in items:
        if SLOW_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("slow")
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """Spare the collector what stays to the end: modules, and the tests themselves."""
    gc.collect()
    gc.freeze()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Do not import a file that is slow as a whole where slow tests are left out."""
    if config.option.markexpr != QUICK or collection_path.suffix != ".py":
        return None
    return True if WHOLLY_SLOW.search(collection_path.read_text()) else None
