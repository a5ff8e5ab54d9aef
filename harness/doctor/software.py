"""Findings about MXNet, INC and the OpenMP library, as a worker gets them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from harness.doctor.finding import BAD, OK, UNKNOWN, WARN, Finding, in_ranges
from harness.host import threads
from harness.process.own_modules import python_command

PROBE_TIMEOUT_S = 1800  # for a hang: a busy machine with a cold disk takes minutes
NEEDED_FEATURES = ("ONEDNN", "OPENMP", "OPENCV")
INSTALL = "delete .venv and start run.sh again, which installs the locked versions"
PROBE = "harness.doctor.environment_probe"


def software_facts(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return what the probe found in a process that starts with exactly this environment.

    Returns:
        python, versions, environment, openmp (see ``threads.loaded_openmp``), and onednn: what it
        prints of its version and instruction set; or ``error`` alone, the probe's last line.
    """
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
        return {"error": f"importing MXNet and INC took more than {PROBE_TIMEOUT_S} s"}
    lines = done.stdout.splitlines()
    answer = next((line for line in reversed(lines) if line.startswith('{"python"')), None)
    if done.returncode or answer is None:
        last = [line.strip() for line in done.stderr.splitlines() if line.strip()][-1:]
        return {"error": last[0] if last else f"no answer, exit code {done.returncode}"}
    facts: dict[str, Any] = json.loads(answer)
    prefix = "onednn_verbose,info,"
    facts["onednn"] = [line[len(prefix) :] for line in lines if line.startswith(prefix)]
    return facts


def software_findings(facts: Mapping[str, Any]) -> list[Finding]:
    """Judge versions, MXNet's build, and the OpenMP library that serves it."""
    if "error" in facts:
        return [Finding(BAD, "MXNet and INC", f"do not import: {facts['error']}", INSTALL)]
    versions, openmp = facts["versions"], facts["openmp"]
    listed = ", ".join(
        f"{name} {version}" for name, version in versions.items() if not name.startswith("mxnet")
    )
    features = versions["mxnet_features"]
    missing = [name for name in NEEDED_FEATURES if name not in features]
    has = ", ".join(name for name in NEEDED_FEATURES if name in features)
    build = f"{versions['mxnet']} with {has}"
    build += f", without {', '.join(missing)}" if missing else ""
    bound = sorted({cpu for place in openmp["places"] for cpu in place})
    runtime = f"{openmp['library']}, {openmp['max_threads']} thread(s), "
    runtime += f"bound to CPU {in_ranges(bound)}" if bound else "not bound"
    if openmp["blocktime_ms"] is not None:
        runtime += f", blocktime {openmp['blocktime_ms']} ms"
    wrong = threads.openmp_mismatches(facts["environment"], openmp)
    return [
        Finding(BAD if missing else OK, "MXNet", build, INSTALL),
        _onednn(facts["onednn"], facts["environment"].get("ONEDNN_MAX_CPU_ISA")),
        Finding(OK, "OpenMP", runtime),
        *(
            Finding(BAD, "OpenMP", text, "times would not be those of this policy")
            for text in wrong
        ),
        Finding(OK, "packages", f"Python {facts['python']}, {listed}"),
    ]


def _onednn(told: Sequence[str], limit: str | None) -> Finding:
    version = next((line for line in told if line.startswith("oneDNN")), "").partition(" (")[0]
    isa = next((line[len("cpu,isa:") :] for line in told if line.startswith("cpu,isa:")), None)
    if not isa:
        return Finding(UNKNOWN, "oneDNN", "did not say what it uses", "run with ONEDNN_VERBOSE=1")
    if limit:
        advice = "unset ONEDNN_MAX_CPU_ISA unless this limit is wanted"
        return Finding(WARN, "oneDNN", f"{version}: {isa}, limited to {limit}", advice)
    return Finding(OK, "oneDNN", f"{version}: {isa}")
