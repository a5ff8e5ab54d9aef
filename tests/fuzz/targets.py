"""What is fuzzed: for each parser some good inputs, and a function that feeds it one input.

A target may return, or refuse with ``InputError`` or ``HarnessError``. Anything else is a finding: a
traceback, a hang, memory beyond the limit, the death of the process, or a number that is none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from . import data, runs, settings


@dataclass(frozen=True)
class Target:
    """A parser.

    Attributes:
        inputs: how many the whole campaign tries.
        seeds: good inputs, and whether they are JSON.
        feed: takes one input and a folder to work in.
        native: it runs native code, so what is tried is on disk before it is.
    """

    name: str
    inputs: int
    seeds: Callable[[Path], list[bytes]]
    feed: Callable[[bytes, Path], None]
    is_json: bool = False
    native: bool = False


RECORDS = runs.files_of_run(
    "records/00_fp32.json", "records/03_int8_mse.json", "records/05_int8_bayesian.json"
)
INFLUENCE = "methods/int8_custom/operator_influence.csv"
ROUND = "rounds/001_fp32_1.json"
TARGETS = (
    Target("record file", 25_000, data.records, data.feed_record),
    Target("record index", 5_000, data.idx_lines, data.feed_idx),
    Target("image header", 25_000, data.images, data.feed_image_size),
    Target("image", 8_000, data.images, data.feed_decode, native=True),
    Target("weights", 20_000, data.weights, data.feed_weights),
    Target("weights in MXNet", 3_000, data.weights, data.feed_weights_to_mxnet, native=True),
    Target("symbol", 15_000, data.symbols, data.feed_symbol, is_json=True),
    Target("symbol in MXNet", 3_000, data.symbols, data.feed_symbol_to_mxnet, is_json=True, native=True),
    Target("method record", 3_000, RECORDS, runs.feed_table("records/03_int8_mse.json"), True),
    Target("round record", 1_500, runs.files_of_run(ROUND), runs.feed_table(ROUND), True),
    Target("plan", 2_000, runs.files_of_run("plan.json"), runs.feed_report("plan.json"), True),
    Target("labels", 1_000, runs.files_of_run("labels.npy"), runs.feed_table("labels.npy")),
    Target("predictions", 10_000, runs.predictions, runs.feed_predictions),
    Target("trials", 1_000, runs.trials, runs.feed_report("methods/int8_mse/trials.npz")),
    Target("trajectory", 1_000, runs.files_of_run("methods/int8_bayesian/trajectory.json"),
           runs.feed_report("methods/int8_bayesian/trajectory.json"), True),
    Target("influence", 1_000, runs.influences, runs.feed_report(INFLUENCE)),
    Target("night", 1_000, runs.nights, runs.feed_table("nightly.json"), True),
    Target("acknowledged", 1_000, runs.acknowledgements, runs.feed_table("acknowledged.json"), True),
    Target("history", 2_000, runs.databases, runs.feed_database),
    Target("prices", 3_000, settings.prices, settings.feed_prices),
    Target("published table", 5_000, settings.published, settings.feed_published),
    Target("overrides", 600, settings.overrides, settings.feed_overrides),
    Target("configuration", 400, settings.configurations, settings.feed_configuration),
    Target("pack", 2_000, runs.packs, runs.feed_pack),
    Target("pack, sealed", 2_000, runs.packs, runs.feed_sealed_pack),
    Target("pack, all digests", 500, RECORDS, runs.feed_as_packed, True),
    Target("tuning history", 5_000, data.histories, data.feed_history, is_json=True),
    Target("tuning history in INC", 400, data.histories, data.feed_history_to_inc, True, native=True),
)  # fmt: skip
BY_NAME = {target.name: target for target in TARGETS}
