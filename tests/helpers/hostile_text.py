"""Text that would command whatever shows it, put into every text field that a record has.

The fields come from the types in ``harness/storage/record.py`` and the forms of configurations, so a
new one is covered when it is described.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from msgspec import inspect

from harness.storage import form

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
CANDIDATES: tuple[Any, ...] = (1, 0.5, 0, True, "made", "a" * 64, "fp32", "ok")
UNREAD = ("others", "schema")
KEPT = ("baseline", "fused")  # of a plan: without them fewer numbers are shown


def form_of(kind: Any) -> Any:
    """Return the rule of a type's values."""
    info = kind if isinstance(kind, inspect.Type) else inspect.type_info(kind)
    if isinstance(info, inspect.Metadata):
        return form_of(info.type)
    if isinstance(info, inspect.StructType | inspect.DataclassType):
        fields = {each.encode_name: each for each in info.fields if each.name not in UNREAD}
        return {
            f"{name}{'' if each.required else '?'}": form_of(each.type)
            for name, each in fields.items()
        }
    if isinstance(info, inspect.UnionType):
        kinds = [each for each in info.types if not isinstance(each, inspect.NoneType)]
        return (form_of(kinds[0]),) if len(kinds) < len(info.types) else form_of(kinds[0])
    if isinstance(info, inspect.ListType | inspect.VarTupleType):
        return [form_of(info.item_type)]
    if isinstance(info, inspect.DictType):
        return form.texts if isinstance(info.value_type, inspect.StrType) else form.anything
    if isinstance(info, inspect.AnyType) or (
        isinstance(info, inspect.StrType) and info.pattern is None
    ):
        return form.text
    return accepts(info)


def accepts(info: inspect.Type) -> Callable[[Any], bool]:
    """Return a function that says whether a value is of a type."""

    def rule(value: Any) -> bool:
        """a value of the type"""
        if isinstance(info, inspect.StrType):
            return isinstance(value, str) and bool(re.search(info.pattern or "", value))
        if isinstance(info, inspect.LiteralType):
            return value in info.values
        if isinstance(info, inspect.BoolType):
            return isinstance(value, bool)
        return form.number(value)

    return rule


def has_text(rule: Any) -> bool:
    """Say whether a value of this rule may hold free text."""
    if isinstance(rule, (tuple, list)):
        return has_text(rule[0])
    if isinstance(rule, Mapping):
        return any(has_text(each) for each in rule.values())
    if isinstance(rule, form.Named):
        return has_text(rule.value)
    if isinstance(rule, form.Chosen):
        return has_text(rule.always)
    return rule in (form.text, form.texts)


def filled(value: Any, rule: Any, text: str, keep: tuple[str, ...] = ()) -> Any:
    """Return a value with every text field of its rule set, those that it lacks as well.

    Args:
        value: of this rule; None makes the least that has its text fields.
        keep: keys to leave alone.
    """
    if isinstance(rule, tuple):
        return filled(value, rule[0], text, keep)
    if isinstance(rule, list):
        return [filled(each, rule[0], text, keep) for each in (value or [None])]
    if isinstance(rule, Mapping):
        made = dict(value or {})
        for key, inner in rule.items():
            name = key.rstrip("?")
            wanted = has_text(inner) or (name not in made and name == key)
            if wanted and name not in keep:
                made[name] = filled(made.get(name), inner, text, keep)
        return made
    if rule is form.text:
        return text
    if rule is form.texts:
        return {**(value or {}), text: text}
    if isinstance(rule, form.Named):
        return {key: filled(each, rule.value, text, keep) for key, each in (value or {}).items()}
    if isinstance(rule, form.Chosen):
        always = filled(value, rule.always, text, keep)
        return filled(always, rule.more(value or always), text, keep)
    return value if value is not None else next(each for each in CANDIDATES if rule(each))


def everywhere(value: Any, text: str) -> Any:
    """Return a JSON object with every text in it replaced, for what has no form, such as EC2's facts."""
    if isinstance(value, str):
        return text
    if isinstance(value, list):
        return [everywhere(each, text) for each in value]
    if isinstance(value, dict):
        return {key: everywhere(each, text) for key, each in value.items()}
    return value
