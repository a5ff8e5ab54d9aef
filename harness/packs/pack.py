"""A run as one file: a zip of what a reader of its records needs, with a digest of every byte.

The first member, ``pack.json``, is the manifest: format, run, machine, and every other member with
its bytes and SHA-256, sorted by path. The archive's comment, the file's last bytes, is the SHA-256
of all bytes before it. The same run makes the same bytes: times and modes are fixed.

Models are left out unless asked for: they are large, and no table needs them. Tuning histories stay
where their trials can be recovered.

A pack for review has a folder ``review/`` as well, with what its readers need. Its files have digests
like all others; whoever takes the pack in checks them and does not unpack them.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shlex
import stat
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from harness import __version__
from harness.errors import InputError
from harness.files import durable, locks, whole_files
from harness.host import calls
from harness.packs import signing
from harness.storage import record, store
from harness.storage.plan import FOREIGN
from harness.storage.store import RunFolder
from harness.table.loaded_run import load_run

FORMAT = "inc-bench run"
VERSION = 1
REVIEW_VERSION = 2  # of a pack for review, which versions that read 1 alone do not know
REVIEW = "review"  # the folder of what reviewers read
# What the harness writes and reads again; none of it can run code. A report is made from it.
FOLDERS = (record.RECORDS, record.ROUNDS, record.INSTANCES, record.SERVER, store.METHODS)
SUFFIXES = (".csv", ".json", ".log", ".md", ".npy", ".npz", ".yaml")
PART = r"[\w+=@,-][\w +=@,.-]*"  # a name in a path: not hidden, no way up, nothing odd
PATH = re.compile(rf"{PART}(?:/{PART})*")
MODELS = ("-symbol.json", ".params", ".onnx", ".onnx.data", ".xml", ".bin", ".graph", ".pt")
SEAL = b"sha256:"
SEAL_BYTES = len(SEAL) + 64
MOST_BYTES = (1 << 31) - 1  # of a member, and zip's own limit without its 64-bit extension
BLOCK = 1 << 18
PART_OF_PACK = ".pack.part"  # ends the name of one that is being written


@dataclass(frozen=True)
class Member:
    """A file of a pack; ``path`` is relative to the run's folder, with ``/``."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a pack says of itself.

    Attributes:
        run: the run's id.
        machine: its folder's name under results/.
        models: whether the optimised models travel as well.
        version: REVIEW_VERSION where members are for reviewers, else VERSION.
        members: every file, sorted by path.
        harness: the version that wrote it.
    """

    run: str
    machine: str
    models: bool
    members: tuple[Member, ...]
    harness: str = __version__
    format: str = FORMAT
    version: int = VERSION

    def to_json(self) -> bytes:
        return (json.dumps(asdict(self), indent=1) + "\n").encode()

    @property
    def of_run(self) -> list[Member]:
        """The members that are files of the run."""
        return [member for member in self.members if not self.is_for_reviewers(member.path)]

    def is_for_reviewers(self, path: str) -> bool:
        """Say whether a member is none of the run's files but something that reviewers read."""
        top, *below = path.split("/")
        return bool(
            self.version == REVIEW_VERSION and top == REVIEW and below and PATH.fullmatch(path)
        )

    @property
    def bytes(self) -> int:
        return sum(member.bytes for member in self.members)


def travels(path: str, models: bool) -> bool:
    """Say whether a file of a run's folder belongs into a pack, by its path in that folder."""
    top, *below = path.split("/")
    if (
        path in (store.PACKED, store.SIGNED)
        or not PATH.fullmatch(path)
        or (below and top not in FOLDERS)
    ):
        return False
    return models if path.endswith(MODELS) else path.endswith(SUFFIXES)


def manifest_of(folder: RunFolder, models: bool, review: Path | None = None) -> Manifest:
    """Digest everything that travels of a run.

    Args:
        review: the folder that becomes REVIEW in the pack.

    Raises:
        InputError: a link is among it.
    """
    members = []
    for path in _files(folder.path):
        name = path.relative_to(folder.path).as_posix()
        if not travels(name, models):
            continue
        if path.is_symlink():
            raise InputError(f"{path} is a link, and a pack holds files: replace it by the file")
        if name == store.PLAN:
            content = _plan(path)
            members.append(Member(name, len(content), hashlib.sha256(content).hexdigest()))
        else:
            members.append(Member(name, path.stat().st_size, whole_files.sha256_of(path)))
    if review is not None:
        for path in _files(review):
            name = f"{REVIEW}/{path.relative_to(review).as_posix()}"
            members.append(Member(name, path.stat().st_size, whole_files.sha256_of(path)))
    members.sort(key=lambda member: member.path)
    version = VERSION if review is None else REVIEW_VERSION
    machine = folder.path.parent.name
    return Manifest(folder.id, machine, models, tuple(members), version=version)


def write_pack(
    folder: RunFolder,
    to: Path,
    models: bool = False,
    sign: Path | None = None,
    review: Path | None = None,
) -> tuple[Manifest, str]:
    """Write a run into the file ``to``, whole or not at all.

    Args:
        review: a folder of what reviewers read, for a pack for review.
        sign: a private key; its signature goes into a file beside the pack (``signing.py``).

    Returns:
        the manifest, and the SHA-256 of the file as ``sha256sum`` gives it.

    Raises:
        InputError: the run is being measured, has no table yet, is too large, or ``to`` cannot be
            written.
        HarnessError: one of its files is damaged.
    """
    if to.is_dir():
        raise InputError(f"to={to} is a folder: give the file to write")
    if not to.parent.is_dir():
        raise InputError(
            f"to={to}: there is no folder {to.parent}: type mkdir -p {shlex.quote(str(to.parent))}, or "
            "give to=FILE elsewhere"
        )
    with folder.locked():
        if not folder.labels.is_file():
            raise InputError(
                f"run {folder.id} has measured nothing yet: go on with run.id={folder.id}"
            )
        load_run(folder)  # what cannot be read here could not be read anywhere
        manifest = manifest_of(folder, models, review)
        signature = signing.signed(manifest.to_json(), sign) if sign else None
        part = to.with_name(f".{to.name}.{os.getpid()}{PART_OF_PACK}")
        try:
            _clear_parts(to.parent)
            with part.open("w+b") as handle:
                with suppress(OSError):  # where nothing locks, nothing is cleared either
                    locks.lock_open_file(handle.fileno())
                _write(handle, folder, manifest, review)
                digest = _seal(handle)
                calls.sync(handle.fileno())
            durable.put(part, to)
            if signature is not None:
                beside = to.with_name(to.name + signing.SUFFIX)
                whole_files.write_atomically(beside, signature, "to")
        except OSError as error:
            raise whole_files.unwritable(to, error, "to", "FILE") from None
        except (zipfile.LargeZipFile, RuntimeError):
            raise InputError(
                f"run {folder.id} is too large to pack ({manifest.bytes / 1e9:.1f} GB; 4 GB at most, "
                "2 GB a file): leave models=true out"
            ) from None
        finally:
            with suppress(OSError):
                part.unlink()
    return manifest, digest


def _plan(path: Path) -> bytes:
    """Return a plan as it travels: whoever takes it in marks it as foreign, and nobody before."""
    stored = whole_files.load_json(path)
    if FOREIGN not in stored:
        return path.read_bytes()
    del stored[FOREIGN]
    return whole_files.json_bytes(stored)


def _clear_parts(folder: Path) -> None:
    """Remove what packs that were killed have left in a folder; one being written is locked."""
    for path in folder.glob(f".*{PART_OF_PACK}"):
        with suppress(OSError), path.open("rb") as handle:
            if locks.lock_open_file(handle.fileno()):
                path.unlink()


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        if path.is_file() or path.is_symlink():
            yield path


def _write(handle: IO[bytes], folder: RunFolder, manifest: Manifest, review: Path | None) -> None:
    with zipfile.ZipFile(handle, "w", allowZip64=False) as archive:
        archive.comment = SEAL + b"0" * 64
        archive.writestr(_info(store.PACKED), manifest.to_json())
        for member in manifest.members:
            info = _info(member.path)
            path = folder.path / member.path
            if review is not None and manifest.is_for_reviewers(member.path):
                path = review.joinpath(*member.path.split("/")[1:])
            with (
                io.BytesIO(_plan(path)) if member.path == store.PLAN else path.open("rb") as source,
                archive.open(info, "w") as out,
            ):
                written = copy(source, out, MOST_BYTES)
            if written != (member.bytes, member.sha256):
                raise InputError(f"{path} changed meanwhile: pack it again")


def _info(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)  # of 1980, the earliest that zip knows
    info.compress_type = zipfile.ZIP_DEFLATED
    info.create_system = 3  # Unix
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    return info


def _seal(handle: IO[bytes]) -> str:
    """Put the digest of all bytes before it at the end; return the whole file's."""
    size = handle.seek(0, os.SEEK_END) - 64
    handle.seek(0)
    digest = hashlib.sha256()
    left = size
    while left and (block := handle.read(min(BLOCK, left))):
        digest.update(block)
        left -= len(block)
    seal = digest.hexdigest().encode()
    handle.seek(size)
    handle.write(seal)
    handle.flush()
    digest.update(seal)
    return digest.hexdigest()


def copy(source: IO[bytes], target: IO[bytes], most: int) -> tuple[int, str]:
    """Copy at most ``most`` bytes, and one more if there are more, in blocks.

    Returns:
        how many were copied, and their SHA-256.
    """
    digest, copied = hashlib.sha256(), 0
    while block := source.read(min(BLOCK, most + 1 - copied)):
        digest.update(block)
        target.write(block)
        copied += len(block)
    return copied, digest.hexdigest()
