"""Findings about MXNet, INC and the OpenMP library, as a worker gets them."""

# No ``from __future__ import annotations``: msgspec evaluates the annotations, on Python 3.9 too.

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Optional, Union

import msgspec

from harness.doctor.finding import BAD, OK, UNKNOWN, WARN, Finding
from harness.facts.machine_facts import OpenMP, Versions, in_ranges
from harness.facts.typed import Texts, decode
from harness.host import threads
from harness.host.libraries.allocator import allocator_mismatches
from harness.process.own_modules import python_command

PROBE_TIMEOUT_S = 1800  # for a hang: a busy machine with a cold disk takes minutes
NEEDED_FEATURES = ("ONEDNN", "OPENMP", "OPENCV")
INSTALL = "delete .venv and start run.sh again, which installs the locked versions"
PROBE = "harness.doctor.environment_probe"


class Software(msgspec.Struct, frozen=True, kw_only=True):
    """The software of a worker.

    Attributes:
        python: its version.
        environment: the variables that the libraries read, where they are set.
        onednn: the lines that oneDNN prints of its version and instruction set.
        allocator: the library whose ``malloc`` it calls.
    """

    python: str
    versions: Versions
    openmp: OpenMP
    environment: Texts
    onednn: list[str] = []
    allocator: Optional[str] = None


@dataclass(frozen=True)
class Failure:
    """Why there is no software to describe: the probe's last line."""

    error: str


def software_facts(environment: Mapping[str, str]) -> Union[Software, Failure]:
    """Return what the probe found in a process that starts with exactly this environment."""
    try:
        done = subprocess.run(
            python_command(PROBE),
            env={**environment, "ONEDNN_VERBOSE": "1"},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PROBE_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Failure(f"importing MXNet and INC took more than {PROBE_TIMEOUT_S} s")
    lines = done.stdout.splitlines()
    answer = next((line for line in reversed(lines) if line.startswith('{"python"')), None)
    if done.returncode or answer is None:
        last = [line.strip() for line in done.stderr.splitlines() if line.strip()][-1:]
        return Failure(last[0] if last else f"no answer, exit code {done.returncode}")
    prefix = "onednn_verbose,info,"
    onednn = [line[len(prefix) :] for line in lines if line.startswith(prefix)]
    return decode({**json.loads(answer), "onednn": onednn}, Software)


def software_findings(facts: Union[Software, Failure]) -> list[Finding]:
    """Judge versions, MXNet's build, and the OpenMP library that serves it."""
    if isinstance(facts, Failure):
        return [Finding(BAD, "MXNet and INC", f"do not import: {facts.error}", INSTALL)]
    versions, openmp = facts.versions, facts.openmp
    listed = ", ".join(
        f"{name} {version}"
        for name, version in versions.stored.items()
        if not name.startswith("mxnet")
    )
    features = versions.mxnet_features or ()
    missing = [name for name in NEEDED_FEATURES if name not in features]
    has = ", ".join(name for name in NEEDED_FEATURES if name in features)
    build = f"{versions.mxnet} with {has}"
    build += f", without {', '.join(missing)}" if missing else ""
    bound = sorted({cpu for place in openmp.places or () for cpu in place})
    runtime = f"{openmp.library}, {openmp.max_threads} thread(s), "
    runtime += f"bound to CPU {in_ranges(bound)}" if bound else "not bound"
    if openmp.blocktime_ms is not None:
        runtime += f", blocktime {openmp.blocktime_ms} ms"
    wrong = [
        *threads.openmp_mismatches(facts.environment, openmp),
        *allocator_mismatches(facts.environment, facts.allocator, threads.KMP_NAME),
    ]
    return [
        Finding(BAD if missing else OK, "MXNet", build, INSTALL),
        _onednn(facts.onednn, facts.environment.get("ONEDNN_MAX_CPU_ISA")),
        Finding(OK, "OpenMP", runtime),
        *(
            Finding(BAD, "OpenMP", text, "times would not be those of this policy")
            for text in wrong
        ),
        Finding(OK, "packages", f"Python {facts.python}, {listed}"),
    ]


def _onednn(told: Sequence[str], limit: Optional[str]) -> Finding:
    version = next((line for line in told if line.startswith("oneDNN")), "").partition(" (")[0]
    isa = next((line[len("cpu,isa:") :] for line in told if line.startswith("cpu,isa:")), None)
    if not isa:
        return Finding(UNKNOWN, "oneDNN", "did not say what it uses", "run with ONEDNN_VERBOSE=1")
    if limit:
        advice = "unset ONEDNN_MAX_CPU_ISA unless this limit is wanted"
        return Finding(WARN, "oneDNN", f"{version}: {isa}, limited to {limit}", advice)
    return Finding(OK, "oneDNN", f"{version}: {isa}")
