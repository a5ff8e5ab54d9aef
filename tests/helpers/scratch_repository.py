"""A repository of the project's shape, whose run.sh writes a run at once: how slow is in the commit."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from harness.storage.plan import Checkout
from harness.storage.store import RunFolder
from helpers.sample_records import VERSIONS
from helpers.sample_run import made_run

AUTHOR = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
SLOWNESS = "conf/slowness"  # the file of a commit that says how slow it is
LOCK = "requirements/run.lock"
RUN = r'''#!%(python)s -I
"""Copy a run, with times of its own: those of the commit and of the packages that are locked."""
import json, pathlib, random, re, shutil, sys
words = dict(word.split("=", 1) for word in sys.argv[2:] if "=" in word)
words = {key: value.strip("'") for key, value in words.items()}
root = pathlib.Path(sys.argv[0]).resolve().parent
slowness = float((root / "conf/slowness").read_text())
if slowness < 0:
    sys.exit("this version does not start")
lock = (root / "requirements/run.lock").read_text()
if "slow==2" in lock:
    slowness *= %(slow)s
if "odd==2" in lock and "slow==1" in lock:
    sys.exit("odd 2 does not go with slow 1")
run = words["run.id"]
folder = pathlib.Path(words["run.results"]) / words["machine"] / run
shutil.copytree(%(template)r, folder)
noise = random.Random(run)  # so little that no commit id is unlucky
for path in [folder / "plan.json", *folder.glob("records/*"), *folder.glob("rounds/*")]:
    stored = json.loads(path.read_text())
    stored["run"] = run
    if path.parent.name == "rounds":
        part = stored["facts"]["timed"][0]
        factor = slowness * noise.gauss(1, 0.002)
        part["forward_s"] = [factor * second for second in part["forward_s"]]
    path.write_text(json.dumps(stored))
'''


def run_git(root: Path, *words: str) -> str:
    ended = subprocess.run(
        ["git", "-C", str(root), *AUTHOR, *words], check=True, capture_output=True, text=True
    )
    return ended.stdout.strip()


def lock_text(packages: Mapping[str, str]) -> str:
    return "".join(
        f"{name}=={version} \\\n    --hash=sha256:{version * 64}\n"
        for name, version in packages.items()
    )


class ScratchRepository:
    """Commits that differ in how slow they are; runs of some of them under ``results``."""

    def __init__(self, folder: Path, slow_package: float = 1.06) -> None:
        self.root, self.results = folder / "project", folder / "results"
        template = made_run(folder / "template", rounds=1).path
        for name in ("harness", "conf", "requirements"):
            (self.root / name).mkdir(parents=True)
        (self.root / "harness/__main__.py").write_text("")
        values = {"python": sys.executable, "template": str(template), "slow": slow_package}
        (self.root / "run.sh").write_text(RUN % values)
        (self.root / "run.sh").chmod(0o755)
        (self.root / LOCK).write_text(lock_text({"odd": "1", "other": "1", "slow": "1"}))
        run_git(folder, "init", "-q", str(self.root))
        self.count = 0

    def commit(self, slowness: float = 1.0, packages: Mapping[str, str] | None = None) -> str:
        """Commit a version that takes so many times as long, and maybe other locked packages."""
        self.count += 1
        (self.root / "harness" / "number.py").write_text(f"NUMBER = {self.count}\n")
        (self.root / SLOWNESS).write_text(f"{slowness}\n")
        if packages is not None:
            (self.root / LOCK).write_text(lock_text(packages))
        run_git(self.root, "add", ".")
        run_git(self.root, "commit", "-q", "-m", f"Change {self.count}")
        return run_git(self.root, "rev-parse", "HEAD")

    def note(self) -> str:
        """Commit a change of a file that no run reads."""
        with (self.root / "README.md").open("a") as readme:
            readme.write("A line.\n")
        run_git(self.root, "add", ".")
        run_git(self.root, "commit", "-q", "-m", "Explain")
        return run_git(self.root, "rev-parse", "HEAD")

    def night(self, run: str, commit: str, clean: bool = True, **changes: object) -> RunFolder:
        """Write a run that measured a commit."""
        folder = made_run(self.results, run=run)
        plan = folder.load_plan()
        assert plan is not None
        checkout = Checkout(commit=commit, clean=clean)
        values = {"code": commit, "checkout": checkout, "packages": dict(VERSIONS), **changes}
        folder.save_plan(replace(plan, **values))  # type: ignore[arg-type]
        return folder

    def stored(self, run: str) -> dict[str, object]:
        path = next(self.results.glob(f"bisect/{run}-*/bisect.json"))
        return dict(json.loads(path.read_text()))

    def forget(self, run: str) -> None:
        shutil.rmtree(next(self.results.glob(f"bisect/{run}-*")))
