"""As many open files as the workers of a split need: a login usually allows 1,024."""

from __future__ import annotations

import os
import resource

from harness.errors import InputError

FILES_OF_WORKER = 5  # in its parent: its log, and pipes or descriptors to it
SPARE_FILES = 64


def allow_open_files(workers: int) -> None:
    """Let this process open as many files as so many workers at once need.

    Raises:
        InputError: it may not.
    """
    needed = len(os.listdir("/proc/self/fd")) + workers * FILES_OF_WORKER + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or needed <= soft:
        return
    if hard != resource.RLIM_INFINITY and needed > hard:
        raise InputError(
            f"{workers} instances at once need {needed} open files, and this process may open {hard}: "
            f"raise its limit (ulimit -Hn {needed}, as root) or ask for fewer instances"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
