"""Run each engine's int8 on networks whose defect is known, plain, equalised and tuned by accuracy.

A case is a run of the harness, in DIR/runs; one that is there is not measured again. Writes engines.json
and engines.md after every case and prints the second. The losses are on images that nothing was tuned
on. Times of batches are not for use: there are too few.

Exit codes: 0 it ran, whatever was found; 2 the input is at fault; 3 a row failed.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.arguments import positive
from benchmarks.engines import report
from benchmarks.strategies import DEFECTS
from harness import PROJECT
from harness.errors import HarnessError, InputError, exit_code
from harness.files import whole_files
from harness.host import machine
from harness.stats import accuracy
from harness.storage import outcomes
from harness.storage.record import MethodRecord
from harness.storage.store import RunFolder

OUT = PROJECT / "results" / "benchmark_engines"
FP32 = "fp32"
ROWS = ("int8_smart_naive", "int8_equalized_smart",
        "onnxruntime_int8", "onnxruntime_equalized_int8",
        "onnxruntime_int8_channel", "onnxruntime_equalized_int8_channel",
        "openvino_int8", "openvino_equalized_int8",
        "openvino_int8_controlled", "onnxruntime_inc_basic")  # fmt: skip
BATCH = 64
QUICK = ("protocol=quick", "protocol.rounds=2", "protocol.batches=2", "protocol.warmup_s=0.1")


def main(arguments: Sequence[str] | None = None) -> int:
    options = parsed(sys.argv[1:] if arguments is None else arguments)
    cases: list[dict[str, Any]] = []
    cpu = machine.describe()
    about = {
        "cpu": cpu.cpu_model,
        "isa": sorted(cpu.isa or ()),
        "tuning": options.tuning * BATCH,
        "held_back": options.images - options.tuning * BATCH,
    }
    text = ""
    try:
        if about["held_back"] < 1:
            raise InputError(
                f"--images {options.images} are no more than the {about['tuning']} to tune on: give more"
            )
        options.out.mkdir(parents=True, exist_ok=True)
        for case in measured(options):
            cases.append(case)
            text = report.to_markdown(cases, about)
            whole_files.write_json(options.out / "engines.json", {"about": about, "cases": cases})
            whole_files.write_atomically(options.out / "engines.md", text)
    except (InputError, HarnessError) as error:
        return exit_code(error)
    print(text, end="")
    rows = [row for case in cases for row in case["rows"].values()]
    return 3 if any(row["outcome"].startswith(outcomes.FAILED) for row in rows) else 0


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./run.sh benchmark engines",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--defects", nargs="+", choices=DEFECTS, default=list(DEFECTS))
    parser.add_argument(
        "--rows", nargs="+", default=list(ROWS), metavar="NAME", help="of conf/method"
    )
    parser.add_argument("--seeds", type=positive, default=1, metavar="N", help="default: 1")
    parser.add_argument(
        "--images", type=positive, default=3000, metavar="N", help="the first N; default: 3000"
    )
    parser.add_argument(
        "--tuning", type=positive, default=6, metavar="N",
        help=f"of them, the first N batches of {BATCH} to tune on; default: 6",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help=f"default: {OUT}")
    return parser.parse_args(arguments)


def measured(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield one case after the other.

    Raises:
        HarnessError: a case has no run, or none in fp32 to compare with.
    """
    for seed, defect in itertools.product(range(options.seeds), options.defects):
        name = f"{defect.replace(' ', '_')}_{seed}"
        runs = options.out / "runs"
        command = [
            *(sys.executable, "-m", "harness"),
            f"method=[{','.join((FP32, *options.rows))}]",
            "workload.model._target_=benchmarks.strategies.models.network",
            f"+workload.model.defect='{defect}'",
            f"+workload.model.seed={seed}",
            f"workload.images={options.images}",
            f"workload.tuning.batches={options.tuning}",
            *QUICK,
            f"run.results={runs.absolute()}",
            f"run.id={name}",
        ]
        ended = subprocess.run(command, cwd=PROJECT, stdout=subprocess.DEVNULL, check=False)
        folder = next(runs.glob(f"*/{name}"), None)
        if folder is None or ended.returncode not in (0, 3):
            raise HarnessError(
                f"the run of {defect}, seed {seed}, ended with {ended.returncode}: if {options.out} has "
                "runs of other options, give another --out"
            )
        yield {"defect": defect, "seed": seed, **case_of(RunFolder(folder), options)}


def case_of(folder: RunFolder, options: argparse.Namespace) -> dict[str, Any]:
    """Return a case's facts: fp32's accuracy, and what each row lost and took.

    Raises:
        HarnessError: a row is missing, fp32 has no predictions, or a file is damaged.
    """
    records = {record.method: record for record in folder.load_records()}
    missing = [name for name in options.rows if name not in records]
    if missing:
        raise HarnessError(f"{folder.path} has no {', '.join(missing)}: the same command goes on")
    labels = folder.load_labels(options.images)
    held_back = slice(options.tuning * BATCH, None)
    right = {
        name: (folder.load_predictions(record, options.images)[:, 0] == labels)[held_back]
        for name, record in records.items()
        if record.validate is not None
    }
    if FP32 not in right:
        raise HarnessError(f"{folder.path} has no predictions in fp32: see its logs")
    rows = {
        name: {**facts_of(records[name]), **loss_of(right[FP32], right.get(name))}
        for name in options.rows
    }
    return {"fp32": float(right[FP32].mean()), "rows": rows}


def facts_of(record: MethodRecord) -> Mapping[str, Any]:
    """Return the outcome of a row, its seconds and evaluations, and what stayed in fp32."""
    made = record.optimize
    facts: dict[str, Any] = {"outcome": str(record.outcome)}
    if made is not None:
        facts["seconds"] = made.cost_s
        if made.quantization is not None:
            facts["evaluations"] = made.quantization.trials
            facts["excluded"] = made.quantization.excluded_operators or []
    return facts


def loss_of(reference: Any, right: Any) -> Mapping[str, Any]:
    """Return what a row loses of fp32's top-1, in percent, with its interval; nothing of no model."""
    if right is None:
        return {}
    loss = accuracy.relative_loss(reference, np.asarray(right))
    return {"loss": [loss.estimate, loss.low, loss.high]}


if __name__ == "__main__":
    sys.exit(main())
