"""What a paper cites of a run, for BibTeX: the works, the run itself, and where the text names them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from harness.report.artifact.method_works import SOURCES, sources_of
from harness.report.artifact.works import WORKS, Work
from harness.report.evidence import RunDigests
from harness.report.latex import breakable, escaped
from harness.storage.plan import RunPlan
from harness.table.plan_words import checkout_text, cpu_text, mxnet_text

PREFIX = "incbench:"  # of the keys, which must not be an author's own ones
RUN = f"{PREFIX}run"


def cited(tex: str) -> str:
    r"""Return the paragraph, in LaTeX, with a ``\cite`` after the first phrase of each work."""
    for work in (*WORKS, *(source.work for source in SOURCES)):
        tex = _cited(tex, work.phrases, f"{PREFIX}{work.key}")
    return _cited(tex, ("driven by inc-bench",), RUN)


def _cited(tex: str, phrases: Sequence[str], key: str) -> str:
    for phrase in phrases:
        if phrase in tex:
            return tex.replace(phrase, rf"{phrase}~\cite{{{key}}}", 1)
    return tex


def to_bibtex(plan: RunPlan, digests: RunDigests) -> str:
    """Return the works that a report of the run cites, and the run with its versions and digests."""
    versions = plan.versions
    software = ", ".join(
        [
            f"inc-bench {plan.harness}" + (f" ({checkout_text(plan)})" if plan.checkout else ""),
            f"Apache MXNet {mxnet_text(versions)}",
            f"Intel Neural Compressor {versions.neural_compressor}",
            *versions.engine_texts,
        ]
    )
    run = Work(
        "run",
        "misc",
        (),
        {
            "author": "{The inc-bench developers}",
            "title": f"{{inc-bench}} {_text(plan.harness)}: run {_text(plan.run)} of the workload "
            f"{_text(plan.workload.name)}",
            "year": re.sub(r"\D.*", "", plan.created) or "n.d.",
            "note": f"Measured {_text(plan.created)} on {_text(cpu_text(plan.machine))} with "
            f"{_text(software)}; results, SHA-256 {_text(digests.results)}; plan, SHA-256 "
            f"{_text(digests.plan)}; configuration, SHA-256 {_text(digests.config)}",
        },
    )
    of_methods = [source.work for source in sources_of(plan.methods)]
    return "\n".join(_entry(work) for work in (*WORKS, *of_methods, run))


def _entry(work: Work) -> str:
    fields = "".join(f"  {name} = {{{value}}},\n" for name, value in work.fields.items())
    return f"@{work.kind}{{{PREFIX}{work.key},\n{fields}}}\n"


def _text(text: str) -> str:
    """Return text for a field: BibTeX counts braces, those that LaTeX prints as well."""
    safe = breakable(escaped(text))
    return safe.replace(r"\{", r"\textbraceleft{}").replace(r"\}", r"\textbraceright{}")
