"""Multiply-accumulate operations (MACs) of a primitive, from the shapes in oneDNN's verbose output.

Counted as papers do: every weight once for every output position, padding included, additions of
bias and whatever is fused not.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

SIZE = re.compile(r"([a-z]+)(\d{1,9})(?!\d)")  # of mb16_ic256oc256_ih14oh14kh3sh1dh0ph1, ic and 256
MATRICES = re.compile(r"\d{1,9}(?:x\d{1,9})+(?::\d{1,9}(?:x\d{1,9})+){2}")  # 64x128:128x256:64x256


def count_macs(kind: str, problem: str) -> int | None:
    """Return the number of MACs of a primitive; None where the shapes do not tell.

    Args:
        kind: such as convolution.
        problem: the last but one field of the line, such as mb1024ic2048oc2048.
    """
    if kind == "matmul":
        return _of_matmul(problem) if MATRICES.fullmatch(problem) else None
    sizes = {name: int(size) for name, size in SIZE.findall(problem)}
    if not {"mb", "ic", "oc"} <= set(sizes):
        return None
    if kind == "inner_product":
        return sizes["mb"] * sizes["oc"] * sizes["ic"] * _product(sizes, "id", "ih", "iw")
    if kind not in ("convolution", "deconvolution") or "iw" not in sizes:
        return None
    positions = ("od", "oh", "ow") if kind == "convolution" else ("id", "ih", "iw")
    channels = sizes["ic"] * sizes["oc"] // max(1, sizes.get("g", 1))
    return sizes["mb"] * channels * _product(sizes, *positions, "kd", "kh", "kw")


def _of_matmul(problem: str) -> int:
    source, _, destination = ([int(n) for n in part.split("x")] for part in problem.split(":"))
    return math.prod(destination) * source[-1]


def _product(sizes: Mapping[str, int], *names: str) -> int:
    """Return the product of the sizes that there are: an image has no depth."""
    return math.prod(sizes.get(name, 1) for name in names)
