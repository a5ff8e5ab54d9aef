r"""The figures of a report in LaTeX, with their captions: a fragment that \input reads."""

from __future__ import annotations

from collections.abc import Sequence

from harness.render.drawing import NARROW, NARROW_IN, WIDE_IN, Drawing
from harness.report.latex import PREAMBLE, breakable, escaped

HEAD = rf"""% Preamble: {PREAMBLE}
% \graphicspath{{{{FOLDER/}}}} names the folder of this file, where a paper is elsewhere.
% The figures are {NARROW_IN:g} in wide. For {WIDE_IN:g} in, across both columns, put before \input:
%   \newcommand{{\incbenchfloat}}{{figure*}}\newcommand{{\incbenchwidth}}{{}}
\providecommand{{\incbenchfloat}}{{figure}}
\providecommand{{\incbenchwidth}}{{{NARROW}}}
\newcommand{{\incbenchpicture}}{{\leavevmode
\setbox0\hbox{{\includegraphics{{figures/\incbenchname\incbenchwidth}}}}
\ifdim\wd0>\linewidth\resizebox{{\linewidth}}{{!}}{{\box0}}\else\box0\fi}}
"""


def to_figures(drawings: Sequence[Drawing]) -> str:
    """Return a float for each figure that has a picture, and the commands that they use.

    A picture keeps its size, and so the size of its text, unless the line is narrower.
    """
    floats = [_float(drawing) for drawing in drawings if not drawing.absent]
    return "\n".join([HEAD, *floats])


def _float(drawing: Drawing) -> str:
    words = drawing.words
    name = words.name
    return "\n".join(
        [
            r"\begin{\incbenchfloat}",
            r"\centering",
            rf"\def\incbenchname{{{name}}}\incbenchpicture",
            rf"\caption{{{breakable(escaped(f'{words.title}. {words.caption}'))}}}",
            rf"\label{{fig:inc-bench-{name.replace('_', '-')}}}",
            r"\end{\incbenchfloat}",
            "",
        ]
    )
