"""Who a pack is from: signatures with ed25519 keys in OpenSSH's formats, which ssh-keygen makes.

A signature is a small file beside the pack, ``FILE.sig``. It is over the pack's manifest, which has the
SHA-256 of everything in it. The digest at a pack's end only shows that it arrived whole.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.errors import InputError
from harness.files.reading import read_json, read_plain

FORMAT = "inc-bench signature"
VERSION = 1
SUFFIX = ".sig"
MADE_FOR = b"inc-bench pack, version 1\n"  # a signature of anything else is none of a pack
MOST_BYTES = 1 << 20  # of a file of keys
MAKE_ONE = 'ssh-keygen -t ed25519 -N "" -C NAME -f KEY makes KEY and KEY.pub'


def signed(manifest: bytes, key: Path) -> str:
    """Sign a manifest.

    Args:
        manifest: its JSON.
        key: an ed25519 private key as ssh-keygen writes it, without a passphrase.

    Returns:
        the content of ``FILE.sig``.

    Raises:
        InputError: that is no such key.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_ssh_private_key

    try:
        private: Any = load_ssh_private_key(_read(key, "sign"), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InputError(
            f"sign={key} is no private key without a passphrase ({error}): {MAKE_ONE}"
        ) from None
    if not isinstance(private, Ed25519PrivateKey):
        raise InputError(f"sign={key} is no ed25519 key: {MAKE_ONE}")
    signature = {
        "format": FORMAT,
        "version": VERSION,
        "key": _text(private.public_key().public_bytes_raw()),
        "signature": _text(private.sign(MADE_FOR + manifest)),
    }
    return json.dumps(signature, indent=1) + "\n"


def signer_of(manifest: bytes, file: Path, trust: Path) -> str:
    """Return the name of the trusted key that signed a manifest.

    Args:
        manifest: its JSON.
        file: the pack, beside which ``FILE.sig`` lies.
        trust: public keys as ssh-keygen writes them, one a line; a key's comment is its name.

    Raises:
        InputError: there is no signature, it is not of this manifest, or by none of these keys.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    keys = _trusted(trust)
    beside = file.with_name(file.name + SUFFIX)
    try:
        said = read_json(beside)
        if (said["format"], said["version"]) != (FORMAT, VERSION):
            raise ValueError(f"format {said['format']!r}, version {said['version']!r}")
        key, signature = (
            base64.b64decode(said[name], validate=True) for name in ("key", "signature")
        )
    except FileNotFoundError:
        raise InputError(
            f"file={file} is not signed: {beside} is not there; fetch it as well, or leave trust= out "
            "to take the run in as one of unknown origin"
        ) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{beside} is no signature ({error}): fetch it again") from None
    if key not in keys:
        raise InputError(
            f"file={file} is signed by a key that is not in trust={trust}: ask its sender for the key "
            "by a way that you trust, or leave trust= out"
        )
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, MADE_FOR + manifest)
    except (InvalidSignature, ValueError):
        raise InputError(
            f"file={file} is not what {keys[key]} signed: its signature is of another pack; fetch both "
            "again, and trust neither before that fits"
        ) from None
    return keys[key]


def _trusted(trust: Path) -> Mapping[bytes, str]:
    """Return the names of the keys in a file, by their bytes."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    keys = {}
    for number, line in enumerate(_read(trust, "trust").splitlines(), 1):
        if not line.strip() or line.startswith(b"#"):
            continue
        try:
            public = load_ssh_public_key(line)
            if not isinstance(public, Ed25519PublicKey):
                raise ValueError("it is no ed25519 key")
        except (ValueError, UnsupportedAlgorithm, binascii.Error) as error:
            raise InputError(
                f"trust={trust}: line {number} is no public key ({error}): {MAKE_ONE}"
            ) from None
        words = line.decode("utf-8", "replace").split(None, 2)
        keys[public.public_bytes_raw()] = words[2].strip() if len(words) > 2 else words[1]
    if not keys:
        raise InputError(f"trust={trust} has no key: {MAKE_ONE}")
    return keys


def _read(path: Path, option: str) -> bytes:
    try:
        return read_plain(path, MOST_BYTES)
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else error
        raise InputError(f"{option}={path}: {said}; {MAKE_ONE}") from None


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
