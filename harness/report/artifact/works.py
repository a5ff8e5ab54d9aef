"""The works that any report cites: of the software, the networks, the data and the statistics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


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
        "tutorial",
        "misc",
        ("as in the tutorial",),
        {
            "author": "{The Apache MXNet contributors}",
            "title": "Improving accuracy with {Intel Neural Compressor}",
            "year": "2022",
            "howpublished": r"Tutorial, \url{https://github.com/apache/mxnet}",
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
