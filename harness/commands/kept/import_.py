"""``./run.sh import``: a run that another machine packed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.command_line.verb import FILES, Argument, Verb, Words

if TYPE_CHECKING:
    from harness.run.context import Context


def call(words: Words, context: Context) -> int:
    """Verify a pack, take its run in and print where it is and who signed it."""
    from harness.config import project_path
    from harness.packs.importing import import_pack
    from harness.render.escape import plain

    trust = project_path(words["trust"]) if words["trust"] else None
    taken = import_pack(project_path(words["file"]), context.results, trust=trust)
    done = "was there already, the same" if taken.known else "is verified and imported"
    print(f"run {taken.folder.id} of {taken.manifest.machine} {done}: {taken.folder.path}")
    by = plain(taken.signed_by) if taken.signed_by else "nobody that trust= names"
    print(f"signed by {by}")
    print(
        f"{len(taken.manifest.members)} files, {taken.manifest.bytes} bytes; SHA-256 {taken.sha256}"
    )
    return 0


VERB = Verb(
    name="import",
    rank=140,
    summary="verify such a file and take its run in; trust=KEYS demands a signature",
    call=call,
    arguments=(
        Argument("file", "FILE", "the pack", required=True, proposes=FILES),
        Argument(
            "trust",
            "KEYS",
            "a file of public keys, one a line: one of them must have signed",
            otherwise="none is needed",
            proposes=FILES,
        ),
    ),
    examples=(("file=ID.zip", ""), ("file=ID.zip trust=keys", "")),
)
