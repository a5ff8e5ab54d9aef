"""``./run.sh doctor``: can this machine measure, and what would a worker get on it.

Started as a module (``harness/process/bootstrap.py``) it is the probe: it imports MXNet and INC as a
worker would and prints what it found as JSON. The parent never imports MXNet.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness import PROJECT
from harness.config import compose_config, project_path
from harness.errors import HarnessError, InputError
from harness.host import calls, machine, threads
from harness.host.threads import ThreadSettings
from harness.host.topology import Topology, read_topology
from harness.process.executor import worker_environment
from harness.process.own_modules import python_command
from harness.render.escape import one_line, plain
from harness.render.terminal import console as console_of
from harness.storage import locks

OK, WARN, BAD, UNKNOWN = "ok", "warn", "bad", "unknown"
STYLES = {OK: "green", WARN: "yellow", BAD: "bold red", UNKNOWN: "cyan"}
GIB = 1 << 30
MEMORY_NEEDED, MEMORY_WANTED = 2 * GIB, 6 * GIB  # 64 images of 224 x 224 in fp32 peak at 4.3 GiB
DISK_NEEDED, DISK_WANTED = 1 * GIB, 12 * GIB  # ImageNet's prepared images take 7.5 GB
BUSY = 0.25  # load per usable core from which other work spoils times
PROBE_TIMEOUT_S = 1800  # for a hang: a busy machine with a cold disk takes minutes
NEEDED_FEATURES = ("ONEDNN", "OPENMP", "OPENCV")
UNTOLD = "each of them counts as a core: where two are threads of one, give threads.count"
UNREFUSED = "nothing has to be done; a newer kernel or Docker allows it"
UNLOCKED = "start no two runs there from different hosts or users at once, or choose another folder"
INSTALL = "delete .venv and start run.sh again, which installs the locked versions"

INT8 = (  # the first that the CPU has, best first
    ("AMX-INT8", OK, "AMX-INT8 tiles; oneDNN 2.5 uses them with Linux 5.16 or later", ""),
    ("AVX512-VNNI", OK, "AVX512-VNNI: four int8 products per lane in one instruction", ""),
    ("AVX-VNNI", OK, "AVX-VNNI: as AVX512-VNNI, half as wide", ""),
    (
        "AVX512BW",
        WARN,
        "AVX512 without VNNI: three instructions instead of one",
        "expect a smaller gain from int8 than on a CPU with VNNI",
    ),
    (
        "AVX2",
        WARN,
        "AVX2 without VNNI: three instructions instead of one",
        "expect a smaller gain from int8 than on a CPU with VNNI",
    ),
)


@dataclass(frozen=True)
class Finding:
    """One line of the screen: a mark (OK, WARN, BAD, UNKNOWN), a fact, and what to do about it."""

    mark: str
    name: str
    value: str
    advice: str = ""


@dataclass(frozen=True)
class FileFact:
    """A file that the configuration names.

    Attributes:
        role: what it is to the run, such as "validation record".
        path: None when the configuration names none.
        required: a run cannot do without it.
        advice: what to do when it is not there.
    """

    role: str
    path: Path | None
    required: bool
    advice: str


def collect(
    threads_options: Mapping[str, Any], files: Sequence[FileFact], disk_paths: Sequence[Path]
) -> list[Finding]:
    """Look at everything; takes as long as importing MXNet and INC once."""
    topology = read_topology()
    description = machine.describe()
    findings = machine_findings(description, topology)
    environment: dict[str, str] = {}
    try:
        settings = threads.resolve(threads_options, topology, threads.find_kmp_library())
    except InputError as error:
        findings.append(Finding(BAD, "threads", str(error)))
    else:
        findings += thread_findings(settings)
        environment = settings.environment
    findings += software_findings(software_facts(worker_environment(environment)))
    findings += memory_findings(description)
    for path in disk_paths:
        findings += disk_findings(path)
    findings += refused_findings(disk_paths)
    findings += confinement_findings()
    return findings + workload_findings(files)


def diagnose(overrides: Sequence[str], folders: Sequence[Path]) -> int:
    """Print what was found for the configuration that the overrides compose; return the exit code.

    Raises:
        InputError: the configuration itself is wrong.
    """
    config = compose_config(overrides, folders).values
    workload = config["workload"]
    advice = {
        "rec": "give workload.rec=/path/to/file.rec",
        "params": "give workload.params=/path/to/weights.params",
    }
    fetched = workload.get("download") or workload.get("random_weights")
    files = [
        FileFact(role, project_path(str(path)) if path else None, not fetched, advice[role])
        for role, path in ((role, workload.get(role)) for role in advice)
    ]
    places = [project_path(config["run"][key]) for key in ("results", "cache")]
    findings = collect(config["threads"], files, places)
    render(findings, console_of())
    return exit_code(findings)


def exit_code(findings: Sequence[Finding]) -> int:
    """Return 2 if something is bad, else 0."""
    return 2 if any(finding.mark == BAD for finding in findings) else 0


def render(findings: Sequence[Finding], console: Console) -> None:
    """Print one line per finding, its advice below it, and the verdict."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        table.add_row(
            Text(finding.mark, STYLES[finding.mark]),
            Text(one_line(finding.name)),
            Text(plain(finding.value)),
        )
        if finding.advice and finding.mark != OK:
            table.add_row("", "", Text(plain(f"-> {finding.advice}"), "italic"))
    console.print(table)
    bad, warn = (sum(finding.mark == mark for finding in findings) for mark in (BAD, WARN))
    verdict = f"{bad} to solve before a run" if bad else "this machine can measure"
    style = STYLES[BAD if bad else WARN if warn else OK]
    console.print(Text(f"{verdict}, {warn} warning(s)", style))


def machine_findings(description: Mapping[str, Any], topology: Topology) -> list[Finding]:
    """Judge the CPU, its limits, its clock and what else runs on it."""
    return [
        _cpu(description),
        *_instructions(description),
        _cores(description, topology),
        _allowed(topology),
        _quota(topology),
        _clock(description),
        _platform(description),
        _load(description),
    ]


def thread_findings(settings: ThreadSettings) -> list[Finding]:
    """Show the policy's outcome and its warnings."""
    if settings.count is None:
        value = f"policy {settings.policy}: MXNet's own, half of the allowed CPUs, not bound"
    else:
        value = f"policy {settings.policy}, {settings.count} thread(s)"
    shown = " ".join(
        f"{name}={text}" for name, text in settings.environment.items() if name != "LD_PRELOAD"
    )
    findings = [Finding(OK, "threads", value)]
    if shown:
        findings.append(Finding(OK, "environment", shown))
    advice = "leave threads.count at null"
    return findings + [Finding(WARN, "threads", text, advice) for text in settings.warnings]


def memory_findings(description: Mapping[str, Any]) -> list[Finding]:
    """Judge the memory that is free, within the control groups' limits."""
    available, limit = description["memory_available_bytes"], description["memory_limit_bytes"]
    if available is None:
        return [Finding(UNKNOWN, "memory", "not readable", "see that some GiB are free")]
    value = f"{_gib(available)} free of {_gib(description['memory_total_bytes'])}"
    value += f", limited to {_gib(limit)} by the control group" if limit else ""
    advice = f"ImageNet wants {_gib(MEMORY_WANTED)}: free some or lower workload.batch_size"
    return [Finding(_level(available, MEMORY_NEEDED, MEMORY_WANTED), "memory", value, advice)]


def disk_findings(path: Path) -> list[Finding]:
    """Judge the folder that will be written to; it need not exist yet."""
    folder = _nearest(path)
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        advice = "choose a folder that you may write to (run.results, run.cache)"
        return [Finding(BAD, "disk", f"{path}: not writable", advice)]
    free = shutil.disk_usage(folder).free
    advice = f"ImageNet's prepared images and models want {_gib(DISK_WANTED)}"
    mark = _level(free, DISK_NEEDED, DISK_WANTED)
    return [Finding(mark, "disk", f"{path}: {_gib(free)} free", advice)]


def refused_findings(paths: Sequence[Path]) -> list[Finding]:
    """Say which system calls and locks the kernel, a container or a file system refuses.

    Args:
        paths: the folders that will be written to; what cannot be written is no finding of this.
    """
    found: dict[str, Finding] = {}
    for folder in map(_nearest, paths):
        if not os.access(folder, os.W_OK | os.X_OK):
            continue
        for call, instead in calls.refused_calls(folder):
            found[call] = Finding(WARN, "system calls", f"refused: {call}; {instead}", UNREFUSED)
        try:
            weakness = locks.weakness(folder)
        except HarnessError as error:
            found[str(error)] = Finding(BAD, "locks", str(error), UNREFUSED)
        else:
            if weakness:
                found[weakness] = Finding(WARN, "locks", f"{folder}: {weakness}", UNLOCKED)
    return list(found.values()) or [Finding(OK, "system calls", "none is refused, locks work")]


def confinement_findings() -> list[Finding]:
    """Say what a worker would give up here; a process that is confined as one tells."""
    code = (
        "import json; from harness.process.confinement import confine; print(json.dumps(confine()))"
    )
    with tempfile.TemporaryDirectory() as aside:
        command = [sys.executable, "-c", code]
        environment = worker_environment({"PYTHONPATH": str(PROJECT)})
        told = subprocess.run(
            command, cwd=aside, env=environment, capture_output=True, text=True, check=False
        )
    if told.returncode:
        said = told.stderr.strip().rpartition("\n")[2]
        return [Finding(BAD, "workers", f"cannot be confined: {said}", UNREFUSED)]
    held = json.loads(told.stdout)
    lacks = [
        f"{what}: {held[key]}"
        for key, what, whole in (
            ("network", "the network is in reach", "none"),
            ("files", "all of the user's files are in reach", "Landlock"),
            ("system_calls", "system calls are not filtered", "filtered"),
        )
        if not held[key].startswith(whole)
    ]
    value = f"no network, {held['files']}, system calls filtered"
    found = [Finding(WARN, "workers", each, UNREFUSED) for each in lacks]
    found = found or [Finding(OK, "workers", value)]
    if held["root"]:
        found.append(Finding(WARN, "workers", "run as root", "run as a user who owns little"))
    return found


def workload_findings(files: Sequence[FileFact]) -> list[Finding]:
    """Say of each file whether it is there."""
    findings = []
    for file in files:
        missing = BAD if file.required else WARN
        if file.path is None:
            findings.append(Finding(missing, file.role, "not configured", file.advice))
        elif not file.path.is_file():
            findings.append(Finding(missing, file.role, f"{file.path}: not found", file.advice))
        elif not os.access(file.path, os.R_OK):
            findings.append(Finding(BAD, file.role, f"{file.path}: may not be read", file.advice))
        else:
            size = file.path.stat().st_size
            findings.append(Finding(OK, file.role, f"{file.path} ({size / 1e6:,.2f} MB)"))
    return findings


def software_facts(environment: Mapping[str, str]) -> dict[str, Any]:
    """Return what the probe found in a process that starts with exactly this environment.

    Returns:
        python, versions, environment, openmp (see ``threads.loaded_openmp``), and onednn: what it
        prints of its version and instruction set; or ``error`` alone, the probe's last line.
    """
    try:
        done = subprocess.run(
            python_command("harness.commands.doctor"),
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
    runtime += f"bound to CPU {_ranges(bound)}" if bound else "not bound"
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


def _nearest(path: Path) -> Path:
    """Return a folder, or the one above it in which it will be made."""
    folder = path.resolve()
    while not folder.exists():
        folder = folder.parent
    return folder


def _cpu(description: Mapping[str, Any]) -> Finding:
    model, microcode = description["cpu_model"], description["microcode"]
    if model is None:
        return Finding(UNKNOWN, "CPU", "not readable", "name the folder of results with machine=")
    caches = description["cache_bytes"] or {}
    sizes = (f"{name} {size >> 10:,} KiB" for name, size in caches.items() if name != "L1i")
    told = [model, f"microcode {microcode}" if microcode else "", ", ".join(sizes)]
    return Finding(OK, "CPU", "; ".join(filter(None, told)))


def _instructions(description: Mapping[str, Any]) -> list[Finding]:
    isa = description["isa"]
    if isa is None:
        return [Finding(UNKNOWN, "int8 kernels", "instruction sets are not readable")]
    bf16 = [name for name in isa if name.endswith("BF16")]
    told = f"{', '.join(isa)} (bf16: {', '.join(bf16) or 'none'}, not measured here)"
    listed = Finding(OK, "instructions", told)
    for name, mark, meaning, advice in INT8:
        if name in isa:
            return [listed, Finding(mark, "int8 kernels", meaning, advice)]
    advice = "use a CPU with AVX2 or later; int8 pays off with VNNI"
    return [listed, Finding(WARN, "int8 kernels", "no AVX2", advice)]


def _cores(description: Mapping[str, Any], topology: Topology) -> Finding:
    nodes = description["numa_nodes"]
    value = (
        f"{description['sockets']} socket(s), {description['cores']} cores, "
        f"{description['threads_per_core']} thread(s) per core"
    )
    value += f", {nodes} NUMA node(s)" if nodes else ""
    if topology.unassigned_cpus:
        value += f"; which CPUs share a core is not told of {_ranges(topology.unassigned_cpus)}"
        return Finding(WARN, "cores", value, UNTOLD)
    if topology.sockets > 1:
        advice = "as published is one socket: numactl --cpunodebind=0 --membind=0 ./run.sh ..."
        return Finding(WARN, "cores", f"{value}; would use {topology.sockets} sockets", advice)
    return Finding(OK, "cores", value)


def _allowed(topology: Topology) -> Finding:
    sizes = set(map(len, topology.cores))
    per_core = "one CPU per core" if sizes == {1} else f"{_ranges(sorted(sizes))} CPUs per core"
    value = (
        f"{len(topology.allowed_cpus)} ({_ranges(topology.allowed_cpus)}) on "
        f"{topology.physical_cores} core(s), {per_core}"
    )
    return Finding(OK, "allowed CPUs", value)


def _quota(topology: Topology) -> Finding:
    quota = topology.cpu_quota
    if quota is None:
        return Finding(OK, "CPU quota", "none")
    value = f"{quota:g} CPUs for {topology.physical_cores} core(s)"
    if quota >= topology.physical_cores or quota == topology.usable_cores:
        return Finding(OK, "CPU quota", value)
    advice = "the kernel stops threads in mid-run: lift the limit, or pin whole CPUs instead"
    return Finding(WARN, "CPU quota", value, advice)


def _clock(description: Mapping[str, Any]) -> Finding:
    governor, turbo = description["governor"], description["turbo"]
    told = [
        f"governor {governor or 'unknown'}",
        f"turbo {'unknown' if turbo is None else 'on' if turbo else 'off'}",
    ]
    if description["max_mhz"] or description["mhz"]:
        now, most = description["mhz"], description["max_mhz"]
        told.append(f"up to {most:.0f} MHz" if most else f"now {now:.0f} MHz")
    value = ", ".join(told)
    if governor is None:
        advice = "hidden from this system (virtual or a container): repeat runs to see the scatter"
        return Finding(UNKNOWN, "clock", value, advice)
    if governor != "performance":
        return Finding(WARN, "clock", value, "sudo cpupower frequency-set --governor performance")
    return Finding(OK, "clock", value)


def _platform(description: Mapping[str, Any]) -> Finding:
    kernel, system = description["kernel"], description["os"]
    told = [f"Linux {kernel}" if kernel else "", system or ""]
    if description["virtual"]:
        told.append(f"virtual ({description['hypervisor'] or 'hypervisor not named'})")
    value = ", ".join(filter(None, told))
    return Finding(OK if value else UNKNOWN, "system", value or "not readable")


def _load(description: Mapping[str, Any]) -> Finding:
    load, cores = description["load_1min"], description["usable_cores"]
    if load is None:
        return Finding(UNKNOWN, "other work", "load not readable", "stop other work before a run")
    mark = WARN if load > BUSY * cores else OK
    value = f"load {load:.2f} in the last minute on {cores} usable core(s)"
    return Finding(mark, "other work", value, "wait for other work to end: it makes times longer")


def _onednn(told: Sequence[str], limit: str | None) -> Finding:
    version = next((line for line in told if line.startswith("oneDNN")), "").partition(" (")[0]
    isa = next((line[len("cpu,isa:") :] for line in told if line.startswith("cpu,isa:")), None)
    if not isa:
        return Finding(UNKNOWN, "oneDNN", "did not say what it uses", "run with ONEDNN_VERBOSE=1")
    if limit:
        advice = "unset ONEDNN_MAX_CPU_ISA unless this limit is wanted"
        return Finding(WARN, "oneDNN", f"{version}: {isa}, limited to {limit}", advice)
    return Finding(OK, "oneDNN", f"{version}: {isa}")


def _level(value: int, needed: int, wanted: int) -> str:
    return BAD if value < needed else WARN if value < wanted else OK


def _gib(size: int | None) -> str:
    return "?" if size is None else f"{size / GIB:.1f} GiB"


def _ranges(numbers: Sequence[int]) -> str:
    """Return ascending numbers as the kernel writes them: 0-3,8."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ",".join(f"{first}-{last}" if first != last else f"{first}" for first, last in runs)


def _probe() -> dict[str, Any]:
    """Import what a worker imports, run one oneDNN operator, and tell what was found."""
    from harness.process import compat

    compat.import_inc()
    import mxnet as mx

    mx.npx.fully_connected(
        mx.np.ones((4, 8)), mx.np.ones((2, 8)), mx.np.ones(2), num_hidden=2
    ).wait_to_read()
    names = ("LD_PRELOAD", "OMP_NUM_THREADS", "OMP_PLACES", "ONEDNN_MAX_CPU_ISA")
    return {
        "python": ".".join(map(str, sys.version_info[:3])),
        "versions": compat.true_versions(),
        "openmp": threads.loaded_openmp(),
        "environment": {name: os.environ[name] for name in names if name in os.environ},
    }


if __name__ == "__main__":
    print(json.dumps(_probe()), flush=True)
