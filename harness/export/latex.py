r"""The paper's table in LaTeX: booktabs, a fragment that \input reads."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.derive.metrics import PUBLISHED, THROUGHPUT, VS_FUSED, Metric
from harness.derive.table import Row

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
    "×": r"\ensuremath{\times}",
    "±": r"\ensuremath{\pm}",
}
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
    """Return text that LaTeX prints as it is: no command, no comment, one line."""
    one_line = " ".join(text.split())
    printable = (char for char in one_line if char.isprintable())
    text = "".join(SPECIAL.get(char, char) for char in printable)
    return text.replace("--", "-{}-").replace("--", "-{}-")  # two would become a dash


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
        *(f"% {' '.join(line.split())}" for line in source),
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
        told = rf"\multicolumn{{{len(metrics)}}}{{l}}{{\emph{{{escaped(row.outcome)}}}}}"
        return [_line([label, told])]
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
