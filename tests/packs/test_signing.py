"""A signed pack: taken in as its signer's, and refused where the signature does not fit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization as form
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from harness import PROJECT
from harness.errors import InputError
from harness.packs.importing import import_pack
from harness.packs.pack import write_pack
from harness.packs.signing import SUFFIX
from harness.packs.signing import signed as sign
from harness.storage.store import SIGNED, RunFolder

EXAMPLE = PROJECT / "results" / "example" / "published"


def key_of(folder: Path, name: str) -> tuple[Path, Path]:
    """Write a private and a public key as ssh-keygen does."""
    key = Ed25519PrivateKey.generate()
    private, public = folder / name, folder / f"{name}.pub"
    private.write_bytes(
        key.private_bytes(form.Encoding.PEM, form.PrivateFormat.OpenSSH, form.NoEncryption())
    )
    made = key.public_key().public_bytes(form.Encoding.OpenSSH, form.PublicFormat.OpenSSH)
    public.write_bytes(made + f" {name}\n".encode())
    return private, public


@pytest.fixture
def signed(tmp_path: Path) -> tuple[Path, Path]:
    """Return a signed pack and the file of keys that it is trusted by."""
    folder = tmp_path / "source" / "example" / "published"
    shutil.copytree(EXAMPLE, folder)
    private, public = key_of(tmp_path, "our runner")
    write_pack(RunFolder(folder), tmp_path / "run.zip", sign=private)
    other = key_of(tmp_path, "another")[1]
    trust = tmp_path / "trust"
    trust.write_bytes(b"# ours\n" + other.read_bytes() + public.read_bytes())
    return tmp_path / "run.zip", trust


def test_a_signed_pack_is_taken_in_as_its_signers(
    signed: tuple[Path, Path], tmp_path: Path
) -> None:
    file, trust = signed
    taken = import_pack(file, tmp_path / "results", trust=trust)
    assert taken.signed_by == "our runner"
    assert json.loads((taken.folder.path / SIGNED).read_text()) == {"signed_by": "our runner"}
    assert import_pack(file, tmp_path / "results", trust=trust).known
    unasked = import_pack(file, tmp_path / "others")
    assert unasked.signed_by is None and not (unasked.folder.path / SIGNED).exists()
    write_pack(taken.folder, tmp_path / "again.zip")  # what one trusts is not another's to tell
    assert not (
        import_pack(tmp_path / "again.zip", tmp_path / "third").folder.path / SIGNED
    ).exists()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("none", "is not signed"),
        ("of another pack", "is not what our runner signed"),
        ("by a stranger", "signed by a key that is not in trust="),
        ("a stranger's under a trusted name", "is not what our runner signed"),
        ("no JSON", "is no signature"),
        ("other fields", "is no signature"),
        ("a link", "is no signature"),
        ("short", "is not what our runner signed"),
    ],
)
def test_a_signature_that_does_not_fit_is_refused(
    signed: tuple[Path, Path], tmp_path: Path, kind: str, message: str
) -> None:
    file, trust = signed
    beside = file.with_name(file.name + SUFFIX)
    said = json.loads(beside.read_text())
    stranger = json.loads(sign(b"x", key_of(tmp_path, "stranger")[0]))
    ours = tmp_path / "our runner"
    changed = {
        "of another pack": json.loads(sign(b"another", ours)),
        "by a stranger": stranger,
        "a stranger's under a trusted name": {**said, "signature": stranger["signature"]},
        "other fields": {"format": said["format"], "version": 2},
        "short": {**said, "signature": ""},
    }
    beside.unlink()
    if kind in changed:
        beside.write_text(json.dumps(changed[kind]))
    elif kind == "no JSON":
        beside.write_bytes(b"\xff")
    elif kind == "a link":
        beside.symlink_to("/dev/zero")
    with pytest.raises(InputError, match=message):
        import_pack(file, tmp_path / "results", trust=trust)
    assert not list((tmp_path / "results").glob("*/*"))


def test_keys_that_are_none_are_refused(signed: tuple[Path, Path], tmp_path: Path) -> None:
    file, trust = signed
    for content, message in ((b"", "has no key"), (b"ssh-rsa x", "line 1 is no public key")):
        trust.write_bytes(content)
        with pytest.raises(InputError, match=message):
            import_pack(file, tmp_path / "results", trust=trust)
    with pytest.raises(InputError, match=r"sign=.* is no private key .*ssh-keygen"):
        sign(b"", trust)
    with pytest.raises(InputError, match=r"sign=.*No such file"):
        sign(b"", tmp_path / "absent")
