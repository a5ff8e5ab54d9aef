"""Drawn figures as parts of a page: the wide and the narrow picture, of which a style sheet shows one."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from harness.render.drawing import Drawing
from harness.render.inline_svg import inline_svg
from harness.render.page import THEMED


def inline_figures(drawings: Sequence[Drawing]) -> dict[str, Markup]:
    """Return the pictures of each figure, by its name; figures without a picture are left out."""
    return {
        drawing.words.name: Markup("\n").join(
            Markup(inline_svg(picture.svg, name, words.title, words.description, THEMED, kind))
            for kind, (name, picture) in zip(("wide", "narrow"), drawing.pictures.items())
        )
        for drawing in drawings
        for words in [drawing.words]
        if not drawing.absent
    }
