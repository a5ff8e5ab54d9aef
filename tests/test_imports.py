"""Who imports whom, read from the source: layers stay layers, and the parent stays without MXNet."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.config import PROJECT

HEAVY = ("mxnet", "neural_compressor")
WORKERS = (  # what only a worker may import; every other module is of the parent
    "harness.methods",
    "harness.stages",
    "harness.worker",
    "harness.workloads.data",
    "harness.workloads.decode",
    "harness.workloads.download",
    "harness.workloads.exported",
    "harness.workloads.models",
    "harness.workloads.operators",
    "harness.workloads.saved",
    "harness.workloads.weights_file",
)
ENTRY = "harness.__main__"
ESCAPE = "harness.escape"  # what makes text of files harmless: all that shows it may
PROBE = ("harness.doctor", "_probe")  # runs in a process of its own: harness/bootstrap.py
BOTH = "harness.compat"  # imports MXNet where it is asked to


def module_name(path: Path) -> str:
    parts = path.relative_to(PROJECT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path for path in sorted((PROJECT / "harness").rglob("*.py"))}
ALL = list(SOURCES)


def within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


PARENT = [name for name in ALL if not within(name, (*WORKERS, BOTH))]


def statements(module: str, top_level_only: bool = False) -> Iterator[ast.stmt]:
    """Yield the import statements of a module, those in functions too; never those of the probe."""
    waiting: list[ast.AST] = [ast.parse(SOURCES[module].read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (
            top_level_only or (module, node.name) == PROBE
        ):
            continue
        waiting += ast.iter_child_nodes(node)


def imported(module: str, top_level_only: bool = False) -> set[str]:
    """Return the modules that a module imports; ``from package import module`` names the module."""
    found: set[str] = set()
    for node in statements(module, top_level_only):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{module} has a relative import"
            inside = {f"{node.module}.{name.name}" for name in node.names}
            found |= {name if name in SOURCES else node.module for name in inside}
    return found


def ours(module: str) -> set[str]:
    return {name for name in imported(module) if within(name, ("harness",))}


def test_the_parser_sees_what_is_there() -> None:
    assert "mxnet" in imported("harness.workloads.models")
    assert "harness.run" in imported("harness.cli")  # imported in a function
    assert "harness.run" not in imported("harness.cli", top_level_only=True)
    assert "harness.record" in imported("harness.session")  # from harness import record
    assert {"harness.cli", "harness.run", "harness.doctor", "harness.tables"} < set(PARENT)


@pytest.mark.parametrize("module", PARENT)
def test_parent_imports_neither_mxnet_nor_what_imports_it(module: str) -> None:
    wrong = {name for name in imported(module) if within(name, (*HEAVY, *WORKERS))}
    assert not wrong


DERIVED = [name for name in ALL if name.startswith("harness.derive.")]  # of records, purely
VERDICTS = [name for name in ALL if name.startswith("harness.verdicts.")]
PURE = {"__future__", "collections", "dataclasses", "hashlib", "itertools", "json", "math", "re",
        "shlex", "typing", "unicodedata", "numpy", "scipy", "ruptures"}  # fmt: skip


def outside(module: str) -> set[str]:
    return {name.split(".")[0] for name in imported(module)} - {"harness"}


@pytest.mark.parametrize("module", DERIVED)
def test_derivation_does_no_io(module: str) -> None:
    others = {
        ESCAPE,
        "harness.host.isa",
        "harness.plan",
        "harness.record",
        "harness.verdicts.noise",
    }
    assert ours(module) <= {*DERIVED, *others}
    assert outside(module) <= PURE


@pytest.mark.parametrize("module", VERDICTS)
def test_verdicts_do_no_io(module: str) -> None:
    assert ours(module) <= {*VERDICTS, "harness.derive.metrics", "harness.derive.statistics"}
    assert outside(module) <= PURE


@pytest.mark.parametrize("module", [name for name in ALL if name.startswith("harness.export.")])
def test_exports_know_rows_alone(module: str) -> None:
    exports = {name for name in ALL if name.startswith("harness.export.")}
    drawn = {"harness.figures.drawing"}  # figures that are drawn already
    others = {
        "harness",
        ESCAPE,
        "harness.plan",
        "harness.record",
        "harness.fleet.schedule",
        *VERDICTS,
    }
    allowed = {*others, *exports, *drawn, *DERIVED}
    assert ours(module) <= allowed - {"harness.derive.samples"}


@pytest.mark.parametrize("module", [name for name in ALL if name.startswith("harness.figures.")])
def test_figures_know_what_was_derived_alone(module: str) -> None:
    figures = {name for name in ALL if name.startswith("harness.figures.")}
    assert ours(module) <= {*figures, *DERIVED, ESCAPE} - {"harness.derive.samples"}


@pytest.mark.parametrize("module", [name for name in ALL if name.startswith("harness.host.")])
def test_the_host_knows_nothing_of_what_is_measured(module: str) -> None:
    assert {name for name in ours(module) if not name.startswith("harness.host.")} <= {
        "harness.errors"
    }


ENGINE = "harness.fleet.ray_cluster"  # Ray is an extra: only this imports it, when it is asked to


@pytest.mark.parametrize("module", ALL)
def test_the_engine_of_fleets_stays_behind_one_module(module: str) -> None:
    assert "ray" not in {name.split(".")[0] for name in imported(module, top_level_only=True)}
    assert module == ENGINE or "ray" not in outside(module)


def test_scheduling_knows_no_engine() -> None:
    assert ours("harness.fleet.schedule") == {"harness.errors"}
    assert outside("harness.fleet.schedule") <= PURE


@pytest.mark.parametrize("module", [name for name in ALL if name != ENTRY])
def test_nobody_imports_the_command_line(module: str) -> None:
    assert not {name for name in imported(module) if within(name, ("harness.cli", ENTRY))}


@pytest.mark.parametrize("module", ALL)
def test_stages_are_named_by_jobs_and_never_imported(module: str) -> None:
    assert not {name for name in imported(module) if within(name, ("harness.stages",))}


@pytest.mark.parametrize(
    "module",
    ["harness.errors", "harness.interrupt", "harness.derive.metrics", "harness.host.machine"],
)
def test_bottom_imports_nothing_of_ours(module: str) -> None:
    assert not ours(module)


@pytest.mark.parametrize(
    "module",
    [
        "harness.cli",
        "harness.confinement",
        "harness.errors",
        "harness.own_modules",
        "harness.worker",
    ],
)
def test_starts_with_the_standard_library_alone(module: str) -> None:
    at_once = imported(module, top_level_only=True)
    assert {name.split(".")[0] for name in at_once} <= {*sys.stdlib_module_names, "harness"}
    of_confinement = {
        *("harness.host.landlock", "harness.host.seccomp"),
        *("harness.own_modules", "harness.variables"),
    }
    of_worker = {"harness.confinement", "harness.errors", "harness.host.lifetime"}
    allowed = {
        "harness.confinement": of_confinement,
        "harness.worker": of_worker | {"harness.own_modules"},
    }.get(module, set())
    assert {name for name in at_once if within(name, ("harness",))} <= allowed


def test_no_cycle_of_modules() -> None:
    left = {name: imported(name, top_level_only=True) & set(ALL) - {name} for name in ALL}
    while left:
        free = {name for name, needs in left.items() if not needs & set(left)}
        assert free, f"a cycle among {sorted(left)}"
        left = {name: needs for name, needs in left.items() if name not in free}


@pytest.mark.parametrize(
    "modules",
    ["harness.run, harness.doctor, harness.recover, harness.tables, harness.report", "harness.cli"],
)
def test_parent_runs_without_mxnet(modules: str) -> None:
    heavy = ", ".join(repr(name) for name in (*HEAVY, "sklearn", "cv2"))
    code = f"import sys, {modules}; print([m for m in ({heavy}) if m in sys.modules])"
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == "[]"


def test_command_line_loads_no_library_for_help() -> None:
    code = (
        "import sys; before = set(sys.modules); from harness.cli import main; main(['--help'])\n"
        "new = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(sorted(new - set(sys.stdlib_module_names)), file=sys.stderr)"
    )
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert told.stderr.strip() == "['harness']"
    assert told.stdout.startswith("usage:")
