"""The type of a figure, the look of all figures, and their files, which are the same every time.

Importing this imports matplotlib: set MPLCONFIGDIR before.
"""

from __future__ import annotations

import gc
import io
import textwrap
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.layout_engine import LayoutEngine

from harness.render.escape import one_line, xml

# Okabe and Ito, "Color Universal Design" (2008): told apart with every kind of colour vision. No figure
# rests on colour alone: markers differ in shape and filling, areas in hatching and order.
INK, MUTED, LINE, PAGE = "#16181d", "#5b6068", "#d4d8df", "#fefefe"
BLUE, VERMILION = "#0072b2", "#d55e00"
AREAS = (
    "#0071b2",
    "#e69f00",
    "#009e73",
    "#cc79a7",
    "#56b4e9",
    "#d55d00",
    "#f0e442",
)  # in any theme
LONGEST = 30  # characters of a label in a picture
NARROW_LABEL = 20  # characters in a line of a label beside a narrow picture
WIDE_IN, NARROW_IN = 7.0, 3.3  # across a page, and in a column of two or on a phone
NARROW = "_narrow"  # ends the names of the narrow files
STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 9,
    "figure.facecolor": "none",
    "font.family": ["DejaVu Sans"],  # matplotlib brings it: the same layout on every machine
    "font.size": 8.5,
    "grid.color": LINE,
    "grid.linewidth": 0.5,
    "hatch.color": PAGE,
    "hatch.linewidth": 0.7,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "pdf.fonttype": 42,  # TrueType, which publishers ask for
    "savefig.facecolor": "none",
    "svg.fonttype": "none",  # text stays text
    "text.color": INK,
    "text.parse_math": False,  # a $ in a label is a dollar
    "xtick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.color": MUTED,
    "ytick.labelcolor": INK,
}
Body = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Words:
    """The words of a figure.

    Attributes:
        name: of its files.
        caption: what the figure shows and how to read it.
        description: the content of the picture, for those who do not see it.
        headers, body: the drawn values.
    """

    name: str
    title: str
    caption: str
    description: str
    headers: Sequence[str]
    body: Body


class Picture:
    """A figure at one width, drawn where a file of it is asked for."""

    def __init__(
        self, words: Words, size_in: tuple[float, float], fill: Callable[[Figure], None]
    ) -> None:
        self._words, self._size_in, self._fill = words, size_in, fill

    @cached_property
    def svg(self) -> str:
        """The figure as SVG, without a date or a random id."""
        figure, layout = self._filled
        svg = io.StringIO()
        with self._style():
            FigureCanvasSVG(figure)
            _lay_out(figure, layout)
            figure.savefig(svg, format="svg", metadata={"Date": None, "Title": self._words.title})
        return xml(svg.getvalue())

    @cached_property
    def pdf(self) -> bytes:
        """The figure as PDF, without a date; laid out after the SVG, and so always the same."""
        # imported here, since it brings a library for fonts, and most pages have no PDF
        from matplotlib.backends.backend_pdf import FigureCanvasPdf

        assert self.svg
        figure, layout = self._filled
        pdf = io.BytesIO()
        about = {"CreationDate": None, "Title": self._words.title}
        with self._style():
            FigureCanvasPdf(figure)
            _lay_out(figure, layout)
            figure.savefig(pdf, format="pdf", metadata=about)
        return pdf.getvalue()

    @cached_property
    def _filled(self) -> tuple[Figure, LayoutEngine | None]:
        with self._style():
            figure = Figure(figsize=self._size_in, layout="constrained")
            FigureCanvasAgg(figure)  # it knows how large a text is
            self._fill(figure)
            return figure, figure.get_layout_engine()

    @contextmanager
    def _style(self) -> Iterator[None]:
        salted = {**STYLE, "svg.hashsalt": self._words.name}
        with _without_collecting(), matplotlib.rc_context(salted), warnings.catch_warnings():
            # letters that this font lacks are boxes in the PDF, and letters in the SVG and the page
            warnings.filterwarnings("ignore", message="Glyph")
            # labels without end leave no room for the axes, which then overlap them
            warnings.filterwarnings("ignore", message="constrained_layout")
            yield


@dataclass(frozen=True)
class Drawing:
    """A figure at both widths; without a picture ``absent`` says why there is none.

    Attributes:
        pictures: by the name of their files, the wide one first.
    """

    words: Words
    pictures: Mapping[str, Picture] = field(default_factory=dict)
    absent: str = ""

    @property
    def files(self) -> dict[str, str | bytes]:
        """The files of the pictures, by their paths beside the page that shows them."""
        files: dict[str, str | bytes] = {}
        for name, picture in self.pictures.items():
            svg, pdf = _paths_of(name)
            files[svg], files[pdf] = picture.svg, picture.pdf
        return files


def file_names(name: str) -> list[str]:
    """Return the files that a figure of a name has at both widths, by their paths beside the page."""
    return [path for picture in _pictures_of(name) for path in _paths_of(picture)]


def _pictures_of(name: str) -> tuple[str, str]:
    return name, f"{name}{NARROW}"


def _paths_of(picture: str) -> tuple[str, str]:
    return f"figures/{picture}.svg", f"figures/{picture}.pdf"


def missing(name: str, title: str, why: str) -> Drawing:
    """Return a figure that this run has no data for."""
    return Drawing(Words(name, title, "", "", (), ()), absent=why)


def render_figure(
    words: Words,
    height_in: float,
    fill: Callable[[Figure], None],
    narrow_height_in: float | None = None,
) -> Drawing:
    """Return the figure that ``fill`` fills at each width.

    Args:
        narrow_height_in: of the narrow figure; None: as high as the wide one.
    """
    wide = Picture(words, (WIDE_IN, height_in), fill)
    narrow = Picture(words, (NARROW_IN, narrow_height_in or height_in), fill)
    return Drawing(words, dict(zip(_pictures_of(words.name), (wide, narrow))))


@contextmanager
def _without_collecting() -> Iterator[None]:
    """Have Python look for no garbage: among what matplotlib makes that is a quarter of the time."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def is_narrow(figure: Figure) -> bool:
    """Say whether a figure is for a column or a phone: its panels stand below one another."""
    return bool(figure.get_figwidth() < WIDE_IN)


def _lay_out(figure: Figure, layout: LayoutEngine | None) -> None:
    """Fix where things are, by the sizes of texts in the format of the figure's canvas.

    ``savefig`` would draw all of the figure once more for it.
    """
    if layout is not None:
        layout.execute(figure)
    figure.set_layout_engine(None)


def short(label: str) -> str:
    """Return a label that fits beside a point or over a panel; the data have it whole."""
    label = one_line(label)
    return label if len(label) <= LONGEST else f"{label[: LONGEST - 1]}…"


def shortened(labels: Sequence[str]) -> list[str]:
    """Return labels that fit; those that are the same then get their place in the figure as well."""
    fit = [short(label) for label in labels]
    return [
        f"{label[: LONGEST - 6]}… ({at})" if fit.count(label) > 1 else label
        for at, label in enumerate(fit, 1)
    ]


def wrapped(figure: Figure, labels: Sequence[str]) -> list[str]:
    """Return labels in lines where the figure is narrow, so that they leave room for the rest."""
    if not is_narrow(figure):
        return list(labels)
    return [textwrap.fill(label, NARROW_LABEL) for label in labels]


def panels(figure: Figure, count: int, columns: int, sharey: bool = False) -> list[Axes]:
    """Return ``count`` axes in rows of ``columns``."""
    rows = -(-count // columns)
    grid = figure.subplots(rows, columns, squeeze=False, sharey=sharey)
    axes = list(grid.flat)
    for unused in axes[count:]:
        unused.remove()
    return axes[:count]


def titled_panels(
    figure: Figure,
    labels: Sequence[str],
    columns: int,
    xlabel: str,
    ylabel: str,
    sharey: bool = False,
) -> list[Axes]:
    """Return axes with a label above each, and names of the axes at the left and at the bottom.

    Args:
        columns: the most in a row.
    """
    columns = min(columns, len(labels))
    drawn = panels(figure, len(labels), columns, sharey)
    for number, (axes, title) in enumerate(zip(drawn, shortened(labels))):
        axes.set_title(title)
        if number % columns == 0:
            axes.set_ylabel(ylabel)
        if number >= len(labels) - columns:
            axes.set_xlabel(xlabel)
    return drawn
