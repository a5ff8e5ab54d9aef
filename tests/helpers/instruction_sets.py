"""The instruction sets that oneDNN may use here: those of the CPU, up to ONEDNN_MAX_CPU_ISA."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from harness.host import isa, machine

LIMIT = next((name for name in isa.NAMES if name == os.environ.get(isa.VARIABLE, "").upper()), None)
FLAGS = machine.describe().isa or ()
ABOVE_AVX2 = re.compile(r"avx512\w*|amx_\w+|avx_vnni")  # as the kernel calls them


def has_isa(name: str) -> bool:
    """Say whether oneDNN may use an instruction set, one of ``isa.NAMES``."""
    return isa.LEVELS[isa.NAMES.index(name)].flag in FLAGS and isa.allows(LIMIT, name)


HIGHEST = next((level.name for level in reversed(isa.LEVELS) if has_isa(level.name)), "SSE41")


def needs_isa(name: str) -> pytest.MarkDecorator:
    """Skip a test where oneDNN has not this instruction set."""
    limited = LIMIT and not isa.allows(LIMIT, name)
    why = f"oneDNN is limited to {LIMIT}" if limited else "this CPU has not got it"
    return pytest.mark.skipif(not has_isa(name), reason=f"needs {name}: {why}")


@pytest.fixture
def avx2_machine(tmp_path: Path) -> list[str]:
    """Return a command that starts another on this machine without AVX-512, AMX and VNNI.

    The kernel's list of flags is replaced in a mount namespace of the command's own. oneDNN asks the
    CPU itself and is limited by its variable.
    """
    if not has_isa("AVX2"):
        pytest.skip("needs AVX2")
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(
        "".join(
            ABOVE_AVX2.sub("", line) if line.startswith("flags") else line
            for line in Path("/proc/cpuinfo").read_text().splitlines(keepends=True)
        )
    )
    hide = 'mount --bind "$0" /proc/cpuinfo && exec env "$@"'
    limit = f"{isa.VARIABLE}=AVX2"
    said = ""
    for namespaces in (["--mount"], ["--user", "--map-root-user", "--mount"]):
        command = ["unshare", *namespaces, "sh", "-c", hide, str(cpuinfo), limit]
        try:
            tried = subprocess.run([*command, "true"], capture_output=True, text=True)
        except OSError as error:
            pytest.skip(f"needs unshare: {error}")
        if tried.returncode == 0:
            return command
        said = tried.stderr.strip()
    pytest.skip(f"needs a mount namespace: {said}")
