"""The project's Markdown pages: their text, blocks of code, commands, links and anchors."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from harness import PROJECT

DOCS = PROJECT / "docs"
OWN_METHODS = DOCS / "own-methods.md"
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
INCLUDED = re.compile(r'^--8<-- "(.+)"$', re.MULTILINE)


@dataclass(frozen=True)
class Command:
    """A command that a page shows.

    Attributes:
        line: as shown, continued lines joined.
        program: the first word that is no variable.
        words: the words after it.
    """

    line: str
    program: str
    words: tuple[str, ...]


def markdown_files() -> list[Path]:
    """Return the Markdown files that people write, and those that ``docs/`` shows."""
    places = (PROJECT.glob("*.md"), DOCS.rglob("*.md"), (PROJECT / "requirements").glob("*.md"),
              (PROJECT / "results").glob("*.md"), (PROJECT / "tests").rglob("*.md"))  # fmt: skip
    return sorted(path for place in places for path in place)


def name_of(page: Path) -> str:
    return page.relative_to(PROJECT).as_posix()


def text_of(page: Path) -> str:
    """Return a page's text, with the files that it includes in place of their names."""
    return INCLUDED.sub(lambda match: (PROJECT / match[1]).read_text(), page.read_text())


def prose_of(page: Path) -> str:
    """Return a page's text without any code."""
    return INLINE.sub("", FENCED.sub("", text_of(page)))


def blocks(text: str, language: str) -> list[str]:
    """Return the blocks of code in a language."""
    return [match[2] for match in FENCED.finditer(text) if match[1] == language]


def block_after(text: str, words: str, language: str) -> str:
    """Return the first block of code in a language after some words."""
    assert words in text, f"the page no longer says {words!r}"
    return blocks(text.partition(words)[2], language)[0]


def commands(page: Path) -> Iterator[Command]:
    """Yield every command of a page's blocks for a shell, then those of ``run.sh`` in its sentences.

    In a sentence a verb without arguments is a name.
    """
    text = page.read_text()
    lines = [line for block in blocks(text, "bash")
             for line in block.replace("\\\n", " ").splitlines()]  # fmt: skip
    lines += re.findall(r"`(\./run\.sh [^\s`]+ [^`\n]+)`", FENCED.sub("", text))
    for line in dict.fromkeys(lines):
        words = shlex.split(line, comments=True)
        while words and re.match(r"\w+=", words[0]):
            del words[0]  # a variable of the command
        if words:
            yield Command(line, words[0], tuple(words[1:]))


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", FENCED.sub("", text_of(page)), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def write_own_methods(folder: Path) -> Path:
    """Write the files that "Methods and strategies of your own" shows, and return their folder."""
    text = OWN_METHODS.read_text()
    (folder / "method").mkdir(parents=True)
    for name in ("int8_mine.yaml", "int8_inc_mine.yaml"):
        block = block_after(text, f"`mine/method/{name}`:", "yaml")
        (folder / "method" / name).write_text(block)
    module = block_after(text, "`mine/my_methods.py`:", "python")
    strategy = block_after(text, "Append it to `mine/my_methods.py`:", "python")
    (folder / "my_methods.py").write_text(f"{module}\n\n{strategy}")
    return folder
