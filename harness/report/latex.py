r"""The paper's table in LaTeX: booktabs, a fragment that \input reads."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from harness.render.escape import one_line
from harness.table.metrics import PUBLISHED, THROUGHPUT, VS_FUSED, Metric
from harness.table.rows import Row

PREAMBLE = r"\usepackage{booktabs}"
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
WIDE = "About 400 pt wide: for two columns make it table*, else widen the text (geometry)"
LONG_HEX = re.compile(r"[0-9a-f]{8}(?=[0-9a-f]{8})")
HEADS = {  # in two lines: a page is narrower than a screen
    "top1": ("Top-1", ""),
    "top5": ("Top-5", ""),
    "top1_rel_loss_pct": ("Top-1", r"loss \%"),
    "top5_rel_loss_pct": ("Top-5", r"loss \%"),
    "cost_s": ("Cost", "s"),
    "validation_s": ("Validation", "s"),
    "speedup": ("Speedup", ""),
    "images_per_s": ("Images/s", ""),
    "speedup_vs_fused": ("Speedup", "vs fused"),
}


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
    """Return text whose long hexadecimal numbers, which no line has room for, may be broken."""
    return LONG_HEX.sub(r"\g<0>\\allowbreak{}", text)


def to_latex(rows: Sequence[Row], caption: str, source: Sequence[str], intervals: bool) -> str:
    """Return a ``table`` with a ``tabular`` in it.

    Args:
        caption: plain text.
        source: lines that say where the numbers come from, written as comments.
        intervals: shows the columns of the rounds as well, and 95 % intervals under the values.
    """
    metrics = [*PUBLISHED, *((THROUGHPUT, VS_FUSED) if intervals else ())]
    heads = [HEADS[metric.name] for metric in metrics]
    lines = [
        *(f"% {one_line(line)}" for line in source),
        rf"% Preamble: {PREAMBLE}",
        *([f"% {WIDE}"] if intervals else ()),
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escaped(caption)}}}",
        r"\label{tab:inc-bench}",
        r"\footnotesize",
        r"\setlength{\tabcolsep}{2.5pt}",
        rf"\begin{{tabular}}{{@{{}}l{'r' * len(metrics)}@{{}}}}",
        r"\toprule",
        _line(["Method", *(head for head, _ in heads)]),
        _line(["", *(unit for _, unit in heads)]),
        r"\midrule",
    ]
    for row in rows:
        lines += _row(row, metrics, intervals)
    return "\n".join(
        [*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""],
    )


def _row(row: Row, metrics: Sequence[Metric], intervals: bool) -> list[str]:
    label = f"{{{escaped(row.label)}}}"  # braces: a [ after a line's end would be its argument
    if row.top1 is None:
        outcome = rf"\multicolumn{{{len(metrics)}}}{{l}}{{\emph{{{escaped(row.outcome)}}}}}"
        return [_line([label, outcome])]
    values = _line([label, *(_number(m, getattr(row, m.name)) for m in metrics)])
    if not (intervals and row.intervals):
        return [values]
    ends = _line(["", *(_interval(row, m) for m in metrics)])
    return [f"{values}[-2pt]", ends, r"\addlinespace[2pt]"]


def _number(metric: Metric, value: float | None) -> str:
    return _signed(metric.shown(value, "--"))


def _interval(row: Row, metric: Metric) -> str:
    ends = row.intervals.get(metric.name)
    if ends is None:
        return ""
    low, high = (_signed(metric.shown(end, "")) for end in (ends.low, ends.high))
    return rf"{{\tiny[{low},{high}]}}"


def _signed(number: str) -> str:
    return f"$-${number[1:]}" if number.startswith("-") and number != "--" else number


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"
