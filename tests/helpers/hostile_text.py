"""Text that would command whatever shows it, put into every text field that a record has.

The fields come from the types of records, plans and configurations, so a new one is covered when it is
described.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Union, get_args, get_origin

from msgspec import Meta

from harness.facts.typed import _described, _fields, _is_a, _is_object

TEXTS = {
    "markdown": "=x|`c` *e* **s** __u__ <b>t</b> [l](http://h/) ![i](http://h/) ~~d~~\n| a |\n|---|\n# h",
    "link": "[l]: http://h/ [l][l] <http://h/> &amp; \\| \\",
    "terminal": "\x1b]0;t\x07\x1b[31m\u202ex\rback\x9b2J\x00\ud800\ufffe[red]r[/] "
    "[link=http://h/]l[/link] \u2066",
    "latex": "\\write18{t} \\input{/etc/passwd} 50%&_#~^${}$ x_1 ^^5c \u6f22 \u00e9 ``-- ''",
    "html": '"><script>alert(1)</script></title></style></svg><svg onload=alert(2)> <!-- ]]> {{ 7*7 }}',
    "formula": "@SUM(A1)\t\"a\",'b'",
    "minus": "-1+cmd|' /C calc'!A0",
    "tab": "\t=1+1",
    "rule": "---",
    "item": "- x",
    "number": "1. x",
    "blank": " \u200b ",
    "long": "x" * 3000,
}
CANDIDATES: tuple[Any, ...] = (1, 0.5, 0, True, "made", "a" * 64, "fp32", "ok", "omp")
UNREAD = ("others", "schema")
KEPT = ("baseline", "fused")  # of a plan: without them fewer numbers are shown


def is_text(kind: Any) -> bool:
    """Say whether any text is a value of a type."""
    _, bare = _described(kind)
    bounded = any(isinstance(meta, Meta) and meta.pattern for meta in _metas(kind))
    return not bounded and (bare in (str, Any) or Any in get_args(bare))


def _metas(kind: Any) -> Iterator[Any]:
    """Yield what ``Annotated`` adds to a type, or to one of a union."""
    if get_origin(kind) is Annotated:
        inner, *metas = get_args(kind)
        yield from (*metas, *_metas(inner))
    elif get_origin(kind) is Union:
        for inner in get_args(kind):
            yield from _metas(inner)


def fields(kind: Any) -> dict[str, tuple[Any, bool]]:
    """Return the fields of a type of objects that are read: types, and whether they must be there."""
    return {
        key: (inner, required)
        for key, inner, required in _fields(kind, new=False)
        if key not in UNREAD
    }


def has_text(kind: Any) -> bool:
    """Say whether a value of this type may hold free text."""
    if is_text(kind):
        return True
    _, bare = _described(kind)
    if _is_object(bare):
        return any(has_text(inner) for inner, _ in fields(bare).values())
    if get_origin(bare) in (list, tuple, dict):
        return any(has_text(inner) for inner in get_args(bare)[-2:] if inner is not ...)
    return False


def filled(value: Any, kind: Any, text: str, keep: tuple[str, ...] = ()) -> Any:
    """Return a value with every text field of its type set, those that it lacks as well.

    Args:
        value: of this type; None makes the least that has its text fields.
        keep: keys to leave alone.
    """
    if is_text(kind):
        return text
    _, bare = _described(kind)
    if _is_object(bare):
        made = dict(value or {})
        for key, (inner, required) in fields(bare).items():
            wanted = has_text(inner) or (key not in made and required)
            if wanted and key not in keep:
                made[key] = filled(made.get(key), inner, text, keep)
        return made
    if get_origin(bare) in (list, tuple):
        return [filled(each, get_args(bare)[0], text, keep) for each in (value or [None])]
    if get_origin(bare) is dict:
        inner = get_args(bare)[1]
        if inner is str:
            return {**(value or {}), text: text}
        return {key: filled(each, inner, text, keep) for key, each in (value or {}).items()}
    return value if value is not None else next(each for each in CANDIDATES if _is_a(each, kind))


def everywhere(value: Any, text: str) -> Any:
    """Return a JSON object with every text in it replaced, for what has no type, such as EC2's facts."""
    if isinstance(value, str):
        return text
    if isinstance(value, list):
        return [everywhere(each, text) for each in value]
    if isinstance(value, dict):
        return {key: everywhere(each, text) for key, each in value.items()}
    return value
