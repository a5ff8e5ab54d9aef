"""``./run.sh cache``: the prepared images: what there is, whether it is sound, deleting it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.command_line.verb import Argument, Verb, Words

if TYPE_CHECKING:
    from harness.run.context import Context


def call(words: Words, context: Context) -> int:
    """List the cache, or check or clear what ``check=`` or ``clear=`` names; 1 if it is damaged."""
    from harness.errors import InputError
    from harness.images.cache_listing import check, clear, list_cache
    from harness.images.preparation import Place

    place = Place.of(context.composed.config.run)
    if "clear" in words.values and "check" in words.values:
        raise InputError("give clear= or check=, not both")
    if "clear" in words.values:
        print("\n".join(clear(place, words["clear"]) or [f"the cache {place.cache} is empty"]))
        return 0
    if "check" in words.values:
        damaged = 0
        for line, is_sound in check(place, words["check"]):
            damaged += not is_sound
            print(line)
        return min(damaged, 1)
    print(list_cache(place), end="")
    return 0


VERB = Verb(
    name="cache",
    rank=120,
    summary="list the prepared images; clear= deletes, check= verifies them",
    call=call,
    arguments=(
        Argument("clear", "all|KEY", "delete one or all that no run uses", otherwise="nothing"),
        Argument("check", "all|KEY", "verify the checksums of one or all", otherwise="nothing"),
    ),
    examples=(("", "what is there"), ("check=all", ""), ("clear=KEY", "")),
    verdict="check= found damage",
)
