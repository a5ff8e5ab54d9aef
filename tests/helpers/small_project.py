"""A project whose packages are a few bytes each: run.sh, real locks, real pip, a real environment."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import PROJECT

PYTHON = os.path.realpath(sys._base_executable)  # type: ignore[attr-defined]
LOCKED = {"build": "smallbuild", "run": "smallrun", "fleet": "smallfleet", "test": "pytest"}
CARRIED = ("scikit_learn.libs/libgomp-0.so.1", "scipy.libs/libquadmath-0.so.0")
FACTS = """
import json, os, sys
from importlib.metadata import distributions
print(json.dumps({
    "pid": os.getpid(), "prefix": sys.prefix, "variables": dict(os.environ), "words": sys.argv[1:],
    "packages": {found.name: found.version for found in distributions()},
}), flush=True)
"""
WAIT = (
    FACTS
    + """
sys.stdin.readline()
import subprocess, smallrun
done = subprocess.run([sys.executable, "-c", "import smallrun; print(smallrun.VERSION)"],
                      capture_output=True, text=True)
print(json.dumps([smallrun.VERSION, done.stdout.strip()]))
"""
)
SIGNALS = """
import signal, sys
if sys.argv[1] == "SIGTERM":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
try:
    print("ready", flush=True)
    signal.pause()
except KeyboardInterrupt:
    print("interrupted", flush=True)
    sys.exit(7)
"""
ENDS = (
    "import sys\nword = sys.argv[1]\n"
    + """
if word == "raise":
    raise RuntimeError("this one fails")
if word == "import":
    import no_such_module
if word == "text":
    sys.exit("a sentence")
sys.exit(int(word))
"""
)
MODULES = {"facts": FACTS, "wait": WAIT, "signals": SIGNALS, "ends": ENDS}
FAKE_PYTEST = """
import sys
if __name__ == "__main__":
    print("tests", sys.argv[1:])
    sys.exit(1)
"""


class SmallProject:
    """Starts run.sh in `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.wheels = root / "wheels"
        self.variables = {
            "PATH": os.environ["PATH"],
            "HOME": str(root),
            "HARNESS_PYTHON": PYTHON,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": self.wheels.as_uri(),  # pip splits it at spaces
        }

    @classmethod
    def written(cls, root: Path) -> SmallProject:
        """Write one that has no environment yet."""
        shutil.copytree(
            PROJECT / "harness", root / "harness", ignore=shutil.ignore_patterns("__pycache__")
        )
        shutil.copytree(PROJECT / "conf", root / "conf")
        shutil.copy(PROJECT / "run.sh", root)
        for folder in ("benchmarks", "requirements", "wheels"):
            (root / folder).mkdir()
        for name, code in MODULES.items():
            (root / "benchmarks" / f"{name}.py").write_text(code)
        made = cls(root)
        for lock in LOCKED:
            made.lock(lock, "1.0")
        return made

    def copied(self, root: Path) -> SmallProject:
        subprocess.run(["cp", "-a", self.root, root], check=True)
        return SmallProject(root)

    def lock(self, lock: str, version: str) -> None:
        """Have a lock file want this version of its package, and let there be one."""
        text = self._pinned(LOCKED[lock], version, lock == "run")
        (self.root / "requirements" / f"{lock}.lock").write_text(text)

    def engine(self, name: str, packages: Sequence[str]) -> None:
        """Have an engine's lock file want some packages, and let there be these."""
        folder = self.root / "requirements" / "engines"
        folder.mkdir()
        text = "".join(self._pinned(package, "1.0", False) for package in packages)
        (folder / f"{name}.lock").write_text(text)

    def _pinned(self, name: str, version: str, carries: bool) -> str:
        wheel = _write_wheel(self.wheels, name, version, carries)
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        return f"{name}=={version} \\\n    --hash=sha256:{digest}\n"

    def offline(self) -> None:
        shutil.rmtree(self.wheels)
        self.wheels.mkdir()

    @property
    def environments(self) -> set[str]:
        return {path.name for path in self.root.glob(".venvs/*")}

    @property
    def published(self) -> str:
        return Path(os.path.realpath(self.root / ".venv")).name

    def __call__(
        self,
        *words: str,
        variables: Mapping[str, str] | None = None,
        before: Callable[[], None] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.root / "run.sh", *words],
            cwd=self.root.parent,
            env={**self.variables, **(variables or {})},
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=before,
        )

    def start(self, *words: str, **variables: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [self.root / "run.sh", *words],
            env={**self.variables, **variables},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def facts(self, **variables: str) -> dict[str, Any]:
        """Return what a program sees that run.sh started."""
        done = self("benchmark", "facts", variables=variables)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def _write_wheel(folder: Path, name: str, version: str, carries: bool) -> Path:
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}.py": FAKE_PYTEST if name == "pytest" else f"VERSION = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        **{path: "" for path in CARRIED if carries},
    }
    record = f"{info}/RECORD"
    rows = [f"{path},{_digest(text)},{len(text)}" for path, text in files.items()]
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name_in, text in {**files, record: "\n".join([*rows, f"{record},,", ""])}.items():
            wheel.writestr(zipfile.ZipInfo(name_in), text)
    return path


def _digest(text: str) -> str:
    raw = hashlib.sha256(text.encode()).digest()
    return "sha256=" + base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
