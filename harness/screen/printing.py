"""Tables and reports on stdout: fitted to a terminal, in Markdown everywhere else."""

from __future__ import annotations

import io
import re
import sys
import textwrap
from collections.abc import Sequence
from typing import Literal

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text

from harness.render.escape import one_line, plain
from harness.render.markdown_table import markdown_table
from harness.render.terminal import console

WRAPPED = 20  # characters that are left at least of a column that is wrapped
WIDE = Console(width=10_000, file=io.StringIO())  # for measuring what has no width yet

NO_BREAK = "\N{NO-BREAK SPACE}"
NUMBER = r"-?[\d.]+"
TOGETHER = re.compile(rf"\[{NUMBER}, {NUMBER}\]|\d (?:%|s|ms|MB|GB|images/s|times)(?!\w)")


def is_terminal() -> bool:
    """Whether stdout is a terminal, whatever may be coloured elsewhere."""
    return sys.stdout.isatty()


def empty_table() -> Table:
    """Return a table with no more lines than one below its head."""
    return Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 2, 0, 0))


def print_markdown(text: str) -> None:
    """Print Markdown: rendered on a terminal, as it is everywhere else."""
    if is_terminal():
        console().print(Markdown(plain(text)))
    else:
        print(text, end="")


def print_ending(title: str, steps: Sequence[tuple[str, str | None]]) -> None:
    """Print on a terminal what to know at last, and what to do.

    Args:
        steps: texts, each with its command, if there is one. A command has a line of its own, which is
            not wrapped, so that it can be copied.
    """
    to = console()
    to.print()
    to.print(Text(one_line(title), "bold"))
    for text, command in steps:
        to.print()
        to.print(Text(one_line(text)))
        if command is not None:
            to.print(Text(one_line(command)), soft_wrap=True)


def wrapped(text: str, width: int) -> str:
    """Return text in lines of a width that break no interval and part no number from its unit."""
    bound = TOGETHER.sub(lambda part: part[0].replace(" ", NO_BREAK), text)
    lines = textwrap.wrap(bound, width, break_on_hyphens=False)
    return "\n".join(lines).replace(NO_BREAK, " ")


def print_columns(
    headers: Sequence[str],
    body: Sequence[Sequence[str]],
    right: Sequence[int] = (),
    wrapped: Sequence[int] = (),
    dropped: Sequence[int] = (),
) -> None:
    """Print a list of rows.

    Args:
        right: the columns that are aligned to the right.
        wrapped: the columns whose cells a narrow terminal may wrap between words.
        dropped: the columns that a narrow terminal goes without, the first to go first.
    """
    if not is_terminal():
        align = ["right" if at in right else "left" for at in range(len(headers))]
        print(markdown_table(headers, body, align))
        return
    to = console()
    for gone in range(len(dropped) + 1):
        kept = [at for at in range(len(headers)) if at not in dropped[:gone]]
        table = empty_table()
        for at in kept:
            justify: Literal["left", "right"] = "right" if at in right else "left"
            longest = max(cell_len(one_line(row[at])) for row in (headers, *body))
            table.add_column(
                headers[at],
                justify=justify,
                no_wrap=at not in wrapped,
                min_width=min(longest, WRAPPED) if at in wrapped else longest,
            )
        for row in body:
            table.add_row(*(Text(one_line(row[at])) for at in kept))
        if WIDE.measure(table).minimum <= to.width:
            break
    else:
        for column in table.columns:
            column.no_wrap, column.overflow, column.min_width = False, "fold", None
    to.print(table)
