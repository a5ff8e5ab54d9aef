"""Look at the model before anything long is done with it, and at what MXNet really is here."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import mxnet as mx
import numpy as np
import numpy.typing as npt

from harness.errors import InputError, one_line
from harness.host.threads import loaded_openmp
from harness.methods import instantiated
from harness.methods.additions import with_additions_of
from harness.process import compat
from harness.process.jobs import InspectJob, WorkerWorkload
from harness.storage.stage_facts import Inspection
from harness.workloads import fp32_network
from harness.workloads.weights_file import WeightsWarning

IMAGES = 2  # a network that was exported for one image alone shows itself
SIDES = (224, 28, 32, 56, 64, 96, 112, 128, 160, 192, 227, 240, 256, 299, 331, 384)  # usual ones
CHANNELS = (1, 4)  # other than 3


def run(job: InspectJob, progress: Callable[[int, int, str], None]) -> Inspection:
    """Load the fp32 network, run two blank images through it, and make every method.

    Raises:
        InputError: the model cannot be loaded, or does not fit the images or the classes; a
            method's class or arguments are wrong.
    """
    workload = job.workload
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        net = fp32_network(workload)
    for each in warned:
        print(f"{each.category.__name__}: {each.message}")  # into the log, as they would be
    for method in job.methods.values():
        instantiated(method)
    scores = _scores_of_blank(net, workload.transform.crop)
    _check_shape(scores, workload.classes)
    _check_additions(workload, net)
    weights = {name: p.data().asnumpy() for name, p in net.collect_params().items()}
    # the scores do not tell: a ReLU makes 0 of NaN
    broken = [name for name, values in weights.items() if not np.isfinite(values).all()]
    if broken:
        raise InputError(
            f"{broken[0]} and {len(broken) - 1} more of the model's {len(weights)} parameters hold "
            "NaN or infinity: check workload.params"
        )
    if not np.isfinite(scores).all():
        raise InputError(
            "the model's scores for a blank image are NaN or infinite: check workload.params"
        )
    return Inspection(
        versions=compat.true_versions(),
        openmp=loaded_openmp(),
        parameters=sum(values.size for values in weights.values()),
        warnings=[str(w.message) for w in warned if issubclass(w.category, WeightsWarning)],
    )


def _check_additions(workload: WorkerWorkload, net: Any) -> None:
    """Make the network that methods get of the loaded one."""
    try:
        with_additions_of(workload, net)
    except Exception as error:  # a network of the user's own raises what it likes
        raise InputError(
            f"mxnet_additions=repaired: the model's additions cannot be replaced "
            f"({one_line(error) or type(error).__name__}): give mxnet_additions=null"
        ) from None


def _scores_of_blank(net: Any, side: int) -> npt.NDArray[Any]:
    """Return the scores of blank images, or say what the network takes instead.

    What MXNet says is told as its words; a cause is named only where another input was tried and ran.
    """
    try:
        return _scores(net, (IMAGES, 3, side, side))
    except InputError:
        raise
    except Exception as error:  # a network of the user's own raises what it likes
        said = one_line(error) or type(error).__name__
    found = next((what for shape, what in _others(side) if _runs(net, shape)), None)
    if found is None:
        kinds = {str(p.dtype) for p in net.collect_params().values()} - {"float32"}
        others = f" Not all of its parameters are float32: there are {', '.join(sorted(kinds))}."
        found = "No other usual size and number of channels runs either." + (
            others if kinds else ""
        )
    raise InputError(
        f"the model does not run on {IMAGES} blank images of 3 x {side} x {side} "
        f"(workload.transform.crop={side}): {said}. {found}"
    )


def _others(side: int) -> Iterator[tuple[tuple[int, ...], str]]:
    """Give inputs to try, each with what it shows of the network if it runs."""
    for other in SIDES:
        yield (IMAGES, 3, other, other), f"It runs with workload.transform.crop={other}: set that."
    for channels in CHANNELS:
        for size in (side, *SIDES):
            yield (
                (IMAGES, channels, size, size),
                f"It runs on images of {channels} channel{'s' * (channels > 1)} ({size} x {size}), "
                "and this harness measures colour images: take a network of 3.",
            )
    for size in (side, *SIDES):
        yield (
            (IMAGES, size, size, 3),
            f"It runs with the channels last ({size} x {size} x 3), and this harness gives them "
            "first: export it with the layout NCHW.",
        )
    for size in (side, *SIDES):
        yield (
            (1, 3, size, size),
            f"It runs on one image alone ({size} x {size}): export it for any number of images.",
        )


def _runs(net: Any, shape: tuple[int, ...]) -> bool:
    try:
        _scores(net, shape)
    except Exception:  # the question is only whether it runs
        return False
    return True


def _scores(net: Any, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    made = net(mx.np.zeros(shape))
    if isinstance(made, (list, tuple)):
        raise InputError(
            f"the model gives {len(made)} outputs: give one whose scores are its only output"
        )
    return np.asarray(made.asnumpy())


def _check_shape(scores: npt.NDArray[Any], classes: int) -> None:
    if scores.ndim != 2 or len(scores) != IMAGES:
        raise InputError(
            f"the model gives an array of {' x '.join(map(str, scores.shape)) or 'one number'} for "
            f"{IMAGES} images, and {IMAGES} x classes are needed: give a classifier, exported for "
            "any number of images"
        )
    if scores.shape[1] != classes:
        raise InputError(
            f"the model gives {scores.shape[1]} classes and workload.classes is {classes}: "
            "set it to the model's"
        )
