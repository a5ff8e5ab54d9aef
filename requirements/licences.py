"""Write LICENCES.md: what the locks install, each with the licence that its metadata names.

    .venv/bin/python requirements/licences.py > requirements/LICENCES.md
    .venv-NAME/bin/python requirements/licences.py NAME > requirements/engines/NAME-LICENCES.md

The first needs an environment with all locks, as ``./run.sh test`` makes it; the second is of the
engine NAME, in the environment that a run with a row of it makes.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
LOCKS = {"build.lock": "build", "run.lock": "run", "fleet.lock": "fleet", "test.lock": "test"}
CLASSIFIER = "License :: "
ENGINE_HEAD = """\
# Licences of what is installed for {name}

Made by `../licences.py` from the metadata of the installed packages; a test holds it to the lock. They
are in an environment of their own, which only a run with a row of {name} makes. A wheel may carry other
libraries inside; their licences are in its own files.

| package | version | for | licence |
|---|---|---|---|
"""
HEAD = """\
# Licences of what is installed

Made by `licences.py` from the metadata of the installed packages; a test holds it to the locks.
*run* is in every environment, *build* installs it, *fleet* and *test* are added by these verbs alone.
A wheel may carry other libraries inside; their licences are in its own files.

| package | version | for | licence |
|---|---|---|---|
"""


def engine_locks() -> dict[str, str]:
    """Return the engines' lock files, with the use of each, which is the engine's name."""
    return {f"engines/{path.name}": path.stem for path in sorted(FOLDER.glob("engines/*.lock"))}


def locked(locks: dict[str, str]) -> dict[str, tuple[str, str]]:
    """Return version and use of every locked package, by name; the first lock that has it counts."""
    found: dict[str, tuple[str, str]] = {}
    for lock, use in locks.items():
        text = (FOLDER / lock).read_text(encoding="utf-8")
        for name, version in re.findall(r"^([A-Za-z0-9._-]+)==(\S+)", text, re.MULTILINE):
            found.setdefault(name, (version, use))
    return found


def licence(name: str) -> str:
    """Return what a package's metadata says: the expression, else the classifiers, else its text."""
    try:
        said = metadata(name)
    except PackageNotFoundError:
        return "not installed here"
    if said.get("License-Expression"):
        return str(said["License-Expression"])
    classified = [
        each.split(" :: ")[-1]
        for each in said.get_all("Classifier") or []
        if each.startswith(CLASSIFIER) and each.count(" :: ") > 1
    ]
    if classified:
        return ", ".join(dict.fromkeys(classified))
    first = str(said.get("License") or "").strip().splitlines()
    return first[0][:80] if first else "not stated in its metadata"


def main() -> None:
    engine = sys.argv[1] if len(sys.argv) > 1 else None
    locks = LOCKS if engine is None else {f"engines/{engine}.lock": engine}
    head = HEAD if engine is None else ENGINE_HEAD.format(name=engine)
    rows = sorted(locked(locks).items(), key=lambda item: item[0].lower())
    lines = [
        f"| {name} | {version} | {use} | {licence(name).replace('|', '/')} |"
        for name, (version, use) in rows
    ]
    print(head + "\n".join(lines))


if __name__ == "__main__":
    main()
