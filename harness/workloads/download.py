"""Fetch the Gluon zoo's weights, only when the user asked for it, verified by MXNet's own digest."""

from __future__ import annotations

import hashlib
import os
import urllib.request
import zipfile
from pathlib import Path

from mxnet.gluon.model_zoo import model_store

from harness.errors import InputError

REPOSITORY = "https://apache-mxnet.s3-accelerate.dualstack.amazonaws.com/"


def zoo_weights(network: str) -> Path:
    """Return the zoo's weights of ``network``, downloaded into the cache on first use.

    ``MXNET_GLUON_REPO`` names a mirror, as it does for MXNet. The SHA-1 is the one that MXNet ships
    (``mxnet.gluon.model_zoo.model_store``).

    Raises:
        InputError: the zoo has no weights of that name, they cannot be fetched, or their digest is
            not the expected one.
    """
    if network not in model_store._model_sha1:
        raise InputError(f"the zoo has no weights for {network}: give workload.params=FILE")
    expected = model_store._model_sha1[network]
    stem = f"{network}-{model_store.short_hash(network)}"
    folder = Path(os.environ["INC_BENCH_CACHE"]) / "models"
    path = folder / f"{stem}.params"
    if path.is_file() and _sha1(path.read_bytes()) == expected:
        return path
    url = f"{os.environ.get('MXNET_GLUON_REPO', REPOSITORY).rstrip('/')}/gluon/models/{stem}.zip"
    packed, part = (folder / f"{stem}.{os.getpid()}.{kind}" for kind in ("zip", "part"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        weights = _fetched(url, packed, path.name)
        if _sha1(weights) != expected:
            raise InputError(
                f"{url} has SHA-1 {_sha1(weights)}, expected {expected}: not used; check the mirror "
                "or give workload.params=FILE"
            )
        part.write_bytes(weights)
        part.replace(path)
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"the weights of {network} could not be fetched from {url} ({error}): download them "
            "by hand and give workload.params=FILE"
        ) from None
    finally:
        packed.unlink(missing_ok=True)
        part.unlink(missing_ok=True)
    return path


def _fetched(url: str, packed: Path, name: str) -> bytes:
    """Return the member ``name`` of the zip at ``url``, by way of the file ``packed``."""
    with urllib.request.urlopen(url, timeout=60) as answer, packed.open("wb") as out:
        while block := answer.read(1 << 20):
            out.write(block)
    with zipfile.ZipFile(packed) as archive:
        return archive.read(name)


def _sha1(data: bytes) -> str:
    return hashlib.sha1(data).hexdigest()
