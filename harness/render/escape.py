"""Escape text from files: one function a format.

HTML is escaped by jinja2 in ``page.py`` beside this, LaTeX in ``report/latex.py``.
"""

from __future__ import annotations

import re
from typing import Any

REPLACED = "\ufffd"
_KEPT = "\n\t"
_CONTROLS = (*range(0x20), *range(0x7F, 0xA0))  # C0 and C1
_HALVES = range(0xD800, 0xE000)  # of characters: no encoding has them
_DIRECTIONS = (0x61C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_LINE_ENDS = (0x2028, 0x2029)
_UNSEEN = (0x200B, 0x2060, 0xFEFF, *range(0xFFF9, 0xFFFC), *range(0xE0000, 0xE0080))
_CODES = (*_CONTROLS, *_HALVES, *_DIRECTIONS, *_LINE_ENDS, *_UNSEEN)
_COMMANDS = {code: REPLACED for code in _CODES if chr(code) not in _KEPT}
_NOT_XML = {0xFFFE: REPLACED, 0xFFFF: REPLACED}

# What CommonMark, GitHub's tables and its formulas would read as more than the character. A _ inside
# a word is one, as is the ~ of a home folder; a ] makes a link only before these three.
_MARKUP = re.compile(r"[\\`*|#$]|(?<![^\W_])_|_(?![^\W_])|~(?!/)|\](?=[(\[:])")
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_ENTITY = re.compile(r"&(?=#|[A-Za-z])")
_BLOCK = re.compile(r"[-+](?=\s|$)|[>\[]|[-=_]{2,}$|(?:-\s*){3,}$")  # at a line's beginning
_NUMBERED = re.compile(r"^(\d{1,9})([.)])(?=\s|$)")

_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")  # a spreadsheet takes the wide ones for the others
_NUMBER = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?|inf|nan)", re.ASCII)


def plain(text: str) -> str:
    """Return text for a terminal: no control characters, changes of direction or unseen characters."""
    return text.translate(_COMMANDS)


def one_line(text: str) -> str:
    """Return such text on one line."""
    return plain(" ".join(text.split()))


def markdown_cell(text: str) -> str:
    """Return text that Markdown shows as it is inside a line: in a table's cell or in a heading."""
    text = _ENTITY.sub("&amp;", one_line(text))
    return _MARKUP.sub(r"\\\g<0>", _TAG.sub("&lt;", text))


def markdown(text: str) -> str:
    """Return text that Markdown shows as it is in a paragraph or a list's item."""
    text = _NUMBERED.sub(r"\1\\\2", markdown_cell(text), count=1)
    return f"\\{text}" if _BLOCK.match(text) else text


def markdown_code(text: str) -> str:
    """Return a command in Markdown, which no character of it ends."""
    return f"`{one_line(text).replace('`', REPLACED)}`"


def csv_cell(value: Any) -> Any:
    """Return a value that no spreadsheet takes for a formula: text gets an apostrophe before it.

    Numbers stay numbers, also those that were written as text.
    """
    if not isinstance(value, str):
        return value
    text = one_line(value)
    is_formula = text.startswith(_FORMULA) and not _NUMBER.fullmatch(text)
    return f"'{text}" if is_formula else text


def xml(text: str) -> str:
    """Return text without the characters that XML 1.0 has no way to write."""
    return plain(text).translate(_NOT_XML)
