"""The works that methods come from: which of them a run's rows use.

A work comes with the settings of ``conf/method/`` that use it, so that a report has the papers of its
own rows alone. Strategies of Intel Neural Compressor without a paper of their own (basic, mse) are cited
with Intel Neural Compressor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.report.artifact.works import Work
from harness.storage.configuration import Method
from harness.storage.method_options import (
    BF16,
    BF16_FALLBACK,
    EQUALIZED,
    MYCUSTOM,
    QUANTIZED,
    SENSITIVITY,
)

Setting = tuple[str, Any]  # a key of a row's configuration at any depth, and its value there


@dataclass(frozen=True)
class Source:
    """A work that a method comes from.

    Attributes:
        settings: a row with any of them uses it; a value of None stands for any.
    """

    work: Work
    settings: Sequence[Setting]

    @property
    def phrase(self) -> str:
        """What the paragraph on methods says of it; the work is cited after that."""
        return self.work.phrases[0]

    def serves(self, method: Method) -> bool:
        """Say whether a row uses it."""
        own = list(_settings(method.stored))
        keys = {key for key, _ in own}
        return any(
            key in keys if value is None else (key, value) in own for key, value in self.settings
        )


def _settings(values: Mapping[str, Any]) -> Iterator[Setting]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _settings(value)
        else:
            yield key, value


TARGET, STRATEGY, ENVIRONMENT = "_target_", "strategy", "environment"
INT8 = ((TARGET, QUANTIZED), (STRATEGY, None))  # rows that quantise to int8
NEURIPS = "Advances in Neural Information Processing Systems"
ICCV = "Proceedings of the {IEEE/CVF} International Conference on Computer Vision ({ICCV})"
ICML = "Proceedings of the {number} International Conference on Machine Learning"

SOURCES = (
    Source(
        Work(
            "jacob",
            "inproceedings",
            ("int8 arithmetic with folded batch norms (Jacob et al., 2018)",),
            {
                "author": "Jacob, Benoit and Kligys, Skirmantas and Chen, Bo and Zhu, Menglong and "
                "Tang, Matthew and Howard, Andrew and Adam, Hartwig and Kalenichenko, Dmitry",
                "title": "Quantization and Training of Neural Networks for Efficient "
                "Integer-Arithmetic-Only Inference",
                "booktitle": "Proceedings of the {IEEE} Conference on Computer Vision and Pattern "
                "Recognition ({CVPR})",
                "pages": "2704--2713",
                "year": "2018",
            },
        ),
        INT8,
    ),
    Source(
        Work(
            "migacz",
            "misc",
            ("thresholds by Kullback-Leibler divergence (Migacz, 2017)",),
            {
                "author": "Migacz, Szymon",
                "title": "8-bit Inference with {TensorRT}",
                "year": "2017",
                "howpublished": "{GPU} Technology Conference",
            },
        ),
        (("calib_mode", "entropy"), (STRATEGY, None)),
    ),
    Source(
        Work(
            "krishnamoorthi",
            "misc",
            ("scales of channels (Krishnamoorthi, 2018)",),
            {
                "author": "Krishnamoorthi, Raghuraman",
                "title": "Quantizing deep convolutional networks for efficient inference: A whitepaper",
                "year": "2018",
                "howpublished": "arXiv:1806.08342",
            },
        ),
        (("quantize_granularity", "channel-wise"),),
    ),
    Source(
        Work(
            "nagel",
            "inproceedings",
            ("equalisation and bias correction (Nagel et al., 2019)",),
            {
                "author": "Nagel, Markus and van Baalen, Mart and Blankevoort, Tijmen and Welling, Max",
                "title": "Data-Free Quantization Through Weight Equalization and Bias Correction",
                "booktitle": ICCV,
                "pages": "1325--1334",
                "year": "2019",
            },
        ),
        ((TARGET, EQUALIZED),),
    ),
    Source(
        Work(
            "snoek",
            "inproceedings",
            ("Bayesian optimisation (Snoek, Larochelle and Adams, 2012)",),
            {
                "author": "Snoek, Jasper and Larochelle, Hugo and Adams, Ryan P.",
                "title": "Practical {Bayesian} Optimization of Machine Learning Algorithms",
                "booktitle": NEURIPS,
                "volume": "25",
                "pages": "2951--2959",
                "year": "2012",
            },
        ),
        ((STRATEGY, "bayesian"), (STRATEGY, MYCUSTOM)),
    ),
    Source(
        Work(
            "bergstra_tpe",
            "inproceedings",
            ("tree-structured Parzen estimators (Bergstra et al., 2011)",),
            {
                "author": "Bergstra, James and Bardenet, R{\\'e}mi and Bengio, Yoshua and "
                "K{\\'e}gl, Bal{\\'a}zs",
                "title": "Algorithms for Hyper-Parameter Optimization",
                "booktitle": NEURIPS,
                "volume": "24",
                "pages": "2546--2554",
                "year": "2011",
            },
        ),
        ((STRATEGY, "tpe"),),
    ),
    Source(
        Work(
            "bergstra_random",
            "article",
            ("random search (Bergstra and Bengio, 2012)",),
            {
                "author": "Bergstra, James and Bengio, Yoshua",
                "title": "Random Search for Hyper-Parameter Optimization",
                "journal": "Journal of Machine Learning Research",
                "volume": "13",
                "pages": "281--305",
                "year": "2012",
            },
        ),
        ((STRATEGY, "random"),),
    ),
    Source(
        Work(
            "sakr",
            "inproceedings",
            ("decisions that rounding noise changes (Sakr, Kim and Shanbhag, 2017)",),
            {
                "author": "Sakr, Charbel and Kim, Yongjune and Shanbhag, Naresh",
                "title": "Analytical Guarantees on Numerical Precision of Deep Neural Networks",
                "booktitle": ICML.format(number="34th"),
                "pages": "3007--3016",
                "year": "2017",
            },
        ),
        ((STRATEGY, SENSITIVITY),),
    ),
    Source(
        Work(
            "lin",
            "inproceedings",
            ("noise powers of layers added up (Lin, Talathi and Annapureddy, 2016)",),
            {
                "author": "Lin, Darryl D. and Talathi, Sachin S. and Annapureddy, V. Sreekanth",
                "title": "Fixed Point Quantization of Deep Convolutional Networks",
                "booktitle": ICML.format(number="33rd"),
                "pages": "2849--2858",
                "year": "2016",
            },
        ),
        ((STRATEGY, SENSITIVITY),),
    ),
    Source(
        Work(
            "kalamkar",
            "misc",
            ("bf16 (Kalamkar et al., 2019)",),
            {
                "author": "Kalamkar, Dhiraj and Mudigere, Dheevatsa and Mellempudi, Naveen and others",
                "title": "A Study of {BFLOAT16} for Deep Learning Training",
                "year": "2019",
                "howpublished": "arXiv:1905.12322",
            },
        ),
        ((TARGET, BF16), (TARGET, BF16_FALLBACK)),
    ),
    Source(
        Work(
            "onnxruntime",
            "misc",
            ("ONNX Runtime",),
            {
                "author": "{The ONNX Runtime developers}",
                "title": "{ONNX Runtime}",
                "year": "2026",
                "howpublished": r"\url{https://onnxruntime.ai}",
            },
        ),
        ((ENVIRONMENT, "onnxruntime"), (ENVIRONMENT, "inc")),
    ),
    Source(
        Work(
            "openvino",
            "misc",
            ("OpenVINO",),
            {
                "author": "{Intel Corporation}",
                "title": "{OpenVINO} Toolkit",
                "year": "2026",
                "howpublished": r"\url{https://github.com/openvinotoolkit/openvino}",
            },
        ),
        ((ENVIRONMENT, "openvino"),),
    ),
    Source(
        Work(
            "nncf",
            "misc",
            ("NNCF (Kozlov et al., 2020)",),
            {
                "author": "Kozlov, Alexander and Lazarevich, Ivan and Shamporov, Vasily and "
                "Lyalyushkin, Nikolay and Gorbachev, Yury",
                "title": "Neural Network Compression Framework for Fast Model Inference",
                "year": "2020",
                "howpublished": "arXiv:2002.08679",
            },
        ),
        ((TARGET, "harness.engines.openvino.OpenVino"),),
    ),
    Source(
        Work(
            "pytorch",
            "inproceedings",
            ("PyTorch (Paszke et al., 2019)",),
            {
                "author": "Paszke, Adam and Gross, Sam and Massa, Francisco and others",
                "title": "{PyTorch}: An Imperative Style, High-Performance Deep Learning Library",
                "booktitle": "Advances in Neural Information Processing Systems",
                "year": "2019",
            },
        ),
        ((ENVIRONMENT, "pytorch"),),
    ),
)


def sources_of(methods: Mapping[str, Method]) -> list[Source]:
    """Return the sources of these rows' methods."""
    return [source for source in SOURCES if any(map(source.serves, methods.values()))]
