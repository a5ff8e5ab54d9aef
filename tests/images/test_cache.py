"""The cache of prepared images: limit, holds, damage, and the verb that lists and clears it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness import PROJECT
from harness.cli import call
from harness.errors import HarnessError, InputError
from harness.images import cache
from harness.images.cache import GB, CacheEntry
from harness.images.preparation import Place
from harness.images.prepared import FORMAT, Prepared
from helpers.command_line import TINY, CommandLine, until
from helpers.preparing import ensured

IMAGE_BYTES = 56 * 56 * 3
HOLDER = """
import sys
from pathlib import Path
from harness.images import cache
held = cache.hold(cache.CacheEntry(Path(sys.argv[1])))
print("held", flush=True)
sys.stdin.read()
"""
SLOW_MAKER = """
import sys
from pathlib import Path
from harness.images import cache
with cache.hold(cache.CacheEntry(Path(sys.argv[1]))).alone():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "cache" / "prepared"
    made.mkdir(parents=True)
    return made


@pytest.fixture
def place(folder: Path) -> Place:
    return Place(folder.parent, GB)


def made(folder: Path, key: str, size: int = 100, age_s: int = 0) -> CacheEntry:
    """Make a whole entry of ``size`` bytes that was last used so many seconds ago."""
    entry = CacheEntry(folder / key)
    content = bytes(range(size % 256)) + bytes(size - size % 256)
    entry.pixels.write_bytes(content)
    told = {
        "format": FORMAT,
        "key": key,
        "record": {"path": f"/data/{key}.rec", "sha256": "0" * 64},
        "images": 2,
        "transform": {"resize": 8, "keep_ratio": True, "crop": 7},
        "bytes": size,
        "ranges": [
            {"start": 0, "stop": 1, "crc32": zlib.crc32(content[: size // 2])},
            {"start": 1, "stop": 2, "crc32": zlib.crc32(content[size // 2 :])},
        ],
    }
    entry.sidecar.write_text(json.dumps(told))
    used = time.time() - age_s
    os.utime(entry.sidecar, (used, used))
    return entry


@contextmanager
def held_elsewhere(entry: CacheEntry, code: str = HOLDER) -> Iterator[subprocess.Popen[str]]:
    """Let another process hold an entry until the end of the block."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(entry.stem)],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    try:
        yield process
    finally:
        process.communicate("")


def keys(folder: Path) -> list[str]:
    return [entry.key for entry in cache.entries(folder)]


def words(place: Place, *given: str) -> list[str]:
    return [*given, f"run.cache={place.cache}", f"run.cache_limit_gb={place.limit / GB}"]


def test_the_least_recently_used_goes_first(folder: Path) -> None:
    for key, age in (("new", 1), ("old", 300), ("older", 500), ("middle", 100)):
        made(folder, key, 100, age)
    assert keys(folder) == ["older", "old", "middle", "new"]
    total = sum(entry.bytes for entry in cache.entries(folder))
    cache.make_room(folder, 100, total + 100, "something")
    assert len(keys(folder)) == 4
    cache.make_room(folder, 100, total + 99, "something")
    assert keys(folder) == ["old", "middle", "new"]
    CacheEntry(folder / "old").used()
    cache.make_room(folder, total, total, "all of it")
    assert keys(folder) == []
    assert {path.suffix for path in folder.iterdir()} == {".lock"}


def test_use_is_noted_and_not_reading(folder: Path) -> None:
    for key, age in (("read", 300), ("used", 500)):
        made(folder, key, 100, age)
    CacheEntry(folder / "read").pixels.read_bytes()
    assert CacheEntry(folder / "read").sound()
    CacheEntry(folder / "used").used()
    assert keys(folder) == ["read", "used"]


def test_what_a_process_uses_is_never_evicted(folder: Path) -> None:
    used, free = made(folder, "used", 1000, age_s=900), made(folder, "free", 1000)
    total = used.bytes + free.bytes
    with held_elsewhere(used):
        cache.make_room(folder, 1000, total, "something")
        assert keys(folder) == ["used"]
        with pytest.raises(InputError) as caught:
            cache.make_room(folder, total, total, "something")
        assert keys(folder) == ["used"]
    for part in ("something needs", "runs in progress use", "run.cache_limit_gb=", "wait for them"):
        assert part in str(caught.value)
    cache.make_room(folder, total, total, "something")
    assert keys(folder) == []


def test_what_this_process_uses_is_never_evicted(folder: Path) -> None:
    entry = made(folder, "mine")
    held = cache.hold(entry)
    assert cache.hold(entry) is held  # a second run of the same process would wait for itself
    assert entry.in_use()
    assert not entry.remove_unless_used()
    with held.alone():
        pass
    assert entry.whole()
    held.release()
    assert not entry.in_use()
    assert entry.remove_unless_used()


def test_a_killed_process_holds_nothing(folder: Path) -> None:
    entry = made(folder, "key")
    with held_elsewhere(entry) as process:
        assert entry.in_use()
        process.kill()
        process.wait()
        assert not entry.in_use()


def test_one_that_exceeds_the_limit_deletes_nothing(folder: Path) -> None:
    made(folder, "other")
    with pytest.raises(InputError) as caught:
        cache.make_room(folder, 3 * GB + 1, 3 * GB, "preparing 5 images of my.rec")
    message = str(caught.value)
    assert message.startswith("preparing 5 images of my.rec needs 3.00 GB in the cache ")
    assert "run.cache_limit_gb=3 allows less: give run.cache_limit_gb=3.01 or more" in message
    assert keys(folder) == ["other"]


def damage(entry: CacheEntry) -> dict[str, Callable[[], object]]:
    """Return ways in which an entry is damaged, by name."""
    whole = entry.pixels.read_bytes()
    told = json.loads(entry.sidecar.read_text())
    return {
        "truncated images": lambda: entry.pixels.write_bytes(whole[:-1]),
        "longer images": lambda: entry.pixels.write_bytes(whole + b"0"),
        "no images": entry.pixels.unlink,
        "no sidecar": entry.sidecar.unlink,
        "empty sidecar": lambda: entry.sidecar.write_text(""),
        "half a sidecar": lambda: entry.sidecar.write_text(json.dumps(told)[:-20]),
        "a sidecar that is no object": lambda: entry.sidecar.write_text("[]"),
        "a sidecar with bytes that are no text": lambda: entry.sidecar.write_bytes(b"\xff"),
        "another format": lambda: entry.sidecar.write_text(json.dumps({**told, "format": 1})),
        "another's sidecar": lambda: entry.sidecar.write_text(json.dumps({**told, "key": "b"})),
    }


@pytest.mark.parametrize("kind", range(10))
def test_damage_is_seen(folder: Path, kind: int) -> None:
    entry = made(folder, "key")
    assert entry.whole()
    list(damage(entry).values())[kind]()
    assert not entry.whole()
    assert not entry.sound()


def test_changed_bytes_are_found_by_the_check_alone(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = (made(place.folder, key, 10_000) for key in ("good", "bad"))
    content = bytearray(bad.pixels.read_bytes())
    content[7000] ^= 1
    bad.pixels.write_bytes(content)
    assert bad.whole()
    assert call(["cache", *words(place, "check=good")]) == 0
    assert call(["cache", *words(place, "check=all")]) == 1
    told = capsys.readouterr().out
    assert "good: every checksum is right\n" in told
    assert "bad: damaged; ./run.sh cache clear=bad deletes it" in told
    assert good.whole()


def test_readers_are_told_and_not_killed(folder: Path) -> None:
    prepared = Prepared(folder / "key.u8", 4, 56)
    prepared.path.write_bytes(bytes(range(256)) * (prepared.bytes // 256))
    pixels = prepared.read(1, 3)
    assert pixels.shape == (2, 56, 56, 3)
    assert not pixels.flags.writeable
    assert pixels.tobytes() == prepared.path.read_bytes()[IMAGE_BYTES : 3 * IMAGE_BYTES]
    os.truncate(prepared.path, prepared.bytes - 1)
    with pytest.raises(HarnessError, match=r"key\.u8 has 37631 of 37632 bytes: .*start again"):
        prepared.read(0, 1)
    prepared.path.unlink()
    with pytest.raises(HarnessError, match=r"key\.u8 cannot be read \(No such file.*start again"):
        prepared.read(0, 1)


def test_listing(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["cache", *words(place)]) == 0
    assert capsys.readouterr().out == f"the cache {place.cache} is empty\n"
    made(place.folder, "whole", 20_000_000)
    made(place.folder, "used", age_s=99)
    damage(made(place.folder, "broken"))["truncated images"]()
    (place.folder / "killed.part").write_bytes(bytes(10))
    models = place.cache / "models"
    models.mkdir()
    (models / "resnet50_v2-abc.params").write_bytes(bytes(10**7))
    with held_elsewhere(CacheEntry(place.folder / "used")):
        assert call(["cache", *words(place)]) == 0
    told = capsys.readouterr().out
    rows = {line.split()[0]: line for line in told.splitlines() if line}
    for key, state in (("whole", "whole"), ("used", "in use"), ("broken", "damaged")):
        assert rows[key].endswith(state)
        assert f"{key}.rec" in rows[key]
        assert "8 short side, crop 7" in rows[key]
    assert rows["killed"].endswith("damaged")
    assert "0.02" in rows["whole"]
    assert rows["resnet50_v2-abc"].endswith("model")
    assert "0.02 GB of prepared images, limited to 1 GB by run.cache_limit_gb" in told
    assert "0.01 GB of models" in told


def test_entry_that_is_being_made(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    entry = CacheEntry(place.folder / "key")
    entry.stem.with_suffix(".part").write_bytes(bytes(10))
    with held_elsewhere(entry, SLOW_MAKER):
        call(["cache", *words(place)])
        call(["cache", *words(place, "clear=all")])
    told = capsys.readouterr().out
    assert "being made" in told
    assert "kept key (0.00 GB): a run in progress uses it" in told
    assert call(["cache", *words(place, "clear=all")]) == 0  # now nobody makes it any more
    assert keys(place.folder) == []


def test_clear(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    for key in ("a", "b", "c"):
        made(place.folder, key)
    model = place.cache / "models" / "net-abc.params"
    model.parent.mkdir()
    model.touch()
    assert call(["cache", *words(place, "clear=b")]) == 0
    assert set(keys(place.folder)) == {"a", "c"}
    with held_elsewhere(CacheEntry(place.folder / "a")):
        for key in ("a", "net-abc"):
            with pytest.raises(InputError, match=f"clear={key}: kept .*wait for it or stop it"):
                call(["cache", *words(place, f"clear={key}")])
        assert call(["cache", *words(place, "clear=all")]) == 0
    assert keys(place.folder) == ["a"]
    assert model.exists()
    told = capsys.readouterr().out
    for line in ("deleted b (", "deleted c (", "kept a (", "kept net-abc.params ("):
        assert line in told
    assert call(["cache", *words(place, "clear=net-abc")]) == 0
    assert not model.exists()
    assert call(["cache", *words(place, "clear=all")]) == 0
    assert call(["cache", *words(place, "clear=all")]) == 0
    assert capsys.readouterr().out.endswith("is empty\n")


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (["clear=nothing"], ("clear=nothing", "no such key", "it has known, net-abc")),
        (["check=nothing"], ("check=nothing", "it has known, and")),
        (["clear=known", "check=known"], ("clear= or check=",)),
        (["run.cache_limit_gb=-1"], ("run.cache_limit_gb=-1",)),
        (["run.cache_limit=1"], ("run.cache_limit", "cache_limit_gb")),
    ],
)
def test_wrong_words(place: Place, given: list[str], names: tuple[str, ...]) -> None:
    made(place.folder, "known")
    (place.cache / "models").mkdir()
    (place.cache / "models" / "net-abc.params").touch()
    with pytest.raises(InputError) as caught:
        call(["cache", *given, f"run.cache={place.cache}"])
    assert all(name in str(caught.value) for name in names)
    assert keys(place.folder) == ["known"]


def test_the_verb(tmp_path: Path) -> None:
    command = CommandLine(tmp_path / "results", tmp_path / "cache")
    folder = tmp_path / "cache" / "prepared"
    folder.mkdir(parents=True)
    made(folder, "key")
    words = [sys.executable, "-m", "harness", "cache", f"run.cache={command.cache}"]
    told = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=True)
    assert told.stdout.splitlines()[2].startswith("key ")
    assert told.stderr == ""
    wrong = subprocess.run([*words, "clear=k"], cwd=PROJECT, capture_output=True, text=True)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "clear=k: there is no such key" in wrong.stderr


@pytest.mark.slow
def test_preparing_evicts_and_never_exceeds_the_limit(
    make_record: Callable[..., Path], jpegs: list[bytes], tmp_path: Path
) -> None:
    """Two records, of which one alone fits; the first is in use, then free, then evicted."""
    records = [
        make_record([(number % 10, image) for number, image in enumerate(jpegs[at : at + 8])], name)
        for at, name in ((0, "one.rec"), (8, "two.rec"))
    ]
    cache_folder = tmp_path / "cache"
    limit = 8 * IMAGE_BYTES * 3 // 2
    first, _ = ensured(records[0], cache_folder, limit=limit)
    with pytest.raises(InputError, match=r"run\.cache_limit_gb"):
        ensured(records[1], cache_folder, limit=limit)  # this process uses the first
    assert keys(cache_folder / "prepared") == [first.path.stem]
    cache.hold(CacheEntry(first.path.with_suffix(""))).release()
    second, how = ensured(records[1], cache_folder, limit=limit)
    assert how.cached is False
    assert keys(cache_folder / "prepared") == [second.path.stem]
    with pytest.raises(InputError, match=r"8 images of .*one\.rec needs .* allows less: give"):
        ensured(records[0], cache_folder, limit=8 * IMAGE_BYTES - 1)
    assert keys(cache_folder / "prepared") == [second.path.stem]


@pytest.mark.slow
def test_damaged_entries_are_made_again(
    make_record: Callable[..., Path], jpegs: list[bytes], tmp_path: Path
) -> None:
    record = make_record([(number % 10, image) for number, image in enumerate(jpegs[:3])])
    prepared, _ = ensured(record, tmp_path / "cache", cores=1)
    entry = CacheEntry(prepared.path.with_suffix(""))
    whole = prepared.path.read_bytes()
    for kind in ("truncated images", "half a sidecar", "no sidecar"):
        damage(entry)[kind]()
        again, how = ensured(record, tmp_path / "cache", cores=1)
        assert (again, how.cached, kind) == (prepared, False, kind)
        assert entry.sound()
        assert prepared.path.read_bytes() == whole


@pytest.mark.slow
def test_a_maker_that_is_killed_leaves_nothing_that_counts(
    make_record: Callable[..., Path], jpegs: list[bytes], tmp_path: Path
) -> None:
    record = make_record([(number % 10, image) for number, image in enumerate(jpegs[:3])])
    code = (
        "import sys; from pathlib import Path; from helpers.preparing import ensured\n"
        "ensured(Path(sys.argv[1]), Path(sys.argv[2]))"
    )
    environment = {**os.environ, "PYTHONPATH": f"{PROJECT}:{PROJECT / 'tests'}"}
    folder = tmp_path / "cache" / "prepared"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(record), str(folder.parent)], env=environment
    )
    until(lambda: list(folder.glob("*.log")), "a decoding process")
    process.kill()
    process.wait()
    (entry,) = cache.entries(folder)
    assert not entry.whole()
    # what it was just starting holds the lock as well, until it has become its program
    until(lambda: not entry.in_use(), "the end of what the maker was starting")
    prepared, how = ensured(record, folder.parent, cores=1)
    assert how.cached is False
    assert entry.sound()
    assert {path.suffix for path in folder.glob(f"{prepared.path.stem}*")} == {
        ".json",
        ".lock",
        ".u8",
    }


@pytest.mark.slow
def test_a_run_in_progress_keeps_its_images(tmp_path: Path) -> None:
    command = CommandLine(tmp_path / "results", tmp_path / "cache")
    try:
        running = command.start("method=[waiting]", *TINY)
        waiting = running.makes("*/*/methods/waiting/waiting")
        cleared, listed = command("cache", "clear=all"), command("cache")
        assert (cleared.code, listed.code) == (0, 0)
        assert cleared.out.startswith("kept ")
        assert cleared.out.endswith(": a run in progress uses it\n")
        assert "in use" in listed.out
        refused = command("method=[fp32]", "workload.images=48", "run.cache_limit_gb=2e-4", *TINY)
        assert (refused.code, refused.out) == (2, "")
        assert "runs in progress use" in refused.err
        assert "run.cache_limit_gb=0.0002" in refused.err
        waiting.with_name("go").touch()
        assert running.end().code == 0
        assert command("cache", "clear=all").out.startswith("deleted ")
        assert keys(tmp_path / "cache" / "prepared") == []
    finally:
        command.close()
