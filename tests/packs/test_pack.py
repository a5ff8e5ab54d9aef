"""A run travels: the same bytes each time, nothing lost, and nothing tampered with gets in."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import HarnessError, InputError
from harness.files.whole_files import load_json
from harness.packs import importing, pack
from harness.packs.importing import import_pack
from harness.packs.pack import write_pack
from harness.storage.store import HISTORY, RunFolder
from helpers.command_line import TINY, CommandLine, Ended

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def packed(own_run: Ended, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the pack of a run of four rows, two tuned by INC and one without a solution."""
    to = tmp_path_factory.mktemp("packs") / "own.zip"
    write_pack(own_run.folder, to)
    return to


def members(file: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(file) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_what_a_killed_pack_has_left_goes_with_the_next_one(own_run: Ended, tmp_path: Path) -> None:
    left, written = (tmp_path / f".{name}.zip.1{pack.PART_OF_PACK}" for name in ("left", "written"))
    left.touch()
    with written.open("wb") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)  # as the process does that writes it now
        write_pack(own_run.folder, tmp_path / "own.zip")
    assert {path.name for path in tmp_path.iterdir()} == {written.name, "own.zip"}


def nothing_in(results: Path) -> bool:
    return not list(results.rglob("*"))


def forge(
    source: Path,
    to: Path,
    change: Callable[[dict[str, bytes], dict[str, Any]], None],
    info: Callable[[zipfile.ZipInfo], None] = lambda info: None,
    extra: tuple[str, ...] = (),
) -> Path:
    """Write a changed pack whose manifest and seal fit: what only the checks beneath can find."""
    held = members(source)
    manifest = json.loads(held.pop("pack.json"))
    change(held, manifest)
    with to.open("w+b") as handle:
        with zipfile.ZipFile(handle, "w") as archive:
            archive.comment = pack.SEAL + b"0" * 64
            archive.writestr(pack._info("pack.json"), json.dumps(manifest))
            for name, data in held.items():
                made = pack._info(name)
                info(made)
                archive.writestr(made, data)
            for name in extra:
                archive.writestr(pack._info(name), b"again")
        pack._seal(handle)
    return to


def relist(held: dict[str, bytes], manifest: dict[str, Any]) -> None:
    """Let the manifest describe what is held now."""
    import hashlib

    manifest["members"] = [
        {"path": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in sorted(held.items())
    ]


def test_what_travels_and_what_does_not(own_run: Ended, packed: Path, tmp_path: Path) -> None:
    held = set(members(packed))
    there = {
        path.relative_to(own_run.folder.path).as_posix()
        for path in own_run.folder.path.rglob("*")
        if path.is_file()
    }
    assert any(name.endswith(HISTORY) for name in there)
    left = there - held
    assert {Path(name).name for name in left} <= {
        ".lock", HISTORY, "model-symbol.json", "model-0000.params", "deploy.yaml",
    }  # fmt: skip
    write_pack(own_run.folder, tmp_path / "models.zip", models=True)
    more = set(members(tmp_path / "models.zip")) - held
    assert {Path(name).name for name in more} == {"model-symbol.json", "model-0000.params"}
    assert not any(name.endswith(HISTORY) for name in held | more)


def test_a_run_comes_back_to_the_byte(own_run: Ended, packed: Path, cli: CommandLine) -> None:
    ended = cli("import", f"file={packed}")
    assert ended.code == 0, ended.err
    folder = ended.folder
    for name, data in members(packed).items():
        there = (folder.path / name).read_bytes()
        if name == "plan.json":  # the one thing that is added: where it came from
            assert json.loads(there) == {**json.loads(data), "foreign": True}
        else:
            assert there == data
    assert ended.out.count(str(folder.path)) == 1
    again = cli.results.parent / "again.zip"
    told = cli("pack", f"run={folder.id}", f"to={again}")
    assert again.read_bytes() == packed.read_bytes()
    digest = ended.out.split("SHA-256 ")[1]
    assert told.out.endswith(f"SHA-256 {digest}")
    import hashlib

    assert digest.strip() == hashlib.sha256(packed.read_bytes()).hexdigest()
    twice = cli("import", f"file={packed}")
    assert (twice.code, "there already, the same" in twice.out) == (0, True)
    # every reader of records works on it, and says what it cannot have
    assert cli("table", f"run={folder.id}").out == own_run.out
    assert cli("report", f"run={folder.id}").code == 0
    verified = cli("verify", f"run={folder.id}")
    assert verified.code == 0, verified.out + verified.err
    assert (
        pack.manifest_of(folder, False).members == pack.manifest_of(own_run.folder, False).members
    )
    recovered = cli("recover", f"run={folder.id}", "method=int8_kl", "trial=1", *TINY[-2:])
    assert recovered.code == 2 and "recover it where it was measured" in recovered.err
    method = "method=[mine,int8_kl,int8_kl_again,int8_never]"
    reused = cli("run", method, f"run.reuse_tuned={folder.id}", *TINY)
    assert reused.code == 2 and "pack it with models=true" in reused.err
    continued = cli("run", f"run.id={folder.id}", *TINY[-2:])
    assert continued.code == 2 and "was imported" in continued.err


def test_other_content_under_the_same_id_is_refused(packed: Path, tmp_path: Path) -> None:
    folder = import_pack(packed, tmp_path).folder
    (folder.path / "table.md").write_text("shown otherwise")  # derived: it can be made again
    assert import_pack(packed, tmp_path).known
    record = next((folder.path / "records").iterdir())
    record.write_text(record.read_text() + " ")
    before = record.read_bytes()
    with pytest.raises(InputError, match="already, with other content"):
        import_pack(packed, tmp_path)
    assert record.read_bytes() == before
    shutil.move(folder.path.parent, tmp_path / "other-machine")
    with pytest.raises(InputError, match="already, with other content"):
        import_pack(packed, tmp_path)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_changed_byte_is_found(packed: Path, tmp_path: Path, data: st.DataObject) -> None:
    whole = packed.read_bytes()
    # the ends have the structure that an archive is found by, so they are tried more often
    ends = st.one_of(st.integers(0, 200), st.integers(len(whole) - 200, len(whole) - 1))
    at = data.draw(st.one_of(st.integers(0, len(whole) - 1), ends))
    changed = bytearray(whole)
    changed[at] ^= data.draw(st.integers(1, 255))
    (tmp_path / "changed.zip").write_bytes(changed)
    results = tmp_path / "results"
    with pytest.raises(InputError, match=r"changed\.zip"):
        import_pack(tmp_path / "changed.zip", results)
    assert nothing_in(results)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_part_or_addition_is_found(packed: Path, tmp_path: Path, data: st.DataObject) -> None:
    whole = packed.read_bytes()
    cut = data.draw(st.integers(0, len(whole) - 1))
    junk = data.draw(st.binary(min_size=1, max_size=100))
    for changed in (whole[:cut], whole[cut + 1 :], whole + junk, junk + whole, junk):
        (tmp_path / "changed.zip").write_bytes(changed)
        with pytest.raises(InputError, match=r"changed\.zip"):
            import_pack(tmp_path / "changed.zip", tmp_path / "results")
    assert nothing_in(tmp_path / "results")


def renamed(name: str) -> Callable[[dict[str, bytes], dict[str, Any]], None]:
    def change(held: dict[str, bytes], manifest: dict[str, Any]) -> None:
        held[name] = held.pop("table.csv")
        relist(held, manifest)

    return change


@pytest.mark.parametrize(
    "name",
    ["../up.csv", "a/../../up.csv", "/tmp/abs.csv", ".hidden.csv", "a//b.csv", "a\\b.csv", "./a.csv",
     "methods/mine/history.snapshot", f"methods/mine/{HISTORY}", "run.py",
     "methods/mine/validate.log/x.csv", "report/table.csv",
     "model-0000.params", "a\n.csv"],
)  # fmt: skip
def test_no_path_leads_elsewhere(packed: Path, tmp_path: Path, name: str) -> None:
    forged = forge(packed, tmp_path / "forged.zip", renamed(name))
    with pytest.raises(InputError, match=r"no path that a pack may hold|File exists"):
        import_pack(forged, tmp_path / "results")
    assert nothing_in(tmp_path / "results") and not (tmp_path / "up.csv").exists()


def changed(**fields: Any) -> Callable[[dict[str, bytes], dict[str, Any]], None]:
    return lambda held, manifest: manifest.update(fields)


def listed(**fields: Any) -> Callable[[dict[str, bytes], dict[str, Any]], None]:
    return lambda held, manifest: manifest["members"][0].update(fields)


def plan_with(**fields: Any) -> Callable[[dict[str, bytes], dict[str, Any]], None]:
    def change(held: dict[str, bytes], manifest: dict[str, Any]) -> None:
        held["plan.json"] = json.dumps({**json.loads(held["plan.json"]), **fields}).encode()
        relist(held, manifest)

    return change


def with_data(name: str, data: bytes) -> Callable[[dict[str, bytes], dict[str, Any]], None]:
    def change(held: dict[str, bytes], manifest: dict[str, Any]) -> None:
        held[name] = data
        relist(held, manifest)

    return change


def without(name: str, listed: bool) -> Callable[[dict[str, bytes], dict[str, Any]], None]:
    def change(held: dict[str, bytes], manifest: dict[str, Any]) -> None:
        del held[name]
        if not listed:
            relist(held, manifest)

    return change


FORGED: dict[str, tuple[Callable[[dict[str, bytes], dict[str, Any]], None], str]] = {
    "missing": (without("labels.npy", listed=True), "lacks labels.npy"),
    "unreadable": (without("labels.npy", listed=False), "holds no run that this version reads"),
    "no plan": (without("plan.json", listed=False), "there is no plan.json"),
    "extra": (lambda held, manifest: held.update({"x.csv": b""}), "does not list, x.csv"),
    "other digest": (listed(sha256="0" * 64), "not the file that was packed"),
    "fewer bytes": (listed(bytes=1), "not the file that was packed"),
    "more bytes": (listed(bytes=10**6), "not the file that was packed"),
    "negative bytes": (listed(bytes=-1), "the member"),
    "too many bytes": (listed(bytes=1 << 60), "unpacks to"),
    "odd member": (listed(path=["x"]), "the member"),
    "version": (changed(version=3), "pack version 3, this version reads 1 and 2"),
    "format": (changed(format="another"), "format 'another'"),
    "unknown field": (changed(more=1), "more"),
    "run id": (changed(run="../x"), "no plain name"),
    "machine": (changed(machine="a/b"), "no plain name"),
    "hidden machine": (changed(machine=".x"), "no plain name"),
    "models": (changed(models="yes"), "models is 'yes'"),
    "another run's plan": (plan_with(run="another"), "plan.json is of run another"),
    "plan schema": (plan_with(schema=99), "plan schema 99"),
    "plan of no kind": (with_data("plan.json", b"[]"), "plan schema None"),
    "no JSON": (with_data("plan.json", b"{"), "cannot be read"),
    "labels of no kind": (with_data("labels.npy", b"x" * 100), "holds no run"),
    "a pickle as labels": (
        with_data("labels.npy", b"\x93NUMPY\1\0v\0" + b"{'descr': '|O', 'fortran_order': False, "
                  b"'shape': (1,)}".ljust(117) + b"\n" + b"cos\nsystem\n(S'touch pwned'\ntR."),
        "holds no run",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_pack_is_refused(packed: Path, tmp_path: Path, name: str) -> None:
    change, says = FORGED[name]
    forged = forge(packed, tmp_path / "forged.zip", change)
    with pytest.raises(InputError, match=says) as refused:
        import_pack(forged, tmp_path / "results")
    assert "forged.zip" in str(refused.value) and ".importing" not in str(refused.value)
    assert nothing_in(tmp_path / "results") and not Path("pwned").exists()


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFDIR, stat.S_IFCHR, stat.S_IFBLK, 0])
def test_only_plain_files_get_in(packed: Path, tmp_path: Path, kind: int) -> None:
    def info(made: zipfile.ZipInfo) -> None:
        if made.filename == "table.csv":
            made.external_attr = (kind | 0o644) << 16

    forged = forge(packed, tmp_path / "forged.zip", lambda held, manifest: None, info)
    with pytest.raises(InputError, match=r"table\.csv in it is not a plain file"):
        import_pack(forged, tmp_path / "results")
    assert nothing_in(tmp_path / "results")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice_is_refused(packed: Path, tmp_path: Path) -> None:
    forged = forge(
        packed, tmp_path / "forged.zip", lambda held, manifest: None, extra=("table.csv",)
    )
    with pytest.raises(InputError, match="a member twice: table"):
        import_pack(forged, tmp_path / "results")


def test_a_bomb_stops_at_what_the_manifest_says(packed: Path, tmp_path: Path) -> None:
    def bomb(held: dict[str, bytes], manifest: dict[str, Any]) -> None:
        held["table.csv"] = b"0" * 50_000_000  # a few kilobytes in the archive

    forged = forge(packed, tmp_path / "forged.zip", bomb)
    with pytest.raises(InputError, match="not the file that was packed"):
        import_pack(forged, tmp_path / "results")
    limit, importing.MOST_TOTAL = importing.MOST_TOTAL, 1000
    try:
        with pytest.raises(InputError, match="at most 1000 are allowed"):
            import_pack(packed, tmp_path / "results")
    finally:
        importing.MOST_TOTAL = limit


def test_a_bomb_inside_the_arrays(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = next(name for name in members(packed) if name.endswith("predictions.npz"))
    np.savez_compressed(tmp_path / "bomb.npz", top=np.zeros(20_000_000, np.uint8))
    data = (tmp_path / "bomb.npz").read_bytes()
    forged = forge(packed, tmp_path / "forged.zip", with_data(name, data))
    monkeypatch.setattr(pack, "MOST_BYTES", 1_000_000)
    with pytest.raises(InputError, match="too large"):
        import_pack(forged, tmp_path / "results")


def test_files_that_are_no_packs(tmp_path: Path, cli: CommandLine) -> None:
    (tmp_path / "empty.zip").touch()
    (tmp_path / "text.zip").write_text("a text\n" * 100)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("a.txt", "a")
    for name in ("empty.zip", "text.zip", "other.zip"):
        with pytest.raises(InputError, match=f"{name} is no pack"):
            import_pack(tmp_path / name, tmp_path / "results")
    ended = cli("import", f"file={tmp_path}/none.zip")
    assert (ended.code, "none.zip" in ended.err) == (2, True)
    assert cli("import", f"file={tmp_path}").code == 2  # a folder
    assert cli("import").code == 2
    assert cli("pack", "run=none").code == 2


def test_what_a_killed_import_left_is_removed(packed: Path, tmp_path: Path) -> None:
    (tmp_path / importing.STAGING / "m" / "r").mkdir(parents=True)
    (tmp_path / importing.STAGING / "m" / "r" / "plan.json").write_text("{}")
    import_pack(packed, tmp_path)
    assert not (tmp_path / importing.STAGING).exists()


@pytest.fixture
def mine(own_run: Ended, cli: CommandLine) -> RunFolder:
    return cli.copy_of(own_run)


def test_what_cannot_be_packed(mine: RunFolder, tmp_path: Path, cli: CommandLine) -> None:
    with mine.locked():
        ended = cli("pack", f"run={mine.id}")
        assert (ended.code, "another process" in ended.err) == (2, True)
    for word in ("models=yes", f"to={tmp_path}", "run.nothing=1"):
        assert cli("pack", f"run={mine.id}", word).code == 2, word
    os.symlink("/etc/passwd", mine.path / "link.csv")
    with pytest.raises(InputError, match="is a link"):
        write_pack(mine, tmp_path / "x.zip")
    (mine.path / "link.csv").unlink()
    name = next(iter(mine.load_records())).method
    predictions = mine.method(name) / "predictions.npz"
    predictions.write_bytes(predictions.read_bytes()[:-1])
    with pytest.raises(HarnessError, match="not the file that was recorded"):
        write_pack(mine, tmp_path / "x.zip")
    (mine.path / "labels.npy").unlink()
    with pytest.raises(InputError, match="has measured nothing yet"):
        write_pack(mine, tmp_path / "x.zip")
    assert not list(tmp_path.glob("*x.zip*"))
    assert load_json(mine.path / "plan.json")["run"] == mine.id
