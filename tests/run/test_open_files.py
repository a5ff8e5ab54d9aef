"""Many workers at once: the limit of open files is raised as far as it may be, or named."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from harness import PROJECT

OPENING = """
import resource, sys
from harness.run.instances.open_files import allow_open_files
resource.setrlimit(resource.RLIMIT_NOFILE, (64, int(sys.argv[1])))
try:
    allow_open_files(int(sys.argv[2]))
except Exception as error:
    print(error)
print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
"""


@pytest.mark.parametrize(
    ("hard", "workers", "says"),
    [
        (4096, 256, r"1\d\d\d"),  # 5 descriptors each
        (64, 256, r"256 instances at once need 1\d\d\d open files, and .* 64: raise .*\n64"),
    ],
)
def test_many_workers_get_open_files_or_a_reason(hard: int, workers: int, says: str) -> None:
    command = [sys.executable, "-c", OPENING, str(hard), str(workers)]
    ended = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    assert re.fullmatch(says, ended.stdout.strip(), re.DOTALL)
