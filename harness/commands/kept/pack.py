"""``./run.sh pack``: a run as one file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.command_line.verb import FILES, RUN, Argument, Verb, Words, switch

if TYPE_CHECKING:
    from harness.run.context import Context


def call(words: Words, context: Context) -> int:
    """Write a run's pack and print where it is and its digest."""
    from harness.config import project_path
    from harness.packs.pack import write_pack

    models = words.is_true("models")
    folder = context.find(words["run"])
    beside = context.results if folder.is_committed else folder.path.parent
    to = project_path(words["to"] or str(beside / f"{folder.id}.zip"))
    sign = project_path(words["sign"]) if words["sign"] else None
    manifest, sha256 = write_pack(folder, to, models, sign)
    print(f"packed run {folder.id} of {manifest.machine}: {to}")
    print(f"{len(manifest.members)} files, {manifest.bytes} bytes; SHA-256 {sha256}")
    return 0


VERB = Verb(
    name="pack",
    rank=130,
    summary="a run as one file with digests; sign=KEY signs it",
    call=call,
    arguments=(
        RUN,
        Argument(
            "to",
            "FILE",
            "the file to write",
            otherwise="RUN.zip beside the run's folder",
            proposes=FILES,
        ),
        switch("models", "true takes the models along"),
        Argument(
            "sign",
            "KEY",
            "an ed25519 key of ssh-keygen to sign with",
            otherwise="none",
            proposes=FILES,
        ),
    ),
    examples=(("ID to=ID.zip", ""), ("run=ID sign=runner.key", "writes ID.zip and ID.zip.sig")),
)
