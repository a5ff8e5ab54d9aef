"""The rows of a run at the split of the machine that gives each of them the most images per second."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.table.instances.splits import SplitRow, best_split, by_method
from harness.table.rows import Row
from harness.table.samples import Samples


@dataclass(frozen=True)
class AtBestSplit:
    """Rows and times of a run, those at the best split in place of those of one process.

    Attributes:
        rows: by method; images/s and its interval are those of the split.
        times: by method; one time a round, of as many images as a batch of the workload has.
        named: by method, the split and its batch size in words; of the rows that were measured so.
    """

    rows: Mapping[str, Row]
    times: Mapping[str, Samples]
    named: Mapping[str, str]


def at_best_split(
    rows: Iterable[Row],
    times: Mapping[str, Samples],
    splits: Sequence[SplitRow],
    batch_size: int,
) -> AtBestSplit:
    """Return rows and times at each row's best split; as they are where no split was measured.

    Args:
        times: of one process, by method.
        batch_size: the workload's.
    """
    own = {row.method: row for row in rows}
    of_split, named = dict(times), {}
    for measured in by_method(splits):
        best = best_split(measured)
        row = best and own.get(best.method)
        if best is None or row is None or row.images_per_s is None:
            continue
        intervals = {key: value for key, value in row.intervals.items() if key != "images_per_s"}
        if best.interval:
            intervals["images_per_s"] = best.interval
        own[best.method] = replace(row, images_per_s=best.images_per_s, intervals=intervals)
        seconds = batch_size / np.array(best.rates)[:, None]
        of_split[best.method] = Samples(tuple(range(1, len(seconds) + 1)), seconds)
        named[best.method] = best.name
    return AtBestSplit(own, of_split, named)
