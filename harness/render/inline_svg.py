"""A figure's SVG as part of a page: named for screen readers, coloured by the page's theme."""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree import ElementTree as ET

from harness.render.escape import xml

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
POINTED_AT = re.compile(r"url\(#|^#")


def inline_svg(
    svg: str, name: str, title: str, description: str, colors: Mapping[str, str], kind: str
) -> str:
    """Return the ``svg`` element, with a title and a description.

    It is parsed and written anew, so that every label stays text.

    Args:
        name: before every id, which must be unique in a page.
        colors: replacements of colours in styles, such as a CSS variable for a hex code.
        kind: the element's class in the style sheet.
    """
    ET.register_namespace("", SVG)
    ET.register_namespace("xlink", XLINK)
    root = ET.fromstring(svg)
    for metadata in root.findall(f"{{{SVG}}}metadata"):
        root.remove(metadata)
    for defs in root.findall(f"{{{SVG}}}defs"):  # a style sheet would be the whole page's
        for sheet in defs.findall(f"{{{SVG}}}style"):
            defs.remove(sheet)
    for element in root.iter():
        for key, value in element.attrib.items():
            if key == "id":
                element.set(key, f"{name}-{value}")
            elif key in ("clip-path", f"{{{XLINK}}}href", "style"):
                element.set(key, _renewed(value, name, colors))
    width, height = (
        float(root.attrib.pop(side).removesuffix("pt")) for side in ("width", "height")
    )
    root.set("style", f"aspect-ratio: {width:g} / {height:g}; stroke-linejoin: round")
    root.set("class", kind)
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-title {name}-desc")
    for number, (tag, text) in enumerate((("title", title), ("desc", description))):
        element = ET.Element(f"{{{SVG}}}{tag}", {"id": f"{name}-{tag}"})
        element.text = text
        root.insert(number, element)
    return xml(ET.tostring(root, encoding="unicode"))


def _renewed(value: str, name: str, colors: Mapping[str, str]) -> str:
    value = POINTED_AT.sub(lambda match: f"{match[0]}{name}-", value)
    for color, variable in colors.items():
        value = value.replace(color, variable)
    return value
