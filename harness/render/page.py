"""Self-contained HTML pages from the templates in this folder; text from files is escaped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from harness.render.escape import plain

TEMPLATES = Path(__file__).parent / "templates"
UPLOT = Path(__file__).parent / "uplot"  # the library of charts, as its package has it
THEMED = {  # colours of figures, and the variables that take their place in a page of either theme
    "#16181d": "currentColor",
    "#5b6068": "var(--muted)",
    "#d4d8df": "var(--line)",
    "#fefefe": "var(--page)",
    "#0072b2": "var(--blue)",
    "#d55e00": "var(--vermilion)",
}


def _plain(value: Any) -> Any:
    """Return a value for a template, without characters that would turn the text around it."""
    return plain(value) if type(value) is str else value


def render(template: str, **values: Any) -> str:
    """Return a page that extends ``page.html.j2``.

    Args:
        values: text is escaped; Markup is not, so it must be the harness's own.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        finalize=_plain,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    css = Markup((TEMPLATES / "page.css").read_text(encoding="utf-8"))
    return environment.get_template(template).render(css=css, **values) + "\n"
