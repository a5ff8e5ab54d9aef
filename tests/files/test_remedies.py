"""What is said of a file that cannot be written follows the number of the error."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from harness.errors import InputError, of_system
from harness.files.whole_files import unwritable


@pytest.mark.parametrize(
    ("number", "says"),
    [
        (errno.EACCES, "change the permissions of the file or its folder"),
        (errno.EPERM, "change the permissions of the file or its folder"),
        (errno.ENOSPC, "free some space"),
        (errno.EDQUOT, "free some space"),
        (errno.EFBIG, "free some space"),
        (errno.EROFS, "mount the file system for writing"),
        (errno.ENOTDIR, "check the path"),
    ],
)
def test_a_remedy_fits_the_error(number: int, says: str) -> None:
    error = OSError(number, os.strerror(number), "/data/table.md")
    said = str(unwritable(Path("/data/table.md"), error, "run.results"))
    assert os.strerror(number) in said and f"{says} or give run.results=DIR" in said
    assert ("space" in said) == (says == "free some space")
    told = of_system(error)
    if number != errno.ENOTDIR:
        assert isinstance(told, InputError) and says in str(told)
