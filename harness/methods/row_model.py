"""What a row's saved model runs on, MXNet or an engine, and batches of images as that takes them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.engines.interface import Engine
from harness.errors import InputError, one_line
from harness.process.jobs import RowEngine, SavedModel
from harness.process.timing import Scores
from harness.targets import made
from harness.workloads.private import copied_together

HELD_IMAGES = 256  # in memory; 150 MB of the usual 224 x 224
SCORES = "model-scores.npy"  # MXNet's, of the first tuning batch, beside a model for an engine


def load_network(model: SavedModel, size: int) -> Callable[[Any], Scores]:
    """Return a row's saved model, ready to be called with a batch.

    Args:
        size: images in each batch that will come, which an engine may make the model for.

    Raises:
        InputError: a file of it is missing or another one, or it does not load.
    """
    if model.engine is not None:
        return load_in_engine(model, made_engine(model.engine), size)
    from harness.workloads.saved import saved_network  # an engine's environment has no MXNet

    network: Callable[[Any], Scores] = saved_network(model)
    return network


def load_in_engine(
    model: SavedModel, engine: Engine, size: int, profiled: bool = False
) -> Callable[[Any], Scores]:
    """Return a model in its engine; as ``load_network``."""
    assert model.engine is not None
    row = model.engine
    with copied_model(model) as (graph, _):
        return engine.load(graph, row.threads, row.cpus, profiled, size)


@contextmanager
def copied_model(model: SavedModel) -> Iterator[tuple[Path, Path]]:
    """Yield private copies of a model's two files, which are removed at the end of the context.

    Raises:
        InputError: a file is missing, or is not the one that was recorded.
    """
    paths = [Path(model.workspace, file.path) for file in (model.symbol, model.params)]
    with copied_together(dict(zip(paths, (model.symbol.sha256, model.params.sha256)))) as folder:
        yield folder / paths[0].name, folder / paths[1].name


def batches_of(model: SavedModel, size: int | None = None, count: int | None = None) -> Any:
    """Return batches of a model's images: (data, label) each, and all ``labels``.

    Args:
        size: images in a batch; None: the workload's batch size.
        count: how many images, from the first; None: all that are used.
    """
    if model.engine is None:
        from harness.images.batches import read_batches

        return read_batches(model.images, model.workload, size, count)
    from harness.engines.numpy_batches import numpy_batches

    size = size or model.workload.batch_size
    return numpy_batches(model.images, model.workload.transform, size, count)


def held_batches(model: SavedModel, size: int) -> list[Any]:
    """Return whole batches of a model's first images, in memory: ``HELD_IMAGES``, or one batch."""
    whole = model.images.images // size * size
    count = max(1, HELD_IMAGES // size)
    return list(itertools.islice(batches_of(model, size, whole), count))


def bound_cpus(model: SavedModel) -> Sequence[int] | None:
    """Return the CPUs that an engine's threads are bound to; None for MXNet's (``Watch``)."""
    return None if model.engine is None else model.engine.cpus


def made_engine(row: RowEngine) -> Engine:
    """Return the engine that a row's configuration describes.

    Raises:
        InputError: the class is none that may be named or imported, or does not take these arguments.
    """
    described = {key: value for key, value in row.options.stored.items() if key != "environment"}
    try:
        engine: Engine = made(described)
    except Exception as error:
        raise InputError(f"engine {row.options.environment}: {one_line(error)}") from None
    return engine
