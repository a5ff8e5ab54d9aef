"""Text for a terminal: what comes from files may hold characters that command it."""

from __future__ import annotations

REPLACED = "\ufffd"
_KEPT = "\n\t"
_CODES = (*range(0x20), *range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0xD800, 0xE000))
_COMMANDS = {code: REPLACED for code in _CODES if chr(code) not in _KEPT}


def plain(text: str) -> str:
    """Return text without control characters, changes of direction and halves of characters."""
    return text.translate(_COMMANDS)
