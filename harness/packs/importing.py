"""Take in a pack: nothing is visible before every byte of it was verified."""

from __future__ import annotations

import hashlib
import hmac
import os
import shutil
import stat
import struct
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from harness.errors import HarnessError, InputError
from harness.facts.faults import is_name
from harness.files import durable, locks, whole_files
from harness.files.reading import BROKEN, parse_json
from harness.packs import pack, signing
from harness.packs.pack import Manifest
from harness.storage import store
from harness.storage.plan import FOREIGN
from harness.storage.store import PLAN, RunFolder
from harness.table.loaded_run import load_run

STAGING = ".importing"  # under results/: what is in it is not verified yet
MOST_MANIFEST = 1 << 24  # and of zip's own list of members
MOST_TOTAL = 1 << 34
MEMBER = {"path": str, "bytes": int, "sha256": str}
VERSIONS = (pack.VERSION, pack.REVIEW_VERSION)
ENCRYPTED = 1
END = struct.Struct("<4s4H2LH")  # zip's end of central directory, which the comment follows
END_MAGIC = b"PK\5\6"


@dataclass(frozen=True)
class Imported:
    """A pack that was taken in.

    Attributes:
        sha256: of the file, as ``sha256sum`` gives it.
        known: whether the same run was there before.
        signed_by: the name of the trusted key that signed it; None if none was asked for.
    """

    folder: RunFolder
    manifest: Manifest
    sha256: str
    known: bool
    signed_by: str | None = None


def import_pack(
    file: Path, results: Path, run: str | None = None, trust: Path | None = None
) -> Imported:
    """Verify a pack and put its run under ``results``; a run that is there already stays untouched.

    Args:
        run: the id that it must have.
        trust: a file of public keys, by one of which it has to be signed (``harness/packs/signing.py``).

    Raises:
        InputError: the file is no pack, was changed, or holds what no pack may hold; it is not signed
            by a key of ``trust``; the run is another, or is there with other content; there is no
            space.
    """
    try:
        with file.open("rb") as handle:
            sha256 = _unsealed(handle, file)
            whole_files.make_folder(results, "run.results")
            with _staging(results) as staging, zipfile.ZipFile(handle) as archive:
                manifest = _manifest(archive, file)
                if run not in (None, manifest.run):
                    raise InputError(f"file={file} holds run {manifest.run}, and {run} was ordered")
                signer = signing.signer_of(manifest.to_json(), file, trust) if trust else None
                folder = RunFolder(staging / manifest.machine / manifest.run)
                _unpack(archive, manifest, folder, file)
                if signer is not None:
                    whole_files.write_json(folder.path / store.SIGNED, {"signed_by": signer})
                _check_readable(folder, manifest, file)
                _mark(folder)
                known = _place(folder, results, manifest, file)
    except OSError as error:
        where = str(error.filename or file)
        if where == str(file):
            raise InputError(f"file={file}: {error.strerror}; check the path") from None
        raise InputError(f"file={file}: {where}: {error.strerror}; check both paths") from None
    except BROKEN as error:
        raise InputError(f"file={file} is no whole pack ({error}): fetch it again") from None
    taken = RunFolder(results / manifest.machine / manifest.run)
    return Imported(taken, manifest, sha256, known, signer)


def _unsealed(handle: IO[bytes], file: Path) -> str:
    """Check the digest at the end, and that nothing stands before or after the archive.

    Returns:
        the SHA-256 of the whole file.
    """
    size = handle.seek(0, os.SEEK_END)
    at = size - END.size - pack.SEAL_BYTES
    handle.seek(max(at, 0))
    tail = handle.read()
    seal = tail[END.size :]
    if at < 0 or tail[:4] != END_MAGIC or not seal.startswith(pack.SEAL):
        raise InputError(
            f"file={file} is no pack, or a part of one: ./run.sh pack run=ID writes one"
        )
    handle.seek(0)
    digest, left = hashlib.sha256(), size - 64
    while block := handle.read(min(pack.BLOCK, left)):
        digest.update(block)
        left -= len(block)
    if not hmac.compare_digest(digest.hexdigest().encode(), seal[len(pack.SEAL) :]):
        raise InputError(
            f"file={file} is not as it was written: its SHA-256 is not the one at its end; fetch it "
            "again"
        )
    *_, directory_bytes, directory_at, _ = END.unpack(tail[: END.size])
    if directory_at + directory_bytes != at or directory_bytes > MOST_MANIFEST:
        raise InputError(f"file={file} is no pack: its list of members is not one that pack writes")
    digest.update(seal[len(pack.SEAL) :])
    return digest.hexdigest()


@contextmanager
def _staging(results: Path) -> Iterator[Path]:
    """Give an empty folder beside the runs to one import at a time; remove what it leaves."""
    staging = results / STAGING
    with locks.held(results):
        shutil.rmtree(staging, ignore_errors=True)  # of an import that was killed
        staging.mkdir()
        try:
            yield staging
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _manifest(archive: zipfile.ZipFile, file: Path) -> Manifest:
    """Read the manifest and hold the archive's own list of members against it."""
    infos = archive.infolist()
    names = [info.filename for info in infos]
    if names[:1] != [store.PACKED]:
        raise InputError(f"file={file} is no pack: its first member is not {store.PACKED}")
    _check_member(infos[0], MOST_MANIFEST, file)
    with archive.open(infos[0]) as source:
        manifest = _parsed(source.read(MOST_MANIFEST), file)
    paths = [member.path for member in manifest.members]
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice or len(set(paths)) < len(paths):
        raise InputError(f"file={file} has a member twice: {', '.join(twice[:5]) or 'in its list'}")
    for kind, odd in (
        ("lacks", sorted(set(paths) - set(names))),
        ("has, and does not list,", sorted(set(names[1:]) - set(paths))),
    ):
        if odd:
            raise InputError(f"file={file} {kind} {', '.join(odd[:5])}: it is no whole pack")
    for info in infos[1:]:
        name = info.filename
        if not (manifest.is_for_reviewers(name) or pack.travels(name, manifest.models)):
            raise InputError(f"file={file}: {info.filename!r} is no path that a pack may hold")
        _check_member(info, pack.MOST_BYTES, file)
    return manifest


def _parsed(text: bytes, file: Path) -> Manifest:
    try:
        stored = parse_json(text)
        if stored["format"] != pack.FORMAT:
            raise ValueError(f"format {stored['format']!r}")
        if stored["version"] not in VERSIONS:
            read = " and ".join(map(str, VERSIONS))
            raise InputError(
                f"file={file} has pack version {stored['version']}, this version reads {read}: use the "
                f"version that wrote it, {stored.get('harness')}"
            )
        for member in stored["members"]:
            if {key: type(value) for key, value in member.items()} != MEMBER or member["bytes"] < 0:
                raise ValueError(f"the member {member!r}")
        members = tuple(pack.Member(**member) for member in stored["members"])
        manifest = Manifest(**{**stored, "members": members})
        for name in (manifest.run, manifest.machine):
            if not is_name(name):
                raise ValueError(f"{name!r} is no plain name")
        if not isinstance(manifest.models, bool):
            raise ValueError(f"models is {manifest.models!r}")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(f"file={file} is no pack: {store.PACKED} in it has {error}") from None
    return manifest


def _check_member(info: zipfile.ZipInfo, most: int, file: Path) -> None:
    if info.is_dir() or not stat.S_ISREG(info.external_attr >> 16):
        raise InputError(f"file={file}: {info.filename} in it is not a plain file")
    if info.flag_bits & ENCRYPTED:
        raise InputError(f"file={file}: {info.filename} in it is encrypted")
    if info.file_size > most:
        raise InputError(
            f"file={file}: {info.filename} in it has {info.file_size} bytes, at most {most} are "
            "allowed"
        )


def _unpack(archive: zipfile.ZipFile, manifest: Manifest, folder: RunFolder, file: Path) -> None:
    """Write every file of the run, never more of it than the manifest says.

    What is for reviewers is checked in the same way and not kept: a page from elsewhere has no place
    among the runs, and ``./run.sh report`` makes it again.
    """
    free = shutil.disk_usage(folder.path.parent.parent).free
    if not 0 <= manifest.bytes <= min(MOST_TOTAL, free):
        raise InputError(
            f"file={file} unpacks to {manifest.bytes} bytes; {free} are free, and at most "
            f"{MOST_TOTAL} are allowed: free some space or give run.results=DIR"
        )
    folder.path.mkdir(parents=True)
    durable.write(folder.path / store.PACKED, manifest.to_json())
    for member in manifest.members:
        target, mode = folder.path / member.path, "xb"
        if manifest.is_for_reviewers(member.path):
            target, mode = Path(os.devnull), "wb"
        target.parent.mkdir(parents=True, exist_ok=True)
        with archive.open(member.path) as source, target.open(mode) as out:
            written = pack.copy(source, out, member.bytes)
        if written != (member.bytes, member.sha256):
            raise InputError(
                f"file={file}: {member.path} in it is not the file that was packed (its bytes or its "
                "SHA-256 differ): fetch it again"
            )
        if target.suffix == ".npz":
            _check_arrays(target, member.path, file)


def _check_arrays(target: Path, name: str, file: Path) -> None:
    """Refuse an archive of arrays that unfolds beyond what a member may have."""
    with zipfile.ZipFile(target) as arrays:
        if sum(info.file_size for info in arrays.infolist()) > pack.MOST_BYTES:
            raise InputError(f"file={file}: the arrays of {name} in it are too large")


def _check_readable(folder: RunFolder, manifest: Manifest, file: Path) -> None:
    """Make the tables, so that what is taken in can be read: schemas, digests, shapes."""
    try:
        plan = folder.load_plan()
        if plan is None:
            raise HarnessError(f"there is no {PLAN}")
        if plan.run != manifest.run:
            raise HarnessError(f"{PLAN} is of run {plan.run}, {store.PACKED} of {manifest.run}")
        load_run(folder)
    except InputError:
        raise
    except Exception as error:  # whatever a made-up record can bring about
        text = str(error).replace(f"{folder.path}/", "")
        raise InputError(f"file={file} holds no run that this version reads: {text}") from None


def _mark(folder: RunFolder) -> None:
    """Say in the plan itself that it came from elsewhere."""
    plan = folder.path / PLAN
    whole_files.write_json(plan, {**whole_files.load_json(plan), FOREIGN: True})


def _place(folder: RunFolder, results: Path, manifest: Manifest, file: Path) -> bool:
    """Move the run where it belongs; True if the same run is there already."""
    target = results / manifest.machine / manifest.run
    for plan in sorted(results.glob(f"*/{manifest.run}/{PLAN}")):
        if plan.parent == target and _same(RunFolder(target), manifest):
            return True
        raise InputError(
            f"file={file}: run {manifest.run} is in {plan.parent} already, with other content: move "
            "that away, or give run.results=DIR"
        )
    durable.make_folders(target.parent)
    durable.keep((folder.path / member.path for member in manifest.of_run), folder.path)
    durable.put(folder.path, target)
    return False


def _same(folder: RunFolder, manifest: Manifest) -> bool:
    """Compare facts: tables and reports can be made again, and in another form."""
    facts = {
        member
        for member in manifest.of_run
        if "/" in member.path or member.path.endswith((".json", ".npy"))
    }
    return facts <= set(pack.manifest_of(folder, manifest.models).members)
