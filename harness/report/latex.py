r"""Text in LaTeX: what comes from files stays text, and long words may be broken."""

from __future__ import annotations

import re
import unicodedata

from harness.render.escape import one_line

PREAMBLE = r"\usepackage{booktabs,graphicx,url}"
SPECIAL = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\char34{}",
    "`": r"{\textquoteleft}",
    "×": r"\ensuremath{\times}",
    "±": r"\ensuremath{\pm}",
    "°": r"\ensuremath{^\circ}",
    "µ": r"\ensuremath{\mu}",
    "≤": r"\ensuremath{\leq}",
    "≥": r"\ensuremath{\geq}",
    "–": r"\textendash{}",
    "—": r"\textemdash{}",
    "…": r"\ldots{}",
    "‘": r"{\textquoteleft}",
    "’": r"{\textquoteright}",
    "“": r"{\textquotedblleft}",
    "”": r"{\textquotedblright}",
    "ß": r"{\ss}",
    "Æ": r"{\AE}",
    "æ": r"{\ae}",
    "Œ": r"{\OE}",
    "œ": r"{\oe}",
    "Ø": r"{\O}",
    "ø": r"{\o}",
    "Ł": r"{\L}",
    "ł": r"{\l}",
    "ı": r"{\i}",
}
ACCENTS = {  # combining marks, as commands that every encoding of LaTeX has
    "\u0300": "`",
    "\u0301": "'",
    "\u0302": "^",
    "\u0303": "~",
    "\u0304": "=",
    "\u0306": "u",
    "\u0307": ".",
    "\u0308": '"',
    "\u030a": "r",
    "\u030b": "H",
    "\u030c": "v",
    "\u0323": "d",
    "\u0327": "c",
}
LIGATURES = re.compile("--|''|,,")
HEX = re.compile(r"[0-9a-f]{16,}")
BREAK_AFTER = re.compile(r"(?<=[0-9A-Za-z}])(=|\\_|/|:)(?=[0-9A-Za-z\\])")
BREAK = r"\allowbreak{}"


def escaped(text: str) -> str:
    """Return text that LaTeX prints unchanged: no command, no comment, one line, ASCII.

    pdflatex stops at a letter that its fonts lack: one that is not Latin becomes its number, U+6F22.
    """
    text = "".join(map(_printed, one_line(text)))
    while LIGATURES.search(text):  # two hyphens would become a dash
        text = LIGATURES.sub(lambda match: f"{match[0][0]}{{}}{match[0][1:]}", text)
    return text


def _printed(char: str) -> str:
    if char in SPECIAL:
        return SPECIAL[char]
    if char.isascii():
        return char
    parts = unicodedata.normalize("NFD", char)
    letter, mark = parts[0], parts[1:]
    if letter.isascii() and letter.isalpha() and mark in ACCENTS:
        return f"{{\\{ACCENTS[mark]}{{{letter}}}}}"
    return f"U+{ord(char):04X}"


def breakable(text: str) -> str:
    """Return escaped text whose hexadecimal numbers, settings and paths may be broken at a line's end."""
    text = BREAK_AFTER.sub(lambda match: match[0] + BREAK, text)
    return HEX.sub(lambda match: BREAK.join(re.findall("..?.?.?", match[0])), text)


def paragraph(text: str) -> str:
    """Return plain text as a paragraph that fits columns of any width."""
    return f"{{\\emergencystretch=3em\n{breakable(escaped(text))}\\par}}"
