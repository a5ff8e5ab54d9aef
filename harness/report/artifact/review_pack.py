"""A run as one file for its reviewers: the pack, and in ``review/`` what they read and run it with.

The report in it is made from a copy of what the pack holds, so that its links fit the unpacked file.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import PROJECT
from harness.errors import InputError
from harness.files import whole_files
from harness.packs.pack import PATH, REVIEW, Manifest, manifest_of, write_pack
from harness.report.artifact.review_texts import to_readme, to_zenodo
from harness.report.evidence import command, run_digests
from harness.report.report_writer import write_report
from harness.storage import store
from harness.storage.store import RunFolder
from harness.table.loaded_run import load_run

TEXTS = ("CITATION.cff", "LICENSE", "NOTICE", "pyproject.toml")
LOCKS = ("*.lock", "*.in", "*.md")  # of requirements/
OWN = ("*.yaml", "*.py", "*.lock")  # of a folder of --conf


@dataclass(frozen=True)
class Review:
    """How a pack for review is made.

    Attributes:
        cache: where matplotlib may keep what it knows of fonts.
        folders: of ``--conf``.
        models: the models travel as well.
        sign: a private key, or None.
        intervals: whether the report's tables show them; None where the protocol has rounds.
    """

    cache: Path
    folders: Sequence[Path] = ()
    models: bool = False
    sign: Path | None = None
    intervals: bool | None = None


def write_review(folder: RunFolder, to: Path, review: Review) -> tuple[Manifest, str]:
    """Write a run for its reviewers into the file ``to``, whole or not at all.

    Returns:
        the manifest, and the SHA-256 of the file.

    Raises:
        InputError: the run has no row yet, a file of ``--conf`` has a name that no pack may hold, or as
            ``write_pack``.
        HarnessError: a file of the run is damaged.
    """
    with tempfile.TemporaryDirectory(prefix="inc-bench-review-") as place:
        copy = RunFolder(Path(place) / folder.path.parent.name / folder.id)
        for member in manifest_of(folder, review.models).members:
            _put(folder.path / member.path, copy.path / member.path)
        into = copy.path / REVIEW
        write_report(
            copy, review.cache, review.folders, into / "report", intervals=review.intervals
        )
        _write_texts(copy, into, to.name, review.folders)
        for source, name in _sources(review.folders):
            if not PATH.fullmatch(name):
                raise InputError(
                    f"{source} has a name that no pack may hold: rename it to letters, digits, spaces "
                    "and the signs _+=@,.-"
                )
            _put(source, into / name)
        return write_pack(folder, to, review.models, review.sign, into)


def _put(source: Path, target: Path) -> None:
    """Link a file, or copy it where it cannot be linked."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _sources(folders: Sequence[Path]) -> Iterator[tuple[Path, str]]:
    """Yield each file of the project that reviewers get, and its name in their folder."""
    for name in TEXTS:
        yield PROJECT / name, name
    for pattern in LOCKS:
        for path in sorted((PROJECT / "requirements").rglob(pattern)):
            yield path, path.relative_to(PROJECT).as_posix()
    own = ((folder, f"own/{number}", OWN) for number, folder in enumerate(folders, 1))
    trees: list[tuple[Path, str, tuple[str, ...]]] = [(PROJECT / "conf", "conf", ("*.yaml",)), *own]
    for root, name, patterns in trees:
        for pattern in patterns:
            for path in sorted(root.rglob(pattern)):
                below = path.relative_to(root)
                is_hidden = any(part.startswith(".") for part in below.parts)
                if path.is_file() and not path.is_symlink() and not is_hidden:
                    yield path, f"{name}/{below.as_posix()}"


def _write_texts(folder: RunFolder, into: Path, pack: str, folders: Sequence[Path]) -> None:
    run = load_run(folder)
    digests = run_digests(run.plan, run.digests[store.PLAN], run.records)
    repeating = command(run.plan, [f"{REVIEW}/own/{n}" for n, _ in enumerate(folders, 1)])
    whole_files.write_atomically(into / "README.md", to_readme(run, digests, repeating, pack), "to")
    whole_files.write_json(into / "zenodo.json", to_zenodo(run, digests), "to")
