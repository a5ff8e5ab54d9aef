"""The allocator: which library is preloaded for it, and which one serves."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness import PROJECT
from harness.errors import InputError
from harness.facts.machine_facts import allocator_name
from harness.host.libraries.allocator import (
    allocator_mismatches,
    find_allocator,
    serving_allocator,
)
from harness.host.libraries.loaded import mapped_libraries
from harness.host.threads import KMP_NAME, resolve
from harness.host.topology import Topology
from helpers.compiled import compiled_allocator

PLAIN = Topology(tuple(range(4)), tuple((cpu,) for cpu in range(4)), 1, None)
OMP: dict[str, Any] = {"policy": "omp", "count": 2, "proc_bind": "TRUE", "places": "auto"}
SERVED = (
    "from harness.host.libraries.allocator import serving_allocator; print(serving_allocator())"
)


def file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\x7fELF")
    return path


def test_the_environments_library_comes_before_the_systems(tmp_path: Path) -> None:
    root, environment = tmp_path / "root", tmp_path / "env"
    named = file(root / "opt/lib/libjemalloc.so.2")
    file(root / "usr/lib64/libjemalloc.so.2")
    (root / "etc/ld.so.conf.d").mkdir(parents=True)
    (root / "etc/ld.so.conf.d/own.conf").write_text("# a comment\n/opt/lib\n")
    assert find_allocator("jemalloc", root, environment) == named
    own = file(environment / "lib/libjemalloc.so.2")
    assert find_allocator("jemalloc", root, environment) == own
    assert find_allocator("system", root, environment) is None


def test_the_minimal_tcmalloc_is_preferred(tmp_path: Path) -> None:
    whole = file(tmp_path / "usr/lib64/libtcmalloc.so.4")
    assert find_allocator("tcmalloc", tmp_path, tmp_path) == whole
    minimal = file(tmp_path / "usr/lib/libtcmalloc_minimal.so.4")
    assert find_allocator("tcmalloc", tmp_path, tmp_path) == minimal


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("jemalloc", ["threads.allocator=jemalloc", "libjemalloc.so.2", "install libjemalloc2"]),
        ("tcmalloc", ["apt-get install libtcmalloc-minimal4", "dnf install gperftools-libs"]),
        ("hoard", ["threads.allocator=hoard", "system, tcmalloc, jemalloc or the absolute path"]),
        ("lib/own.so", ["threads.allocator=lib/own.so", "absolute path"]),
        ("/nowhere/own.so", ["threads.allocator=/nowhere/own.so", "no such file"]),
    ],
)
def test_what_cannot_be_preloaded_is_refused(tmp_path: Path, name: str, words: list[str]) -> None:
    with pytest.raises(InputError) as refused:
        find_allocator(name, tmp_path, tmp_path)
    assert all(word in str(refused.value) for word in words)


def test_a_path_that_ld_preload_cannot_hold_is_refused(tmp_path: Path) -> None:
    library = file(tmp_path / "a b" / "libown.so")
    with pytest.raises(InputError, match="cannot hold a path with a space or a colon"):
        find_allocator(str(library))


def test_policies_preload_an_allocator(tmp_path: Path) -> None:
    own, intel = file(tmp_path / "libown.so"), tmp_path / KMP_NAME
    settings = resolve({**OMP, "allocator": str(own)}, PLAIN, None)
    assert settings.environment["LD_PRELOAD"] == settings.allocator == str(own)
    kmp = {"policy": "kmp", "count": 2, "affinity": "auto", "blocktime": 1, "allocator": str(own)}
    settings = resolve(kmp, PLAIN, intel)
    assert settings.environment["LD_PRELOAD"] == f"{intel}:{own}" and settings.allocator == str(own)
    settings = resolve({"policy": "none", "count": None, "allocator": str(own)}, PLAIN, None)
    assert settings.environment == {"LD_PRELOAD": str(own)}
    system = resolve({**OMP, "allocator": "system"}, PLAIN, None)
    assert system == resolve(OMP, PLAIN, None) and system.allocator is None
    for wrong in ("", 3):
        with pytest.raises(InputError, match=r"threads\.allocator="):
            resolve({**OMP, "allocator": wrong}, PLAIN, None)


def test_names() -> None:
    assert allocator_name("/usr/lib/x86_64-linux-gnu/libc.so.6") == "system"
    assert allocator_name("/lib64/libc-2.26.so") == "system"
    assert allocator_name("/usr/lib/libtcmalloc_minimal.so.4.5.9") == "tcmalloc"
    assert allocator_name("/usr/lib/libjemalloc.so.2") == "jemalloc"
    assert allocator_name("/opt/libmimalloc.so.2.1") == "libmimalloc.so.2.1"


def test_another_allocator_than_asked_for_is_a_mismatch(tmp_path: Path) -> None:
    own = file(tmp_path / "libown.so.2.1")
    link = tmp_path / "libown.so.2"
    link.symlink_to(own)
    preload = {"LD_PRELOAD": f"/env/lib/{KMP_NAME}:{link}"}
    assert allocator_mismatches(preload, str(own), KMP_NAME) == []
    (wrong,) = allocator_mismatches(preload, "/lib/libc.so.6", KMP_NAME)
    assert wrong == f"malloc comes from /lib/libc.so.6 although LD_PRELOAD names {link}"
    assert allocator_mismatches({}, "/lib/libc.so.6", KMP_NAME) == []
    only_intel = {"LD_PRELOAD": f"/env/lib/{KMP_NAME}"}
    assert allocator_mismatches(only_intel, "/lib/libc.so.6", KMP_NAME) == []


def test_the_one_that_really_serves(tmp_path: Path) -> None:
    serving = serving_allocator()
    assert serving is not None and serving in mapped_libraries()
    library = compiled_allocator(tmp_path)
    if library is None:
        pytest.skip("needs a C compiler for an allocator of its own")
    settings = resolve({"policy": "none", "count": None, "allocator": str(library)}, PLAIN, None)
    environment = {**os.environ, **settings.environment, "PYTHONPATH": str(PROJECT)}
    told = subprocess.run(
        [sys.executable, "-c", SERVED], env=environment, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == str(library.resolve())
