"""Verbs that read leave the project's own files as they are, and read what may not be written."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness import PROJECT
from harness.cli import main
from harness.command_line.verbs import all_verbs
from harness.files import durable
from harness.storage.store import COMMITTED, RunFolder
from helpers.command_line import PATIENCE_S, same_after
from helpers.terminals import in_terminal

RESULTS = PROJECT / "results"
# the words by which each verb that reads is called on the committed example, and its exit code
CALLS: dict[str, tuple[list[str], int]] = {
    "list": ([], 0),
    "table": (["run=published"], 0),
    "report": (["run=published"], 0),
    "history": ([], 0),
    "export": (["run=published", "format=openmetrics"], 0),
    "acknowledge": (["run=published", "reason=x"], 2),
    "compare": (["published", "published", "name=same"], 2),
    "verify": (["run=published"], 0),
    "pack": (["run=published"], 0),
    "import": (["file=/no/such.zip"], 2),
    "cache": ([], 0),
    "completion": (["bash"], 0),
    "run": (["run.id=published"], 2),  # refused before anything is written
    "nightly": (["run.id=published"], 2),
    "recover": (["run=published", "method=int8_inc_mse", "trial=1"], 2),
}
ELSEWHERE = {"doctor": "it looks at the machine and has no run; test_doctor.py"}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkout of this project with all that is tracked committed in it."""
    root = tmp_path_factory.mktemp("checkout") / "project"
    paths = [path for path in ("harness", "conf", "benchmarks", "results/example", "results/README.md",
                               ".gitignore", "run.sh") if (PROJECT / path).exists()]  # fmt: skip
    root.mkdir()
    archive = subprocess.run(
        ["tar", "-c", "--exclude=__pycache__", *paths],
        cwd=PROJECT, check=True, capture_output=True,
    ).stdout  # fmt: skip
    subprocess.run(["tar", "-x"], cwd=root, input=archive, check=True)
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "all")
    return root


def git(root: Path, *words: str) -> str:
    return subprocess.run(
        ["git", *words], cwd=root, check=True, capture_output=True, text=True
    ).stdout


def test_each_verb_that_reads_is_called() -> None:
    reads = {verb.name for verb in all_verbs() if not verb.measures}
    assert reads <= {*CALLS, *ELSEWHERE}


@pytest.mark.slow
@pytest.mark.parametrize("verb", CALLS)
def test_a_verb_that_reads_leaves_the_tracked_tree_as_it_is(
    verb: str, project: Path, tmp_path: Path
) -> None:
    words, code = CALLS[verb]
    done = subprocess.run(
        [sys.executable, "-m", "harness", verb, *words, f"run.cache={tmp_path}"],
        cwd=project, capture_output=True, text=True, check=False, timeout=PATIENCE_S,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert git(project, "status", "--porcelain") == ""
    if verb == "report":
        assert (project / "results/reports/example/published/report.html").is_file()
    if verb == "verify":
        assert ", 0 findings" in done.stdout
    if code == 2:
        assert done.stderr.count("\n") == 1


def test_the_committed_example_is_only_read(capsys: pytest.CaptureFixture[str]) -> None:
    folder = RunFolder(COMMITTED / "published")
    assert folder.is_committed and not RunFolder(COMMITTED / "new").is_committed
    files = [path for path in folder.path.rglob("*") if path.is_file()]
    before = same_after(files)
    for words in (["table", "published"], ["verify", "published"], ["run.id=published"]):
        main([*words, f"run.results={RESULTS}"])
    assert same_after(files) == before
    assert "the project's committed example" in capsys.readouterr().err


def test_a_table_that_may_not_be_written_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(COMMITTED / "published", tmp_path / "m" / "mine")

    def closed(path: Path, content: bytes) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(durable, "write", closed)
    assert main(["table", "mine", f"run.results={tmp_path}"]) == 0
    told = capsys.readouterr()
    assert told.out == (COMMITTED / "published" / "table.md").read_text()
    assert "change the permissions" in told.err and "space" not in told.err


@pytest.mark.slow
def test_a_terminal_gets_the_table_that_fits_and_a_pipe_gets_markdown(project: Path) -> None:
    command = [sys.executable, "-m", "harness", "table", "published"]
    piped = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)
    assert piped.stdout == (COMMITTED / "published" / "table.md").read_text()
    for width in (60, 80, 100):
        shown = in_terminal(command, project, width)
        assert shown == (PROJECT / f"docs/terminal/table-{width}.txt").read_text()
    assert in_terminal([*command, "full=true"], project, 80) == piped.stdout
    named = in_terminal(command, project, 200, COLUMNS="60")
    assert named == (PROJECT / "docs/terminal/table-60.txt").read_text()
