"""Tables and reports on stdout: fitted to a terminal, in Markdown everywhere else."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich import box
from rich.markdown import Markdown
from rich.table import Table
from rich.text import Text

from harness.render.escape import one_line, plain
from harness.render.markdown_table import markdown_table
from harness.render.terminal import console


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


def print_columns(
    headers: Sequence[str], body: Sequence[Sequence[str]], right: Sequence[int] = ()
) -> None:
    """Print a list of rows.

    Args:
        right: the columns that are aligned to the right.
    """
    if not is_terminal():
        align = ["right" if at in right else "left" for at in range(len(headers))]
        print(markdown_table(headers, body, align))
        return
    table = empty_table()
    for at, header in enumerate(headers):
        table.add_column(header, justify="right" if at in right else "left", overflow="fold")
    for row in body:
        table.add_row(*(Text(one_line(cell)) for cell in row))
    console().print(table)
