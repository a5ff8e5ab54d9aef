r"""The paper's table in LaTeX: booktabs, a fragment that \input reads."""

from __future__ import annotations

from collections.abc import Sequence

from harness.render.escape import one_line
from harness.report.latex import PREAMBLE, escaped
from harness.table.metrics import PUBLISHED, THROUGHPUT, VS_FUSED, Metric
from harness.table.rows import Row

LONGEST_LABEL, LONGEST_OUTCOME = 26, 45  # characters; longer ones are broken into lines
LONG_LABEL, LONG_OUTCOME = "p{9em}", r"p{.5\textwidth}"
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


def to_latex(rows: Sequence[Row], caption: str, source: Sequence[str], intervals: bool) -> str:
    """Return a ``table*``: across both columns of a page that has two, like ``table`` on others.

    It is at most 345 pt wide, the text of an article in one column.

    Args:
        caption: plain text.
        source: lines that say where the numbers come from, written as comments.
        intervals: shows the columns of the rounds as well, and 95 % intervals under the values, in
            two halves below one another.
    """
    halves: list[Sequence[Metric]] = [PUBLISHED]
    if intervals:
        halves = [PUBLISHED[:5], (*PUBLISHED[5:], THROUGHPUT, VS_FUSED)]
    tabulars = [_tabular(rows, metrics, intervals) for metrics in halves]
    lines = [
        *(f"% {one_line(line)}" for line in source),
        rf"% Preamble: {PREAMBLE}",
        r"\begin{table*}",
        r"\centering",
        rf"\caption{{{escaped(caption)}}}",
        r"\label{tab:inc-bench}",
        r"\footnotesize",
        r"\setlength{\tabcolsep}{3pt}",
        *tabulars[0],
        *(line for tabular in tabulars[1:] for line in (r"\par\medskip", *tabular)),
        r"\end{table*}",
        "",
    ]
    return "\n".join(lines)


def _tabular(rows: Sequence[Row], metrics: Sequence[Metric], intervals: bool) -> list[str]:
    heads = [HEADS[metric.name] for metric in metrics]
    is_long = any(len(row.label) > LONGEST_LABEL for row in rows)
    lines = [
        rf"\begin{{tabular}}{{@{{}}{LONG_LABEL if is_long else 'l'}{'r' * len(metrics)}@{{}}}}",
        r"\toprule",
        _line(["Method", *(head for head, _ in heads)]),
        _line(["", *(unit for _, unit in heads)]),
        r"\midrule",
    ]
    for row in rows:
        lines += _row(row, metrics, intervals, is_long)
    return [*lines, r"\bottomrule", r"\end{tabular}"]


def _row(row: Row, metrics: Sequence[Metric], intervals: bool, is_long: bool) -> list[str]:
    label = f"{{{escaped(row.label)}}}"  # braces: a [ after a line's end would be its argument
    if is_long:
        label = rf"{{\raggedright {label}\par}}"
    if row.top1 is None:
        column = LONG_OUTCOME if len(row.outcome) > LONGEST_OUTCOME else "l"
        outcome = rf"\multicolumn{{{len(metrics)}}}{{{column}}}{{\emph{{{escaped(row.outcome)}}}}}"
        return [_line([label, outcome])]
    values = _line([label, *(_number(m, getattr(row, m.name)) for m in metrics)])
    if not (intervals and any(m.name in row.intervals for m in metrics)):
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
