"""Run both sides on one workload and print how they compare.

Words are those of ``./run.sh``: any key of conf/, and ``--conf DIR``. Of ``workload`` there are two
choices more, ``full`` and ``memory``: resnet50_v2 with random weights on random images that the
benchmark makes; ``workload.images`` says how many.

Exit codes: 0 it ran (whatever was found), 2 the input is at fault, 3 a side failed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.vs_published import known
from benchmarks.vs_published.comparison import (
    COLD,
    REUSED,
    WARM,
    Scale,
    equalities,
    targets,
)
from benchmarks.vs_published.harness_side import run_harness
from benchmarks.vs_published.images import make_record
from benchmarks.vs_published.published_side import run_published
from benchmarks.vs_published.report import Report, to_markdown
from harness import PROJECT
from harness.config import Composed, compose_config
from harness.errors import HarnessError, InputError, exit_code
from harness.files import whole_files
from harness.host import machine, threads
from harness.host.topology import read_topology
from harness.process.interrupt import catch_signals
from harness.run.inputs import check_inputs
from harness.storage.method_options import AS_RELEASED

OUT = PROJECT / "results" / "benchmarks"
RANDOM = ("workload=custom", "workload.network=resnet50_v2", "workload.random_weights=true")
OWN_WORKLOADS = {
    # unfused fp32 makes some 3 images a second on two cores, in every baseline of INC's as well
    "workload=full": (
        *RANDOM,
        "workload.images=640",
        "method=[fp32,fp32_fused,int8_full_naive,int8_smart_naive,int8_inc_basic]",
        "tuning.max_trials=3",
    ),
    "workload=memory": (*RANDOM, "workload.images=10000", "method=[fp32_fused,int8_full_naive]"),
}
# of both sides alike; each gives way to a word of the user's
ALIKE = ("methods.shared_calibration=true", "protocol=published")
RUNS = ((COLD, "cold", ()), (WARM, "warm", ()), (REUSED, "reused", ("run.reuse_tuned=cold",)))


def main(arguments: Sequence[str] | None = None) -> int:
    options = parsed(sys.argv[1:] if arguments is None else arguments)
    catch_signals()  # so that what was started ends too
    try:
        with tempfile.TemporaryDirectory(prefix="vs_published_", dir=options.scratch) as scratch:
            report = compared(options.words, options.conf, Path(scratch))
        options.out.mkdir(parents=True, exist_ok=True)
        whole_files.write_json(options.out / "vs_published.json", report.as_dict())
        text = to_markdown(report)
        whole_files.write_atomically(options.out / "vs_published.md", text)
        print(text, end="")
        for failure in report.failures:
            print(f"failed: {failure}", file=sys.stderr)
        return 3 if report.failures else 0
    except (InputError, HarnessError) as error:
        return exit_code(error)
    except KeyboardInterrupt:
        print("interrupted: nothing is kept", file=sys.stderr)
        return 3


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Return words, conf, out and scratch."""
    parser = argparse.ArgumentParser(
        prog="./run.sh benchmark vs_published",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("words", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--conf", action="append", type=Path, default=[], metavar="DIR")
    parser.add_argument("--out", type=Path, default=OUT, metavar="DIR", help=f"default: {OUT}")
    parser.add_argument(
        "--scratch", type=Path, metavar="DIR", help="for models, caches and made images: /tmp"
    )
    return parser.parse_intermixed_args(arguments)


def compared(words: Sequence[str], folders: Sequence[Path], scratch: Path) -> Report:
    """Run the published procedure, then the harness three times: cold, warm, and reusing models.

    Raises:
        InputError: a word is wrong, or the published procedure cannot do what is asked.
        HarnessError: a side failed; its log is shown.
    """
    own = next((word for word in words if word in OWN_WORKLOADS), None)
    expanded = [*ALIKE, *OWN_WORKLOADS.get(own or "", ()), *(w for w in words if w != own)]
    if own is not None:
        record = scratch / "random.rec"
        workload = compose_config([*expanded, f"workload.rec={record}"], folders).config.workload
        say(f"making {workload.images} random images")
        make_record(record, workload.images, workload.classes)
        expanded.append(f"workload.rec={record}")
    expanded.append(f"run.cache={scratch / 'cache'}")
    composed = compose_config(expanded, folders)
    second = [n for n, method in composed.config.method.items() if method.target == AS_RELEASED]
    if second:  # measured by the harness alone
        expanded += [f"~method.{name}" for name in second]
        composed = compose_config(expanded, folders)
    scale = scale_of(composed)

    say("the published procedure")
    published = run_published(composed, folders, scale.images, scratch / "published")
    say(f"published: {published.seconds:.1f} s")
    runs = []
    for name, run_id, more in RUNS:
        say(name)
        log = scratch / f"{run_id}.log"
        results = scratch / "results"
        runs.append(run_harness(name, [*expanded, *more], folders, results, run_id, log))
        say(f"{name}: {runs[-1].seconds:.1f} s")
    equal = equalities(published, runs)
    settings = threads.resolve(
        composed.config.threads.stored, read_topology(), threads.find_kmp_library()
    )
    return Report(
        words=tuple(words),
        machine=machine.describe(),
        threads=settings.environment,
        labels={name: method.label for name, method in composed.config.method.items()},
        scale=scale,
        published=published,
        runs=tuple(runs),
        equalities=tuple(equal),
        targets=tuple(targets(published, runs, equal, scale)),
    )


def scale_of(composed: Composed) -> Scale:
    """Return how large the workload is, after checking that both sides can do what is asked.

    Raises:
        InputError: a file is missing or damaged, or the published procedure does not know a method,
            or tuning on a record of its own.
    """
    workload = composed.config.workload
    for name, method in composed.config.method.items():
        if method.target not in known.ALL:
            raise InputError(
                f"method {name}: the published procedure has nothing like {method.target}; "
                "leave it out"
            )
    if workload.tuning.source != "head":
        raise InputError(
            f"workload.tuning.source={workload.tuning.source}: the published procedure tunes "
            "on the first batches of the validation record; leave it at head"
        )
    inputs = check_inputs(workload)
    assert workload.transform is not None
    return Scale(inputs.images, inputs.tuning_images, workload.transform.crop)


def say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
