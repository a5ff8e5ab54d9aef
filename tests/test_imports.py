"""Who imports whom, read from the source: layers stay layers, and the parent stays without MXNet."""

from __future__ import annotations

import ast
import functools
import re
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from harness import PROJECT

HEAVY = ("mxnet", "neural_compressor")
WORKERS = (  # what only a worker may import; every other module is of the parent
    "harness.doctor.environment_probe",  # in a process of its own, as a worker is
    "harness.images.batches",
    "harness.images.decode",
    "harness.images.operators",
    "harness.methods",
    "harness.process.worker",
    "harness.stages",
    "harness.workloads.download",
    "harness.workloads.exported",
    "harness.workloads.models",
    "harness.workloads.saved",
    "harness.workloads.weights_file",
)
ENTRY = "harness.__main__"
ESCAPE = "harness.render.escape"  # what makes text of files harmless: all that shows it may
BOTH = "harness.process.compat"  # imports MXNet where it is asked to

FLOORS = (  # who may import whom: a package imports what stands above it here, and nothing else
    ("errors", "facts", "render", "stats", "time_limit"),
    ("host",),
    ("files", "placement"),
    ("storage",),
    ("process", "table"),
    ("compare", "doctor", "export", "screen", "serving", "setup", "targets", "words"),
    ("checkout", "config", "workloads"),
    ("images", "packs"),
    ("engines",),
    ("methods", "run"),
    ("fleet", "nightly", "report", "stages"),
    ("bisect",),
    ("command_line",),
    ("commands",),
    ("cli",),
    ("__main__",),
)
FLAT = 8  # modules of harness/ itself
A_FOLDER = 15  # modules of a package, beside its __init__
A_MODULE = 350  # lines
FULLER = {"methods"}  # a module a method
FACES = "harness.commands."  # a verb has the name of what it is the face of


def module_name(path: Path) -> str:
    parts = path.relative_to(PROJECT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path for path in sorted((PROJECT / "harness").rglob("*.py"))}
ALL = list(SOURCES)


def is_package(module: str) -> bool:
    return SOURCES[module].name == "__init__.py"


def within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


NEWER_INC = (
    "harness.engines.neural_compressor"  # of another version than MXNet's, in an engine's worker
)
PARENT = [name for name in ALL if not within(name, (*WORKERS, BOTH))]


def is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


@functools.cache
def parsed(module: str) -> ast.Module:
    return ast.parse(SOURCES[module].read_text())


def statements(module: str, top_level_only: bool = False) -> Iterator[ast.stmt]:
    """Yield the import statements of a module, those in functions too."""
    waiting: list[ast.AST] = [parsed(module)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        if top_level_only and (
            isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or is_for_types(node)
        ):
            continue
        waiting += ast.iter_child_nodes(node)


@functools.cache
def imported(module: str, top_level_only: bool = False) -> frozenset[str]:
    """Return the modules that a module imports; ``from package import module`` names the module."""
    found: set[str] = set()
    for node in statements(module, top_level_only):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{module} has a relative import"
            inside = {f"{node.module}.{name.name}" for name in node.names}
            found |= {name if name in SOURCES else node.module for name in inside}
    return frozenset(found)


def ours(module: str) -> set[str]:
    return {name for name in imported(module) if within(name, ("harness",))}


def imports_from(packages: tuple[str, ...], modules: Iterable[str]) -> dict[str, set[str]]:
    """Return what modules import from some packages, of those modules that import any of it."""
    names = {
        module: {name for name in imported(module) if within(name, packages)} for module in modules
    }
    return {module: wrong for module, wrong in names.items() if wrong}


def test_the_parser_sees_what_is_there() -> None:
    assert "mxnet" in imported("harness.workloads.models")
    verb = "harness.commands.run"
    assert "harness.run.lifecycle" in imported(verb)  # imported in a function
    assert "harness.run.lifecycle" not in imported(verb, top_level_only=True)
    assert "harness.storage.store" in imported("harness.packs.verify")  # from a package
    assert {"harness.cli", "harness.run.lifecycle", "harness.doctor.software"} < set(PARENT)


def test_a_package_imports_what_stands_below_it_alone() -> None:
    assert sorted(name for floor in FLOORS for name in floor) == sorted(
        {name.split(".")[1] for name in ALL if name != "harness"}
    )
    height = {name: at for at, floor in enumerate(FLOORS) for name in floor}
    wrong = {
        (module, name)
        for module in ALL
        if module != "harness"
        for name in ours(module) - {"harness"}
        if name.split(".")[1] != module.split(".")[1]
        and height[name.split(".")[1]] >= height[module.split(".")[1]]
    }
    assert not wrong


def test_the_house_stays_small_enough_to_find_ones_way() -> None:
    folders = Counter(name.rpartition(".")[0] for name in ALL if not is_package(name))
    flat = folders.pop("harness") + 1  # and harness/__init__.py
    assert flat <= FLAT
    full = {name.split(".")[1] for name, count in folders.items() if count > A_FOLDER}
    assert full == FULLER
    long = {name for name, at in SOURCES.items() if len(at.read_text().splitlines()) > A_MODULE}
    assert not long


def test_the_architecture_shows_the_house() -> None:
    text = (PROJECT / "ARCHITECTURE.md").read_text()
    drawn = re.findall(r"^    (\w+(?:  ?\w+)*)   *\S", text, re.MULTILINE)
    assert [tuple(floor.split()) for floor in reversed(drawn)] == list(FLOORS)
    packages = {name.split(".")[1] for name in ALL if name.count(".") > 1}
    assert packages == set(re.findall(r"^\| `(\w+)/` ", text, re.MULTILINE))
    modules = set(re.findall(r"`(?:harness/)?((?:\w+/)*\w+\.py)`", text))
    known = {str(path.relative_to(PROJECT / "harness")) for path in SOURCES.values()}
    assert {name for name in modules if "/" in name and not name.startswith("tests/")} <= known


def private_names(module: str) -> set[str]:
    """Return the underscore names of other modules that a module imports, or uses as attributes."""
    tree = parsed(module)
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    ours = [node for node in imports if within(node.module or "", ("harness",))]
    modules = {
        name.asname or name.name
        for node in ours
        for name in node.names
        if f"{node.module}.{name.name}" in SOURCES
    }
    names = {name.name for node in ours for name in node.names} | {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in modules
    }
    return {name for name in names if name.startswith("_") and not name.startswith("__")}


def test_private_names_stay_in_their_module() -> None:
    wrong = {module: private_names(module) for module in ALL}
    assert {module: names for module, names in wrong.items() if names} == {}


def test_no_two_modules_have_one_name() -> None:
    names: dict[str, list[str]] = defaultdict(list)
    for module in ALL:
        if not is_package(module) and not module.startswith(FACES):
            names[module.rpartition(".")[2]].append(module)
    assert not {name: modules for name, modules in names.items() if len(modules) > 1}


def test_parent_imports_neither_mxnet_nor_what_imports_it() -> None:
    parent = [name for name in PARENT if name != NEWER_INC]
    assert imports_from((*HEAVY, *WORKERS), parent) == {}


ENGINES_OWN = {
    "nncf",
    "onnx",
    "onnxruntime",
    "openvino",
    "torch",
}  # in environments of engines alone


@pytest.mark.parametrize("module", ALL)
def test_engines_know_neither_mxnet_nor_hydra_and_are_known_to_workers_alone(module: str) -> None:
    packages = {name.split(".")[0] for name in imported(module)}
    if within(module, ("harness.engines",)):
        heavy = {*HEAVY} - ({"neural_compressor"} if module == NEWER_INC else set())
        assert not packages & {*heavy, "hydra", "omegaconf"}
        assert not {name for name in imported(module) if within(name, WORKERS)}
    else:
        assert not packages & ENGINES_OWN
        engines = {name for name in imported(module) if within(name, ("harness.engines",))}
        assert not engines or within(module, WORKERS)


PURE = {"__future__", "bisect", "collections", "dataclasses", "functools", "hashlib", "itertools",
        "json", "math", "re", "shlex", "typing", "unicodedata", "numpy", "scipy"}  # fmt: skip
DERIVED = (  # of records and numbers, purely
    "harness.stats",
    *(
        f"harness.table.{name}"
        for name in (
            *("beyond", "notes", "kernels", "metrics", "operations", "roof_share"),
            *("published.baselines", "row_names", "rows", "samples", "searches", "served.rates"),
            "validity",
        )
    ),
    *(f"harness.compare.{name}" for name in ("comparison", "pricing.prices", "unlike")),
    *(
        f"harness.compare.columns.{name}"
        for name in ("column", "machine_types", "method_values", "rankings")
    ),
    *(
        f"harness.nightly.{name}"
        for name in (
            *(
                "aa.analysis",
                "aa.replay",
                "disturbed",
                "judge",
                "night",
                "reasons",
                "notices.next_steps",
            ),
            *("second_verdicts", "sequential_test", "verdict"),
        )
    ),
)
DATA = (
    *(
        f"harness.facts.{name}"
        for name in ("faults", "machine_facts", "nested", "override_key", "typed")
    ),
    "harness.host.isa",
    *(
        f"harness.storage.{name}"
        for name in (
            "configuration",
            "method_options",
            "outcomes",
            "plan",
            "record",
            "same_run",
            "served.server_record",
            "stage_facts",
        )
    ),
    ESCAPE,
)


def outside(module: str) -> set[str]:
    return {name.split(".")[0] for name in imported(module)} - {"harness"}


def test_derivation_does_no_io() -> None:
    for module in (name for name in ALL if within(name, DERIVED)):
        wrong = {name for name in ours(module) if not within(name, (*DERIVED, *DATA))}
        assert (module, wrong, outside(module) - PURE) == (module, set(), set())


ENGINE = "harness.fleet.ray_cluster"  # Ray is an extra: only this imports it, when it is asked to


def test_the_engine_of_fleets_stays_behind_one_module() -> None:
    for module in ALL:
        at_once = {name.split(".")[0] for name in imported(module, top_level_only=True)}
        assert "ray" not in at_once, module
        assert module == ENGINE or "ray" not in outside(module), module


def test_scheduling_knows_no_engine() -> None:
    assert ours("harness.fleet.schedule") == {"harness.errors"}
    assert outside("harness.fleet.schedule") <= PURE


def test_nobody_imports_the_command_line() -> None:
    assert imports_from(("harness.cli", ENTRY), set(ALL) - {ENTRY}) == {}


def test_stages_are_named_by_jobs_and_never_imported() -> None:
    assert imports_from(("harness.stages",), ALL) == {}


@pytest.mark.parametrize(
    "module",
    [
        "harness.errors",
        "harness.process.interrupt",
        "harness.table.metrics",
        "harness.host.system_files",
    ],
)
def test_bottom_imports_nothing_of_ours(module: str) -> None:
    assert not ours(module) - {"harness"}


@pytest.mark.parametrize(
    "module",
    [
        "harness.cli",
        "harness.process.confinement",
        "harness.errors",
        "harness.process.own_modules",
        "harness.process.worker",
    ],
)
def test_starts_with_the_standard_library_alone(module: str) -> None:
    at_once = imported(module, top_level_only=True)
    assert {name.split(".")[0] for name in at_once} <= {*sys.stdlib_module_names, "harness"}
    of_confinement = {
        *("harness.process.landlock", "harness.process.seccomp"),
        *("harness.process.own_modules", "harness.process.variables"),
    }
    of_worker = {"harness.process.confinement", "harness.errors", "harness.process.lifetime"}
    allowed = {
        "harness.process.confinement": of_confinement,
        "harness.process.worker": of_worker
        | {"harness.process.own_modules", "harness.storage", "harness.storage.outcomes"}
        | {"harness.host.kernel.perf_events"},  # opened before a worker is confined
    }.get(module, set())
    assert {name for name in at_once if within(name, ("harness",))} - {"harness"} <= allowed


@pytest.mark.parametrize("module", [name for name in ALL if within(name, ("harness.commands",))])
def test_a_verb_declares_itself_with_the_standard_library_alone(module: str) -> None:
    at_once = imported(module, top_level_only=True)
    outsiders = {name.split(".")[0] for name in at_once} - {*sys.stdlib_module_names, "harness"}
    assert not outsiders
    own = {name for name in at_once if within(name, ("harness",))} - {"harness"}
    assert own <= {"harness.command_line.verb"}


def test_no_cycle_of_modules() -> None:
    left = {name: imported(name, top_level_only=True) & set(ALL) - {name} for name in ALL}
    while left:
        free = {name for name, needs in left.items() if not needs & set(left)}
        assert free, f"a cycle among {sorted(left)}"
        left = {name: needs for name, needs in left.items() if name not in free}


@pytest.mark.parametrize(
    "modules",
    [
        "harness.run.lifecycle, harness.doctor.examination, harness.run.recovering",
        "harness.table.tables, harness.report.report_writer",
        "harness.cli",
    ],
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
