"""The works that the paragraph on methods cites, and the run itself, for BibTeX."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.report.latex import breakable, escaped
from harness.storage.plan import RunPlan

PREFIX = "incbench:"  # of the keys, which must not be an author's own ones
RUN = f"{PREFIX}run"


@dataclass(frozen=True)
class Work:
    """A work that can be cited.

    Attributes:
        phrases: after the first of them that stands in the paragraph, in LaTeX, it is cited.
        fields: of the entry, in BibTeX's own notation.
    """

    key: str
    kind: str
    phrases: Sequence[str]
    fields: Mapping[str, str]


WORKS = (
    Work(
        "mxnet",
        "misc",
        ("Apache MXNet",),
        {
            "author": "Chen, Tianqi and Li, Mu and Li, Yutian and Lin, Min and Wang, Naiyan and "
            "Wang, Minjie and Xiao, Tianjun and Xu, Bing and Zhang, Chiyuan and Zhang, Zheng",
            "title": "{MXNet}: A Flexible and Efficient Machine Learning Library for Heterogeneous "
            "Distributed Systems",
            "year": "2015",
            "howpublished": "arXiv:1512.01274",
        },
    ),
    Work(
        "inc",
        "misc",
        ("Intel Neural Compressor",),
        {
            "author": "{Intel Corporation}",
            "title": "{Intel Neural Compressor}",
            "year": "2022",
            "howpublished": r"\url{https://github.com/intel/neural-compressor}",
        },
    ),
    Work(
        "onednn",
        "misc",
        ("oneDNN",),
        {
            "author": "{Intel Corporation}",
            "title": "{oneAPI} Deep Neural Network Library ({oneDNN})",
            "year": "2021",
            "howpublished": r"\url{https://github.com/oneapi-src/oneDNN}",
        },
    ),
    Work(
        "resnetv2",
        "inproceedings",
        (r"resnet50\_v2", "ResNet50v2"),
        {
            "author": "He, Kaiming and Zhang, Xiangyu and Ren, Shaoqing and Sun, Jian",
            "title": "Identity Mappings in Deep Residual Networks",
            "booktitle": "Computer Vision -- {ECCV} 2016",
            "pages": "630--645",
            "publisher": "Springer",
            "address": "Cham",
            "year": "2016",
        },
    ),
    Work(
        "imagenet",
        "article",
        ("The workload imagenet",),
        {
            "author": "Russakovsky, Olga and Deng, Jia and Su, Hao and Krause, Jonathan and "
            "Satheesh, Sanjeev and Ma, Sean and Huang, Zhiheng and Karpathy, Andrej and "
            "Khosla, Aditya and Bernstein, Michael and Berg, Alexander C. and Fei-Fei, Li",
            "title": "{ImageNet} Large Scale Visual Recognition Challenge",
            "journal": "International Journal of Computer Vision",
            "volume": "115",
            "number": "3",
            "pages": "211--252",
            "year": "2015",
        },
    ),
    Work(
        "fashionmnist",
        "misc",
        ("The workload bundled",),
        {
            "author": "Xiao, Han and Rasul, Kashif and Vollgraf, Roland",
            "title": "{Fashion-MNIST}: a Novel Image Dataset for Benchmarking Machine Learning "
            "Algorithms",
            "year": "2017",
            "howpublished": "arXiv:1708.07747",
        },
    ),
    Work(
        "tang",
        "article",
        ("(Tang, Tang and Chan, 2003)",),
        {
            "author": "Tang, Nian-Sheng and Tang, Man-Lai and Chan, Ivan Siu Fung",
            "title": "On tests of equivalence via non-unity relative risk for matched-pair design",
            "journal": "Statistics in Medicine",
            "volume": "22",
            "number": "8",
            "pages": "1217--1233",
            "year": "2003",
        },
    ),
    Work(
        "mcnemar",
        "article",
        ("(Fagerland, Lydersen and Laake, 2013)",),
        {
            "author": "Fagerland, Morten W. and Lydersen, Stian and Laake, Petter",
            "title": "The {McNemar} test for binary matched-pairs data: mid-p and asymptotic are "
            "better than exact conditional",
            "journal": "BMC Medical Research Methodology",
            "volume": "13",
            "pages": "91",
            "year": "2013",
        },
    ),
    Work(
        "holm",
        "article",
        ("Holm's adjustment",),
        {
            "author": "Holm, Sture",
            "title": "A simple sequentially rejective multiple test procedure",
            "journal": "Scandinavian Journal of Statistics",
            "volume": "6",
            "number": "2",
            "pages": "65--70",
            "year": "1979",
        },
    ),
)


def cited(tex: str) -> str:
    r"""Return the paragraph, in LaTeX, with a ``\cite`` after the first phrase of each work."""
    for work in WORKS:
        tex = _cited(tex, work.phrases, f"{PREFIX}{work.key}")
    return _cited(tex, ("driven by inc-bench",), RUN)


def _cited(tex: str, phrases: Sequence[str], key: str) -> str:
    for phrase in phrases:
        if phrase in tex:
            return tex.replace(phrase, rf"{phrase}~\cite{{{key}}}", 1)
    return tex


def to_bibtex(plan: RunPlan, plan_digest: str, config_digest: str) -> str:
    """Return all works, and the run with its digests."""
    run = Work(
        "run",
        "misc",
        (),
        {
            "author": "{The inc-bench developers}",
            "title": f"{{inc-bench}} {_text(plan.harness)}: run {_text(plan.run)} of the workload "
            f"{_text(plan.workload.name)}",
            "year": re.sub(r"\D.*", "", plan.created) or "n.d.",
            "note": f"Measured {_text(plan.created)}; plan, SHA-256 {_text(plan_digest)}; "
            f"configuration, SHA-256 {_text(config_digest)}",
        },
    )
    return "\n".join(_entry(work) for work in (*WORKS, run))


def _entry(work: Work) -> str:
    fields = "".join(f"  {name} = {{{value}}},\n" for name, value in work.fields.items())
    return f"@{work.kind}{{{PREFIX}{work.key},\n{fields}}}\n"


def _text(text: str) -> str:
    """Return text for a field: BibTeX counts braces, those that LaTeX prints as well."""
    safe = breakable(escaped(text))
    return safe.replace(r"\{", r"\textbraceleft{}").replace(r"\}", r"\textbraceright{}")
