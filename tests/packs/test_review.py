"""A pack for review: what reviewers get, that it imports like any pack, and that nothing of it stays."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import PROJECT
from harness.errors import InputError
from harness.packs import pack
from harness.packs.importing import import_pack
from harness.packs.pack import REVIEW, write_pack
from harness.packs.verify import save_digests, verify
from harness.report.artifact.review_pack import Review, write_review
from harness.report.artifact.review_texts import FILL_IN, to_readme
from harness.report.evidence import RunDigests
from harness.storage.store import RunFolder
from harness.table.loaded_run import load_run
from helpers import links
from helpers.command_line import CommandLine
from helpers.sample_run import made_run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = made_run(tmp_path_factory.mktemp("runs"))
    save_digests(folder)
    return folder


@pytest.fixture(scope="module")
def review(tmp_path_factory: pytest.TempPathFactory) -> Review:
    own = tmp_path_factory.mktemp("own") / "mine"
    (own / "method").mkdir(parents=True)
    (own / "method" / "mine.yaml").write_text("label: mine\n")
    (own / "secret.key").write_text("no reviewer's")
    (own / ".checkpoints").mkdir()
    (own / ".checkpoints" / "mine.yaml").write_text("label: hidden\n")
    return Review(tmp_path_factory.mktemp("cache"), (own,))


@pytest.fixture(scope="module")
def packed(run: RunFolder, review: Review, tmp_path_factory: pytest.TempPathFactory) -> Path:
    to = tmp_path_factory.mktemp("packs") / "made-review.zip"
    write_review(run, to, review)
    return to


@pytest.fixture
def unpacked(packed: Path, tmp_path: Path) -> Path:
    with zipfile.ZipFile(packed) as archive:
        archive.extractall(tmp_path / "unpacked")
    return tmp_path / "unpacked"


@pytest.fixture
def cli(tmp_path: Path) -> Iterator[CommandLine]:
    line = CommandLine(tmp_path / "results", tmp_path / "cache")
    yield line
    line.close()


def test_reviewers_get_records_tables_figures_locks_and_conf(
    run: RunFolder, unpacked: Path
) -> None:
    for path in (run.path / "records").iterdir():
        assert (unpacked / "records" / path.name).read_bytes() == path.read_bytes()
    own = unpacked / REVIEW
    for name in ("report.html", "checklist.md", "references.bib", "table.tex", "figures.tex"):
        assert (own / "report" / name).is_file()
    assert len(list((own / "report" / "figures").glob("*.pdf"))) == 12
    for folder, pattern in (("requirements", "**/*.lock"), ("conf", "**/*.yaml")):
        sources = list((PROJECT / folder).glob(pattern))
        assert sources
        for source in sources:
            copy = own / source.relative_to(PROJECT)
            assert copy.read_bytes() == source.read_bytes()
    assert (own / "CITATION.cff").is_file() and (own / "LICENSE").is_file()
    assert (own / "own" / "1" / "method" / "mine.yaml").is_file()
    assert not list(own.rglob("*.key")) and not list(own.rglob(".*"))


def test_a_name_that_no_pack_may_hold_is_refused(run: RunFolder, tmp_path: Path) -> None:
    odd = tmp_path / "own" / "mine (1).yaml"
    odd.parent.mkdir()
    odd.write_text("label: mine\n")
    with pytest.raises(
        InputError, match=r"mine \(1\)\.yaml has a name that no pack may hold: rename"
    ):
        write_review(run, tmp_path / "review.zip", Review(tmp_path / "cache", (odd.parent,)))
    assert not (tmp_path / "review.zip").exists()


def test_links_of_its_report_fit_the_unpacked_file(unpacked: Path) -> None:
    assert links.dead(unpacked / REVIEW / "report" / "report.html") == []


def test_it_imports_and_verifies_and_leaves_nothing_of_the_review(
    run: RunFolder, packed: Path, tmp_path: Path
) -> None:
    taken = import_pack(packed, tmp_path)
    assert not taken.known and not (taken.folder.path / REVIEW).exists()
    assert verify(taken.folder).wrong == ()
    assert import_pack(packed, tmp_path).known
    write_pack(run, tmp_path / "plain.zip")
    assert import_pack(tmp_path / "plain.zip", tmp_path).known
    write_pack(taken.folder, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == (tmp_path / "plain.zip").read_bytes()


def test_the_commands_of_its_readme_check_it(
    packed: Path, unpacked: Path, cli: CommandLine
) -> None:
    text = (unpacked / REVIEW / "README.md").read_text()
    fence = text.partition("```bash\n")[2].partition("```")[0]
    commands = [shlex.split(line)[1:] for line in fence.splitlines()]
    assert [words[0] for words in commands] == ["import", "verify"]
    importing = [word.replace("made-review.zip", str(packed)) for word in commands[0]]
    assert cli(*importing).code == 0
    ended = cli(*commands[1])
    assert ended.code == 0, ended.out
    (digest,) = re.findall(r"```text\n([0-9a-f]{64})\n```", text)
    assert f"digest of all but times: {digest}" in ended.out
    assert "./run.sh" in text.partition("## Run it again")[2]


def test_words_of_the_readme_are_whole_in_a_shell(run: RunFolder) -> None:
    pack, word = "my run's ```; false.zip", "key=```; false"
    digests = RunDigests("1" * 64, "2" * 64, "3" * 64)
    text = to_readme(load_run(run), digests, shlex.join(["./run.sh", word]), pack)
    fences = [part.partition("```")[0] for part in text.split("```bash\n")[1:]]
    importing = fences[0].splitlines()[0]
    assert shlex.split(importing) == ["./run.sh", "import", f"file={pack}"]
    assert shlex.split(fences[1]) == ["./run.sh", word]


def test_a_deposit_leaves_open_what_a_person_must_say(unpacked: Path) -> None:
    metadata = json.loads((unpacked / REVIEW / "zenodo.json").read_text())
    assert {"title", "upload_type", "description", "creators", "license"} <= set(metadata)
    (creator,) = metadata["creators"]
    assert all(value.startswith(FILL_IN) for value in (*creator.values(), metadata["license"]))
    assert re.fullmatch("[0-9a-f]{64}", metadata["version"])
    assert FILL_IN in (unpacked / REVIEW / "README.md").read_text()


def test_the_same_run_gives_the_same_bytes(
    run: RunFolder, review: Review, packed: Path, tmp_path: Path
) -> None:
    write_review(run, tmp_path / packed.name, review)
    assert (tmp_path / packed.name).read_bytes() == packed.read_bytes()


Members = dict[str, bytes]


def members(packed: Path) -> Members:
    with zipfile.ZipFile(packed) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def forged(to: Path, held: Members, manifest: dict[str, object]) -> Path:
    """Write a pack whose seal fits."""
    with to.open("w+b") as handle:
        with zipfile.ZipFile(handle, "w") as archive:
            archive.comment = pack.SEAL + b"0" * 64
            archive.writestr(pack._info("pack.json"), json.dumps(manifest))
            for path, content in held.items():
                archive.writestr(pack._info(path), content)
        pack._seal(handle)
    return to


def with_member(packed: Path, to: Path, name: str, **changes: object) -> Path:
    """Write the pack with another member, which its manifest lists."""
    held = members(packed)
    manifest = json.loads(held.pop("pack.json"))
    held[name] = b"x"
    manifest["members"] = [
        {"path": path, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for path, content in sorted(held.items())
    ]
    return forged(to, held, {**manifest, **changes})


@pytest.mark.parametrize(
    "name", ["review/.hidden", "review/a/../../x.json", "reviews/x.html", "x.html"]
)
def test_no_other_path_comes_in_with_it(packed: Path, tmp_path: Path, name: str) -> None:
    file = with_member(packed, tmp_path / "forged.zip", name)
    with pytest.raises(InputError, match="no path that a pack may hold"):
        import_pack(file, tmp_path / "results")


def test_a_pack_of_another_version_has_no_review(packed: Path, tmp_path: Path) -> None:
    file = with_member(packed, tmp_path / "forged.zip", "review/x.html", version=1)
    with pytest.raises(InputError, match="no path that a pack may hold"):
        import_pack(file, tmp_path / "results")


def test_a_changed_page_is_refused(packed: Path, tmp_path: Path) -> None:
    held = members(packed)
    manifest = json.loads(held.pop("pack.json"))
    held["review/report/report.html"] += b" "
    with pytest.raises(InputError, match=r"report\.html in it is not the file that was packed"):
        import_pack(forged(tmp_path / "forged.zip", held, manifest), tmp_path / "results")


def test_for_takes_one_word(run: RunFolder, cli: CommandLine) -> None:
    ended = cli("pack", f"run={run.id}", "for=readers", f"run.results={run.path.parent.parent}")
    assert ended.code == 2 and "for=readers: use for=review" in ended.err
