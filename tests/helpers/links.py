"""Links of pages, in HTML and in Markdown: where they lead, and those that lead nowhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

from helpers import pages

OUTSIDE = ("http://", "https://", "data:", "mailto:")
IN_MARKDOWN = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


class _Page(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for key, value in attrs:
            if key in ("href", "src", "xlink:href") and value:
                self.links.append(value)
            elif key == "id" and value:
                self.anchors.add(value)
            elif key in ("aria-labelledby", "aria-describedby") and value:
                self.links += [f"#{name}" for name in value.split()]


def dead(path: Path) -> list[str]:
    """Return the links of a page that lead to no file beside it, or to no anchor."""
    links, own = _read(path)
    inside = [link for link in dict.fromkeys(links) if not link.startswith(OUTSIDE)]
    return [link for link in inside if not _leads(path, link, own)]


def _leads(path: Path, link: str, own: set[str]) -> bool:
    name, _, anchor = link.partition("#")
    if not name:
        return unquote(anchor) in own
    target = path.parent / unquote(name)
    return target.exists() and (not anchor or unquote(anchor) in _read(target)[1])


def _read(path: Path) -> tuple[list[str], set[str]]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".md":
        return IN_MARKDOWN.findall(pages.FENCED.sub("", text)), pages.anchors(path)
    page = _Page()
    page.feed(text)
    return page.links, page.anchors
