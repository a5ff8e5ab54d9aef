"""``./run.sh export``: runs in the formats that other programs read."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from harness.command_line.verb import FILES, RUNS, Argument, Verb, Words

if TYPE_CHECKING:
    from harness.run.context import Context

FORMATS = ("asv", "bencher", "conbench", "github-action", "list", "openmetrics", "otava")
STDOUT = "-"


def call(words: Words, context: Context) -> int:
    """Write runs in a format and print where the files are, or print the formats."""
    from harness.config import project_path
    from harness.export import formats
    from harness.export.exported_run import export_values
    from harness.storage.known_runs import LATEST
    from harness.table.loaded_run import load_run

    name = words["format"]
    if name == formats.LIST:
        width = max(map(len, formats.FORMATS))
        for key, one in formats.FORMATS.items():
            print(f"{key:{width}}  {one.reader}")
        return 0
    commit = _commit(words["commit"])
    folders = [context.find(run) for run in words.all_of("run") or (LATEST,)]
    runs = [export_values(load_run(folder), commit) for folder in folders]
    files = formats.export_files(name, runs)
    if words["to"] == STDOUT:
        _print(name, files)
        return 0
    place = folders[-1].id if len(folders) == 1 else f"{len(folders)}-runs-to-{folders[-1].id}"
    to = words["to"] or str(context.results / "exports" / name / place)
    for path in _write(project_path(to), files):
        print(path)
    return 0


def _commit(word: str) -> str | None:
    from harness.errors import InputError

    if word and not re.fullmatch(r"[0-9a-f]{8,64}", word):
        raise InputError(f"commit={word}: use a commit's id, such as git rev-parse HEAD prints")
    return word or None


def _print(name: str, files: dict[str, bytes]) -> None:
    from harness.errors import InputError

    if len(files) > 1:
        raise InputError(f"to=-: format={name} has {len(files)} files: give to=FOLDER")
    for content in files.values():
        sys.stdout.write(content.decode())


def _write(folder: Path, files: dict[str, bytes]) -> list[Path]:
    from harness.files.whole_files import write_atomically

    for path, content in files.items():
        write_atomically(folder / path, content, "to")
    return [folder / path for path in files]


VERB = Verb(
    name="export",
    rank=135,
    summary="runs for Bencher, github-action-benchmark, Otava, Conbench, Prometheus, asv",
    call=call,
    description=(
        "Writes the values of a run's tables, with their intervals, in a format that another program\n"
        "reads. otava, conbench and asv take several runs; format=list says who reads what."
    ),
    arguments=(
        Argument(
            "run",
            "RUN",
            "the run, or several; the names alone, without run=, do as well",
            otherwise="the newest",
            bare=True,
            repeats=True,
            proposes=RUNS,
        ),
        Argument("format", "FORMAT", "the format", default="list", proposes=FORMATS),
        Argument(
            "to",
            "FOLDER",
            "where the files go; - prints a format of one file",
            otherwise="results/exports/FORMAT/RUN",
            proposes=FILES,
        ),
        Argument(
            "commit",
            "HASH",
            "asv: the commit of the code that was measured",
            otherwise="the one that the run keeps",
        ),
    ),
    examples=(
        ("", "the formats"),
        ("run=ID format=openmetrics", ""),
        ("run=ID format=bencher to=-", "for a pipe"),
        ("run=ID run=ID run=ID format=otava to=series", "several runs as a series"),
    ),
)
