"""Compare INC's strategies and the project's own rows on networks whose defect is known.

Writes strategies.csv, strategies.json, strategies.md and strategies.svg after every case, each case's
log beside them, and prints the third.

Exit codes: 0 it ran, whatever was found; 2 the input is at fault; 3 it failed.
"""

from __future__ import annotations

import argparse
import csv
import io
import itertools
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.arguments import positive
from benchmarks.strategies import DEFECTS, report
from harness import PROJECT
from harness.config import compose_config, project_path
from harness.errors import HarnessError, InputError, exit_code
from harness.facts.machine_facts import Versions
from harness.facts.typed import Facts, decode
from harness.files import whole_files
from harness.host import machine, threads
from harness.host.topology import read_topology
from harness.images import preparation
from harness.images.record_file import RecordFile
from harness.process import executor
from harness.process.interrupt import catch_signals
from harness.process.jobs import Job
from harness.run.job_result import require_answer
from harness.run.worker_setup import build_environment, workload_for_workers

OUT = PROJECT / "results" / "benchmark_strategies"
ROWS = ("fp32_fused", "int8_smart_naive", "int8_equalized_smart", "int8_inc_basic", "int8_inc_mse",
        "int8_inc_mycustom", "int8_inc_bayesian", "int8_inc_sensitivity",
        "int8_equalized_sensitivity")  # fmt: skip
BLIND = {"int8_inc_random": "random", "int8_inc_exhaustive": "exhaustive"}  # no rows of a table
DEFAULT = {"seeds": 1, "tuning": 384, "held_back": 3000, "trials": 100, "blind": 8, "rounds": 8}
FULL = {"seeds": 5, "tuning": 576, "held_back": 9424, "trials": 200, "blind": 25, "rounds": 10}


def main(arguments: Sequence[str] | None = None) -> int:
    options = parsed(sys.argv[1:] if arguments is None else arguments)
    catch_signals()  # so that what was started ends too
    cases: list[dict[str, Any]] = []
    try:
        with tempfile.TemporaryDirectory(prefix="strategies_", dir=options.scratch) as scratch:
            plan = planned(options, Path(scratch))
            options.out.mkdir(parents=True, exist_ok=True)
            cases += kept(options.out, plan.about) if options.go_on else []
            for case in measured(plan, options, cases, Path(scratch)):
                cases.append(case)
                written(options.out, cases, plan.about, plan.labels)
            print(written(options.out, cases, plan.about, plan.labels), end="")
    except (InputError, HarnessError) as error:
        return exit_code(error)
    except KeyboardInterrupt:
        left = f"--go-on has {len(cases)} cases in {options.out}" if cases else "nothing is kept"
        print(f"interrupted: {left}", file=sys.stderr)
        return 3
    broken = [n for case in cases for n, row in case["rows"].items() if _failed(row)]
    return 3 if broken else 0


def _failed(row: dict[str, Any]) -> bool:
    return str(row["outcome"]).startswith("failed")


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options; those of scale are in ``scale``."""
    parser = argparse.ArgumentParser(
        prog="./run.sh benchmark strategies",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--full", action="store_true", help="more of everything: some hours")
    for name, value in DEFAULT.items():
        told = f"default: {value}; --full: {FULL[name]}"
        parser.add_argument(f"--{name.replace('_', '-')}", type=positive, metavar="N", help=told)
    parser.add_argument("--first-seed", type=int, default=0, metavar="N", help="default: 0")
    parser.add_argument("--defects", nargs="+", choices=DEFECTS, default=list(DEFECTS))
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help=f"default: {OUT}")
    parser.add_argument("--go-on", action="store_true", help="keep the cases that are in --out")
    parser.add_argument("--scratch", type=Path, metavar="DIR", help="for models: /tmp")
    options = parser.parse_args(arguments)
    scale = FULL if options.full else DEFAULT
    options.scale = {name: getattr(options, name) or value for name, value in scale.items()}
    return options


@dataclass(frozen=True)
class Plan:
    """What all cases have in common.

    Attributes:
        job: for a case's worker, but for the defect and the seed.
        environment: of the workers.
        about: what the report says of the measurement.
        labels: of the rows.
    """

    job: dict[str, Any]
    environment: dict[str, str]
    about: dict[str, Any]
    labels: dict[str, str]


def planned(options: argparse.Namespace, scratch: Path) -> Plan:
    """Prepare the images.

    Raises:
        InputError: there are fewer images than asked for, or too few rounds.
        HarnessError: preparing failed.
    """
    scale = options.scale
    if scale["rounds"] < 2:
        raise InputError("--rounds 1 has no interval: give 2 or more")
    config = compose_config(
        [
            f"method=[{','.join(ROWS)}]",
            f"tuning.max_trials={scale['trials']}",
            f"tuning.bayesian_max_trials={scale['blind']}",
        ]
    ).config
    methods = dict(config.stored["method"])
    inc = methods["int8_inc_basic"]["options"]
    for name, strategy in BLIND.items():
        methods[name] = {
            **methods["int8_inc_basic"],
            "label": f"int8 INC {strategy}",
            "strategy": strategy,
            "options": {**inc, "max_trials": scale["blind"]},
        }
    workload = workload_for_workers(config.workload, {})
    rec = Path(str(workload.rec))
    with RecordFile(rec) as record:
        index = record.index(workload.classes)
    asked = scale["tuning"] + scale["held_back"]
    if asked > len(index):
        raise InputError(
            f"{scale['tuning']} images to tune on and {scale['held_back']} to score on are more than "
            f"the {len(index)} of {rec}: lower --tuning or --held-back"
        )
    np.save(scratch / "labels.npy", index.labels)
    topology = read_topology()
    prepared, _ = preparation.ensure(
        preparation.Source(index, whole_files.sha256_of(rec), len(index)),
        workload.transform,
        Versions(mxnet="", neural_compressor="", mxnet_commit=None),  # the cache is new
        preparation.Place(scratch / "cache", 10**12),
        topology.usable_cores,
        build_environment({}, config, ()),
        lambda done, total, what: None,
    )
    settings = threads.resolve(config.threads.stored, topology, threads.find_kmp_library())
    return Plan(
        {
            "stage": "benchmarks.strategies.case",
            "rows": {name: dict(method) for name, method in methods.items()},
            "options": dict(inc),
            "workload": workload.stored,
            "prepared": str(prepared.path),
            "stored": len(index),
            "labels": str(scratch / "labels.npy"),
            **{name: scale[name] for name in ("tuning", "held_back", "rounds")},
        },
        build_environment(settings.environment, config, ()),
        {**scale, "cpu": machine.describe().cpu_model, "cores": topology.usable_cores},
        {name: str(method["label"]) for name, method in methods.items()},
    )


def kept(out: Path, about: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the cases of an earlier start.

    Raises:
        InputError: they were measured otherwise.
        HarnessError: the file is damaged.
    """
    path = out / "strategies.json"
    if not path.is_file():
        return []
    found = whole_files.load_json(path)
    unlike = [key for key in about if key != "seeds" and found["about"].get(key) != about[key]]
    if unlike:
        raise InputError(f"{path} was measured with other {', '.join(unlike)}: give another --out")
    return list(found["cases"])


def measured(
    plan: Plan, options: argparse.Namespace, before: Sequence[dict[str, Any]], scratch: Path
) -> Iterator[dict[str, Any]]:
    """Yield one case after the other that is not among those ``before``, each from its own process.

    Raises:
        HarnessError: a case failed as a whole; its log stays where the results go.
    """
    done = {(case["defect"], case["seed"]) for case in before}
    first = options.first_seed
    asked = itertools.product(range(first, first + options.scale["seeds"]), options.defects)
    wanted = [(defect, seed) for seed, defect in asked if (defect, seed) not in done]
    for number, (defect, seed) in enumerate(wanted):
        began = time.monotonic()
        folder = scratch / f"{defect.replace(' ', '_')}_{seed}"
        job = {**plan.job, "defect": defect, "seed": seed, "workspace": str(folder)}
        log = options.out / f"{folder.name}.log"
        worker = executor.Worker(decode(job, Job), plan.environment, log, folder)
        ended = worker.wait(lambda done, total, what: None)
        yield require_answer(ended, Facts, f"the case {defect}, seed {seed},", log).stored
        shutil.rmtree(folder)  # its models
        took = time.monotonic() - began
        say(f"{number + 1} of {len(wanted)}: {defect}, seed {seed}: {took:.0f} s")


def written(
    out: Path, cases: list[dict[str, Any]], about: dict[str, Any], labels: dict[str, str]
) -> str:
    """Write all files and return the Markdown."""
    cache = project_path(compose_config([]).config.run.cache) / "matplotlib"
    cache.mkdir(parents=True, exist_ok=True)
    os.environ["MPLCONFIGDIR"] = str(cache)  # read when matplotlib is imported
    from benchmarks.strategies.figure import figure

    text = report.to_markdown(cases, about)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(report.CSV)
    writer.writerows(report.csv_rows(cases))
    whole_files.write_json(out / "strategies.json", {"about": about, "cases": cases})
    whole_files.write_atomically(out / "strategies.csv", table.getvalue())
    whole_files.write_atomically(out / "strategies.md", text)
    whole_files.write_atomically(
        out / "strategies.svg", figure(cases, labels).pictures["strategies"].svg
    )
    return text


def say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
