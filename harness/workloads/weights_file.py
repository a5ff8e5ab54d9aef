"""Read a file of weights of any MXNet as float32, as Gluon's own loader does.

MXNet 1 wrote arrays that MXNet 2 reads only outside NumPy's semantics, in which a shape of no
sides is a scalar and not an array without values.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mxnet as mx
import numpy as np
from mxnet.util import np_array, np_shape

from harness.errors import InputError, one_line
from harness.workloads.model_files import check_weights
from harness.workloads.private import copied

MxArray = Any  # MXNet has no types
Parameter = Any  # Gluon's
PREFIXES = ("arg:", "aux:")  # before the names in a checkpoint and in an exported pair
SINGLE = np.dtype("float32")
SHOWN = 3  # names in a message


class WeightsWarning(UserWarning):
    """A property of the weights that the reader of the table should know."""


def load_weights(path: Path) -> dict[str, MxArray]:
    """Return the arrays of a file by name, without prefix; other float types as float32.

    Integers stay as they are. Warns with ``WeightsWarning`` of what was cast.

    Raises:
        InputError: the file is missing, damaged, has no names or one name twice, or holds numbers
            that float32 does not.
    """
    if not path.is_file():
        raise InputError(f"the weights {path} do not exist: check workload.params")
    with copied(path) as copy:
        check_weights(copy, path)
        stored = _read(copy, path)
    names = {name: name[4:] if name.startswith(PREFIXES) else name for name in stored}
    twice = [name for name, count in Counter(names.values()).items() if count > 1]
    if twice:
        raise InputError(
            f"the weights {path} have {shown(twice)} both with and without the prefix arg: or aux: "
            "before the name: keep one of the two"
        )
    weights = {names[name]: _as_single(value, names[name], path) for name, value in stored.items()}
    cast = Counter(_type_name(value) for value in stored.values() if _is_other_float(value))
    if cast:
        kinds = ", ".join(
            f"{count} of {len(stored)} arrays are {kind}" for kind, count in cast.items()
        )
        warnings.warn(
            f"the weights {path.name} are not all float32 ({kinds}): they were cast to float32 when "
            "they were loaded, and every row begins with that network",
            WeightsWarning,
            stacklevel=2,
        )
    return weights


def check_fit(
    weights: Mapping[str, MxArray], parameters: Mapping[str, Parameter], path: Path, of: str
) -> None:
    """Compare weights with the parameters of a network, by name and by shape.

    Args:
        parameters: Gluon's, by name; a side that is not known yet fits any.
        of: what the network is called.

    Raises:
        InputError: a parameter has no weights, weights have no parameter, or a shape differs.
    """
    missing = [name for name in parameters if name not in weights]
    extra = [name for name in weights if name not in parameters]
    unlike = [
        f"{name} is {tuple(weights[name].shape)} in the file and {tuple(known.shape)} in the network"
        for name, known in parameters.items()
        if name in weights and not _same_shape(weights[name].shape, known.shape)
    ]
    wrong = [
        f"it has no weights for {shown(missing)}" if missing else "",
        f"it has {shown(extra)}, which the network does not take" if extra else "",
        "; ".join(unlike[:SHOWN]) + (f"; {len(unlike)} in all" if len(unlike) > SHOWN else ""),
    ]
    if not any(wrong):
        return
    advice = "check workload.params, workload.classes, and which network it is"
    if missing and extra and not any("." in name for name in weights):
        advice = (
            "these are the names of an exported pair or of MXNet 1.2 and earlier: give the symbol "
            "that was written with it as workload.symbol, without workload.network"
        )
    raise InputError(
        f"the weights {path} do not fit {of}: {'; '.join(filter(None, wrong))}: {advice}"
    )


def shown(names: list[str]) -> str:
    """Return the first few names, and how many more there are."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _read(copy: Path, path: Path) -> dict[str, MxArray]:
    try:
        try:
            return _named(mx.npx.load(str(copy)), path)
        except mx.base.MXNetError as error:
            if "is_np_shape" not in str(error):
                raise
        with np_array(False), np_shape(False):
            stored = _named(mx.nd.load(str(copy)), path)
        return {name: value.as_np_ndarray() for name, value in stored.items()}
    except mx.base.MXNetError as error:
        raise InputError(
            f"MXNet does not read the weights {path}: it says {one_line(error)}"
        ) from None


def _named(loaded: Any, path: Path) -> dict[str, MxArray]:
    if not loaded:
        raise InputError(f"the weights {path} hold no array: check workload.params")
    if not isinstance(loaded, dict):
        raise InputError(
            f"the weights {path} have no names, only their order: save them with the network's "
            "save_parameters or export, or as a dictionary"
        )
    return loaded


def _as_single(value: Any, name: str, path: Path) -> Any:
    if not _is_other_float(value):
        return value
    values = value.asnumpy()
    if _type_name(value) == "bfloat16":  # the upper half of a float32
        single = (values.view(np.uint16).astype(np.uint32) << 16).view(SINGLE)
    else:
        with np.errstate(over="ignore"):
            single = values.astype(SINGLE)
        if not np.array_equal(np.isfinite(single), np.isfinite(values)):
            raise InputError(
                f"{name} of the weights {path} holds {_type_name(value)} numbers beyond float32's, in "
                "which this harness measures: check workload.params"
            )
    return mx.np.array(single, dtype=SINGLE)


def _is_other_float(value: Any) -> bool:
    return _type_name(value) in ("float16", "float64", "bfloat16")


def _type_name(value: Any) -> str:
    kind = np.dtype(value.dtype)
    return kind.names[0] if kind.names else kind.name


def _same_shape(one: tuple[int, ...], known: tuple[int, ...] | None) -> bool:
    if known is None:
        return True
    return len(one) == len(known) and all(
        want <= 0 or have == want for have, want in zip(one, known)
    )
