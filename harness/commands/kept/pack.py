"""``./run.sh pack``: a run as one file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.command_line.verb import FILES, RUN, Argument, Verb, Words, switch

if TYPE_CHECKING:
    from harness.run.context import Context

REVIEW = "review"


def call(words: Words, context: Context) -> int:
    """Write a run's pack and print where it is and its digest."""
    from harness.config import project_path
    from harness.errors import InputError
    from harness.packs.pack import write_pack

    models = words.is_true("models")
    for_review = words["for"] == REVIEW
    if not for_review and words["for"]:
        raise InputError(f"for={words['for']}: use for={REVIEW}, or leave it out")
    folder = context.find(words["run"])
    beside = context.results if folder.is_committed else folder.path.parent
    to = project_path(words["to"] or str(beside / f"{folder.id}{'-review' * for_review}.zip"))
    sign = project_path(words["sign"]) if words["sign"] else None
    if for_review:
        from harness.report.artifact.review_pack import Review, write_review

        intervals = context.composed.config.table.intervals
        review = Review(context.cache, context.folders, models, sign, intervals)
        manifest, sha256 = write_review(folder, to, review)
    else:
        manifest, sha256 = write_pack(folder, to, models, sign)
    print(f"packed run {folder.id} of {manifest.machine}: {to}")
    print(f"{len(manifest.members)} files, {manifest.bytes} bytes; SHA-256 {sha256}")
    if for_review:
        print("review/README.md in it says how to check it; nothing was uploaded")
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
            otherwise="RUN.zip beside the run's folder, RUN-review.zip for review",
            proposes=FILES,
        ),
        switch("models", "true takes the models along"),
        Argument(
            "for",
            REVIEW,
            "adds the report, the locks, conf/ and a README for reviewers",
            otherwise="nothing is added",
            proposes=(REVIEW,),
        ),
        Argument(
            "sign",
            "KEY",
            "an ed25519 key of ssh-keygen to sign with",
            otherwise="none",
            proposes=FILES,
        ),
    ),
    examples=(
        ("ID to=ID.zip", ""),
        ("run=ID for=review", "writes ID-review.zip"),
        ("run=ID sign=runner.key", "writes ID.zip and ID.zip.sig"),
    ),
)
