"""Text that would command whatever shows it, put into every text field that a form has.

The fields come from the forms in ``harness/storage/facts.py``, so a new one is covered when it is
described.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
KEPT = ("baseline", "fused")  # of a plan: without them fewer numbers are shown


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
