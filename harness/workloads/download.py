"""Fetch the Gluon zoo's weights, only when the user asked for it, verified by MXNet's own digest."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.request
import zipfile
from pathlib import Path
from typing import IO, Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

from mxnet.gluon.model_zoo import model_store

from harness.errors import InputError, without_credentials
from harness.files import durable, locks
from harness.process.variables import MODELS

REPOSITORY = "https://apache-mxnet.s3-accelerate.dualstack.amazonaws.com/"
MOST_BYTES = 1 << 30  # of an archive and of the weights in it; vgg19's have 0.55 GB
ATTEMPTS = 5  # each goes on where the one before broke off
PATIENCE_S = 60  # for the next bytes
BLOCK = 1 << 20
BROKEN = (http.client.HTTPException, OSError, zipfile.BadZipFile, ValueError, NotImplementedError,
          RuntimeError, EOFError)  # fmt: skip


class RefusedDownload(ValueError):
    """The server's answer is refused; trying again does not help."""


def zoo_weights(network: str) -> Path:
    """Return the zoo's weights of ``network``, downloaded into the cache on first use.

    Over HTTPS only, redirections included; proxies and certificates as the environment says. What
    was fetched of an archive stays beside the weights until it is whole, and the next attempt asks
    for the rest. Only the one expected member is read, into a file of ours, and used if its SHA-1 is
    the one that MXNet ships (``mxnet.gluon.model_zoo.model_store``); nobody publishes digests of
    the archives. ``MXNET_GLUON_REPO`` names a mirror, as it does for MXNet.

    Raises:
        InputError: the zoo has no weights of that name, they cannot be fetched, or their digest is
            not the expected one.
    """
    if network not in model_store._model_sha1:
        raise InputError(f"the zoo has no weights for {network}: give workload.params=FILE")
    expected = model_store._model_sha1[network]
    stem = f"{network}-{model_store.short_hash(network)}"
    folder = Path(os.environ["INC_BENCH_CACHE"]) / MODELS
    path = folder / f"{stem}.params"
    url = f"{os.environ.get('MXNET_GLUON_REPO', REPOSITORY).rstrip('/')}/gluon/models/{stem}.zip"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locks.held(folder / f"{stem}.lock"):  # another process finds what this one fetched
            if not (path.is_file() and _sha1(path) == expected):
                _fetch(url, folder / f"{stem}.zip.part", path, expected)
    except (*BROKEN, RefusedDownload) as error:
        said = str(error) or type(error).__name__
        raise InputError(
            f"the weights of {network} could not be fetched from {without_credentials(url)} ({said}): "
            "start again, which goes on where it broke off, check https_proxy and MXNET_GLUON_REPO, "
            "or download them by hand and give workload.params=FILE"
        ) from None
    return path


def _fetch(url: str, packed: Path, path: Path, expected: str) -> None:
    for attempt in range(ATTEMPTS):
        try:
            _download(url, packed)
            break
        except RefusedDownload:
            raise
        except HTTPError as error:
            if error.code < 500 or attempt == ATTEMPTS - 1:
                raise
        except (http.client.HTTPException, OSError):
            if attempt == ATTEMPTS - 1:
                raise
    unpacked = path.with_suffix(f".{os.getpid()}.part")
    try:
        with zipfile.ZipFile(packed) as archive, unpacked.open("wb") as out:
            digest = _unpack(archive, path.name, out)
        if digest != expected:
            raise RefusedDownload(f"the weights have SHA-1 {digest}, expected {expected}: not used")
        durable.sync(unpacked)
        durable.put(unpacked, path)
    except KeyError:
        raise RefusedDownload(f"the archive does not hold {path.name}") from None
    finally:
        unpacked.unlink(missing_ok=True)
        packed.unlink(missing_ok=True)  # whole, and taken or refused
        _tag(packed).unlink(missing_ok=True)


def _download(url: str, packed: Path) -> None:
    """Fetch the missing rest of ``packed``; fetch a file that changed on the server anew."""
    tag = _tag(packed)
    have = packed.stat().st_size if packed.is_file() and tag.is_file() else 0
    request = urllib.request.Request(_secure(url))
    if have:
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", tag.read_text(encoding="latin-1"))
    opener = urllib.request.build_opener(_SecureRedirects)
    try:
        answer = opener.open(request, timeout=PATIENCE_S)
    except HTTPError as error:
        if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            packed.unlink()  # it is no beginning of what the server has
            raise ConnectionError("the part that was there is not of this file") from None
        raise
    with answer:
        goes_on = answer.status == http.client.PARTIAL_CONTENT
        if goes_on and not answer.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            raise RefusedDownload("the server sent another range than was asked for")
        have = have if goes_on else 0
        length = answer.headers.get("Content-Length")
        if length is not None and have + int(length) > MOST_BYTES:
            raise RefusedDownload(
                f"it has {have + int(length)} bytes, at most {MOST_BYTES} are taken"
            )
        version = answer.headers.get("ETag") or answer.headers.get("Last-Modified")
        if version and not version.startswith("W/"):
            tag.write_text(version, encoding="latin-1")
        else:
            tag.unlink(missing_ok=True)
        with packed.open("ab" if goes_on else "wb") as out:
            got = _copy(answer, out, MOST_BYTES - have)
    if length is not None and got < int(length):
        raise ConnectionError(f"the connection ended after {got} of {length} bytes")


def _unpack(archive: zipfile.ZipFile, name: str, out: IO[bytes]) -> str:
    """Write the member ``name`` to our own file, up to the allowed size; return its SHA-1."""
    digest = hashlib.sha1()
    with archive.open(name) as member:
        _copy(member, out, MOST_BYTES, digest.update)
    return digest.hexdigest()


def _copy(source: Any, out: IO[bytes], most: int, look: Any = lambda block: None) -> int:
    copied = 0
    while block := source.read(BLOCK):
        copied += len(block)
        if copied > most:
            raise RefusedDownload(f"it has more than the {MOST_BYTES} bytes that are taken")
        look(block)
        out.write(block)
    return copied


def _secure(url: str) -> str:
    if urlsplit(url).scheme != "https":
        raise RefusedDownload(f"{without_credentials(url)} is not HTTPS")
    return url


class _SecureRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        return super().redirect_request(req, fp, code, msg, headers, _secure(newurl))


def _tag(packed: Path) -> Path:
    """Return the path of the file with the server's tag of this version."""
    return packed.with_suffix(".tag")


def _sha1(path: Path) -> str:
    digest = hashlib.sha1()
    with path.open("rb") as handle:
        while block := handle.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
