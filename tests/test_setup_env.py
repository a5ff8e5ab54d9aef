"""The locked environment: its locks, the set-up that installs them, and run.sh in front of both."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import os
import re
import shutil
import subprocess
import threading
import tomllib
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from harness import setup_env
from harness.setup_env import SetupError
from runs import until

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ("build", "run", "fleet", "test")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LEFT_OUT = set(PYPROJECT["tool"]["uv"]["exclude-dependencies"])


# --- the lock files ---------------------------------------------------------------------------


def pins(lock: str) -> dict[str, str]:
    """Name to version of one lock file, which must hold nothing but exact, hashed pins."""
    text = (ROOT / "requirements" / f"{lock}.lock").read_text()
    entries = re.sub(r" \\\n +", " ", re.sub(r"^ *#.*\n", "", text, flags=re.M)).splitlines()
    found = {}
    for entry in entries:
        match = re.fullmatch(r"([a-z0-9-]+)==([^\s*]+)( --hash=sha256:[0-9a-f]{64})+", entry)
        assert match, f"requirements/{lock}.lock: {entry!r} is not an exact pin with sha256 hashes"
        found[match[1]] = match[2]
    return found


def pinned_everywhere() -> dict[str, str]:
    return {name: version for lock in LOCKS for name, version in pins(lock).items()}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_line_of_a_lock_is_an_exact_pin_with_hashes(lock: str) -> None:
    assert pins(lock)


def test_a_package_in_two_locks_has_one_version() -> None:
    together = pinned_everywhere()
    for lock in LOCKS:
        for name, version in pins(lock).items():
            assert together[name] == version, f"{name} differs between the locks"


@pytest.mark.parametrize(
    ("lock", "declared"),
    [
        ("run", PYPROJECT["project"]["dependencies"]),
        ("fleet", PYPROJECT["dependency-groups"]["fleet"]),
        ("test", PYPROJECT["dependency-groups"]["test"]),
    ],
)
def test_direct_dependencies_are_locked_within_their_bounds(lock: str, declared: list[str]) -> None:
    locked = pins(lock)
    for requirement in map(Requirement, declared):
        name = canonicalize_name(requirement.name)
        assert name in locked, f"{lock}.lock lacks {name}: run requirements/lock.sh"
        assert requirement.specifier.contains(locked[name], prereleases=True), name


def test_what_is_left_out_is_in_no_lock() -> None:
    assert not LEFT_OUT & pinned_everywhere().keys()


def test_installed_versions_are_the_locked_ones() -> None:
    installed = {name: importlib.metadata.version(name) for name in pinned_everywhere()}
    assert installed == pinned_everywhere()


def test_the_locks_are_complete_but_for_what_is_left_out() -> None:
    """They are installed with --no-deps, so nothing else would notice a missing package."""
    locked, missing = pinned_everywhere(), set()
    for name in locked:
        for requirement in map(Requirement, importlib.metadata.requires(name) or []):
            if requirement.marker and not requirement.marker.evaluate():
                continue  # for an extra, another platform or another Python
            version = locked.get(canonicalize_name(requirement.name))
            if version is None:
                missing.add(canonicalize_name(requirement.name))
            else:
                assert requirement.specifier.contains(version, prereleases=True), (name, version)
    assert missing == LEFT_OUT


# --- pip from the index, where Python has no ensurepip -----------------------------------------

WHEEL = b"the bytes of a wheel"
NAME = "pip-26.3-py3-none-any.whl"
HREF = f"../../packages/{NAME}#sha256=ignored"


class Index(BaseHTTPRequestHandler):
    """A package index with one project, behind a password."""

    page = ""

    def do_GET(self) -> None:
        login = base64.b64encode(b"me:s@cret").decode()
        if self.headers["Authorization"] != f"Basic {login}":
            return self.send_error(401)
        bodies = {"/simple/pip/": self.page.encode(), f"/packages/{NAME}": WHEEL}
        if self.path not in bodies:
            return self.send_error(404)
        self.send_response(200)
        self.end_headers()
        self.wfile.write(bodies[self.path])
        return None

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[type[Index]]:
    """Serve an index and have setup_env use it; its lock allows exactly WHEEL."""

    class Handler(Index):
        page = f'<a href="x/pip-26.3.tar.gz">pip-26.3.tar.gz</a> <a href="{HREF}">{NAME}</a>'

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    port = server.server_address[1]
    monkeypatch.setenv("PIP_INDEX_URL", f"http://me:s%40cret@127.0.0.1:{port}/simple")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(setup_env, "LOCKS", tmp_path)
    write_build_lock(tmp_path, WHEEL)
    yield Handler
    server.shutdown()
    server.server_close()


def write_build_lock(folder: Path, allowed: bytes) -> None:
    digests = (hashlib.sha256(b"the sdist").hexdigest(), hashlib.sha256(allowed).hexdigest())
    hashes = " \\\n".join(f"    --hash=sha256:{digest}" for digest in digests)
    (folder / "build.lock").write_text(f"# made by hand\npip==26.3 \\\n{hashes}\n    # via\n")


@pytest.mark.usefixtures("index")
def test_the_pinned_pip_is_fetched_with_the_credentials_of_the_index(tmp_path: Path) -> None:
    wheel = setup_env.fetch_pip(tmp_path)
    assert wheel == tmp_path / NAME
    assert wheel.read_bytes() == WHEEL


@pytest.mark.usefixtures("index")
def test_a_pip_with_another_sha256_is_refused(tmp_path: Path) -> None:
    write_build_lock(tmp_path, b"something else")
    with pytest.raises(SetupError) as refusal:
        setup_env.fetch_pip(tmp_path)
    message = str(refusal.value)
    assert hashlib.sha256(WHEEL).hexdigest() in message
    assert hashlib.sha256(b"something else").hexdigest() in message
    assert "requirements/build.lock" in message
    assert "PIP_INDEX_URL" in message
    assert "cret" not in message
    assert not (tmp_path / NAME).exists()


def test_an_index_without_that_pip_is_named(index: type[Index], tmp_path: Path) -> None:
    index.page = '<a href="../../packages/not-pip-26.3-py3-none-any.whl.asc">signature</a>'
    with pytest.raises(SetupError, match=rf"/simple/pip/ does not offer {re.escape(NAME)}"):
        setup_env.fetch_pip(tmp_path)


@pytest.mark.usefixtures("index")
@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:1/simple", "refused"),
        ("no-scheme/simple", "unknown url type"),
        ("http://you:s@127.0.0.1:{port}/simple", "401"),
    ],
)
def test_an_index_that_does_not_answer_is_named_with_what_to_check(
    url: str, reason: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    port = os.environ["PIP_INDEX_URL"].split(":")[-1].split("/")[0]
    monkeypatch.setenv("PIP_INDEX_URL", url.format(port=port))
    with pytest.raises(SetupError) as failure:
        setup_env.fetch_pip(tmp_path)
    assert reason in str(failure.value)
    assert "https_proxy" in str(failure.value)
    assert "you:s@" not in str(failure.value)


def test_a_lock_without_pip_is_refused() -> None:
    unhashed = "pip==26.3\nsetuptools==80.0 \\\n    --hash=sha256:" + "0" * 64 + "\n"
    with pytest.raises(SetupError, match="does not pin pip"):
        setup_env.pinned(unhashed, "pip")


# --- the native libraries ----------------------------------------------------------------------


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site-packages with the copies that wheels carry, and some that must not be taken."""
    for name in (
        "scikit_learn.libs/libgomp-a34b3233.so.1.0.0",
        "scipy.libs/libquadmath-96973f99.so.0.0.0",
        "scipy.libs/libgfortran-91cc3cb1.so.3.0.0",
        "numpy.libs/libquadmath-96973f99.so.0.0.0",
        "torch.libs/libgomp-ffffffff.so.1",
    ):
        path = tmp_path / "site-packages" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return tmp_path / "site-packages"


def lacking(*libraries: str) -> partial[bool]:
    return partial(lambda absent, name: name not in absent, libraries)


@pytest.mark.parametrize(
    "absent", [(), ("libgomp.so.1",), ("libquadmath.so.0",), ("libgomp.so.1", "libquadmath.so.0")]
)
def test_exactly_the_libraries_the_system_lacks_are_linked(
    absent: tuple[str, ...], site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup_env, "system_has", lacking(*absent))
    setup_env.link_native(site, tmp_path / "native")
    linked = {path.name: path.read_text() for path in tmp_path.glob("native/*")}
    copies = {
        "libgomp.so.1": "scikit_learn.libs/libgomp-a34b3233.so.1.0.0",
        "libquadmath.so.0": "scipy.libs/libquadmath-96973f99.so.0.0.0",
    }
    assert linked == {name: copies[name] for name in absent}
    assert (tmp_path / "native").exists() == bool(absent)


def test_the_links_survive_a_move_of_the_project(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup_env, "system_has", lacking("libgomp.so.1"))
    setup_env.link_native(site, site.parent / "native")
    moved = tmp_path / "moved"
    moved.mkdir()
    for folder in ("site-packages", "native"):
        (tmp_path / folder).rename(moved / folder)
    assert (moved / "native" / "libgomp.so.1").read_text().startswith("scikit_learn.libs/")


@pytest.mark.parametrize("copies", [0, 2])
def test_an_unclear_copy_is_refused_with_the_package_to_install(
    copies: int, site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(site / "scipy.libs")
    (site / "scipy.libs").mkdir()
    for number in range(copies):
        (site / "scipy.libs" / f"libquadmath-{number}.so.0").touch()
    monkeypatch.setattr(setup_env, "system_has", lacking("libquadmath.so.0"))
    with pytest.raises(SetupError, match="apt-get install libquadmath0"):
        setup_env.link_native(site, tmp_path / "native")


def test_the_loader_is_asked_for_real() -> None:
    assert setup_env.system_has("libc.so.6")
    assert not setup_env.system_has("libnosuchthing.so.9")


# --- stamps and the lock -----------------------------------------------------------------------


@pytest.fixture
def installs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """A project in tmp_path whose installs only make bin/python and write down their names."""
    done: list[str] = []
    python = tmp_path / ".venv" / "bin" / "python"

    def create(_lock: int) -> None:
        assert not list(tmp_path.glob(".venv/*.stamp")), "a stamp, and all is not done"
        done.append("run")
        python.parent.mkdir(parents=True, exist_ok=True)
        python.write_text("#!/bin/sh\n")
        python.chmod(0o755)

    def install(_pip: object, lock_file: str, _lock: int) -> None:
        assert not list(tmp_path.glob(".venv/*.stamp")), "a stamp, and all is not done"
        if (tmp_path / "broken").exists():
            raise SetupError("no network")
        done.append(lock_file.removesuffix(".lock"))

    monkeypatch.setattr(setup_env, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(setup_env, "PYTHON", python)
    monkeypatch.setattr(setup_env, "create_environment", create)
    monkeypatch.setattr(setup_env, "pip_install", install)
    return done


def test_only_what_is_stale_is_installed(installs: list[str]) -> None:
    for stamps, expected in [
        ({"run": "1"}, ["run"]),
        ({"run": "1"}, []),
        ({"run": "1", "fleet": "1"}, ["fleet"]),
        ({"run": "1", "test": "1"}, ["fleet", "test"]),
        ({"run": "1", "test": "1"}, []),
        ({"run": "1", "test": "2"}, ["fleet", "test"]),
        ({"run": "2", "test": "3"}, ["run", "fleet", "test"]),
        ({"run": "2"}, []),
    ]:
        installs.clear()
        setup_env.set_up(stamps, lock=-1)
        assert installs == expected, stamps


def test_a_set_up_that_failed_half_way_is_redone_from_the_start(
    installs: list[str], tmp_path: Path
) -> None:
    stamps = {"run": "1", "test": "1"}
    setup_env.set_up({"run": "1"}, lock=-1)
    (tmp_path / "broken").touch()
    with pytest.raises(SetupError):
        setup_env.set_up(stamps, lock=-1)
    (tmp_path / "broken").unlink()
    installs.clear()
    setup_env.set_up(stamps, lock=-1)
    assert installs == ["run", "fleet", "test"]


def test_an_environment_whose_python_is_gone_is_redone(installs: list[str]) -> None:
    setup_env.set_up({"run": "1"}, lock=-1)
    setup_env.PYTHON.unlink()
    setup_env.set_up({"run": "1"}, lock=-1)
    assert installs == ["run", "run"]


def test_a_second_set_up_waits_for_the_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    order: list[str] = []

    def second() -> None:
        with setup_env.exclusive(tmp_path / "lock"):
            order.append("second")

    with setup_env.exclusive(tmp_path / "lock"):
        other = threading.Thread(target=second)
        other.start()
        until(lambda: "waiting" in capsys.readouterr().err, "word of the wait")
        order.append("first")
    other.join()
    assert order == ["first", "second"]


def test_a_command_that_fails_is_quoted(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with setup_env.exclusive(tmp_path / "lock") as lock:
        setup_env.call(["sh", "-c", "echo fine; echo noise >&2"], "unused", lock)
        with pytest.raises(SetupError, match="pip failed:\n  no such package"):
            setup_env.call(["sh", "-c", "echo no such package >&2; exit 3"], "pip failed:", lock)
    assert capfd.readouterr() == ("", "")


# --- run.sh ------------------------------------------------------------------------------------

# Stands for both Pythons: writes down how it was called, and as set-up makes the environment.
FAKE_PYTHON = """#!/usr/bin/env bash
echo "$(basename "$0") $* path=${PYTHONPATH-} libraries=${LD_LIBRARY_PATH-}" >>"$CALLS"
[[ $* == *setup_env.py* ]] || exit 0
[[ ! -e broken ]] || exit 3
mkdir -p .venv/bin
cp "$0" .venv/bin/python
for stamp in "${@:3}"; do printf %s "${stamp#*=}" >".venv/${stamp%%=*}.stamp"; done
"""


class Project:
    """A copy of run.sh and what it reads, with a fake Python."""

    result: subprocess.CompletedProcess[str]

    def __init__(self, root: Path) -> None:
        self.root = root / "a project"
        self.calls = root / "calls"
        shutil.copytree(ROOT / "requirements", self.root / "requirements")
        (self.root / "harness").mkdir()
        shutil.copy(ROOT / "run.sh", self.root)
        shutil.copy(ROOT / "harness" / "setup_env.py", self.root / "harness")
        self.python = root / "python3.11"
        self.python.write_text(FAKE_PYTHON)
        self.python.chmod(0o755)

    def start(self, *arguments: str, python: str = "./python3.11") -> list[str]:
        """Start run.sh from the folder above; returns the calls of Python, setup_env.py first."""
        self.calls.write_text("")
        environment = {
            "PATH": os.environ["PATH"],
            "CALLS": str(self.calls),
            "HARNESS_PYTHON": python,
            "PYTHONPATH": "/somewhere/else",
        }
        self.result = subprocess.run(
            [self.root / "run.sh", *arguments],
            cwd=self.root.parent,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        return self.calls.read_text().splitlines()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_the_environment_is_set_up_once(project: Project) -> None:
    setup, harness = project.start("table", "two words")
    assert setup.startswith("python3.11 -I harness/setup_env.py run=")
    assert "test=" not in setup
    assert harness == "python -m harness table two words path= libraries="
    assert project.start("table") == ["python -m harness table path= libraries="]
    assert project.result.stderr == ""


@pytest.mark.parametrize(
    "changed", ["requirements/build.lock", "requirements/run.lock", "harness/setup_env.py"]
)
def test_a_changed_lock_means_a_new_set_up(project: Project, changed: str) -> None:
    project.start()
    with (project.root / changed).open("a") as file:
        file.write("# changed\n")
    assert len(project.start()) == 2
    assert len(project.start()) == 1


def test_another_python_means_a_new_set_up(project: Project) -> None:
    project.start()
    os.utime(project.python, (1, 1))
    assert len(project.start()) == 2
    (project.root / ".venv" / "bin" / "python").unlink()
    assert len(project.start()) == 2


def test_the_tests_have_a_stamp_of_their_own(project: Project) -> None:
    project.start()
    setup, pytest_call = project.start("test", "-k", "some thing")
    assert " test=" in setup
    assert pytest_call.startswith("python -m pytest -k some thing path=")
    assert len(project.start("test")) == 1
    (campaign,) = project.start("test-faults", "roof")
    assert campaign.startswith(f"python -m faults roof path={project.root}/tests ")
    (project.root / "requirements" / "test.lock").write_text("")
    assert len(project.start("run")) == 1
    assert len(project.start("test")) == 2


def test_only_the_fleet_installs_its_engine(project: Project) -> None:
    setup, call = project.start("fleet", "run=ID")
    assert " fleet=" in setup
    assert call.startswith("python -m harness fleet run=ID path=")
    assert len(project.start("run")) == len(project.start("fleet")) == 1


def test_a_failed_set_up_ends_run_sh(project: Project) -> None:
    (project.root / "broken").touch()
    assert len(project.start()) == 1
    assert project.result.returncode == 3


def test_help_needs_no_environment(project: Project) -> None:
    assert project.start("--help") == ["python3.11 -m harness --help path= libraries="]
    assert not (project.root / ".venv").exists()


def test_linked_libraries_come_first(project: Project) -> None:
    project.start()
    native = project.root / ".venv" / "lib" / "native"
    native.mkdir(parents=True)
    assert project.start("run")[0].endswith(f"libraries={native}")


def test_a_benchmark_is_started_by_name(project: Project) -> None:
    assert project.start("benchmark", "bundled.make", "--size", "3")[1].startswith(
        "python -m benchmarks.bundled.make --size 3 path="
    )
    assert project.start("benchmark") == []
    assert project.result.returncode == 2
    assert "name a module" in project.result.stderr


def test_a_missing_python_is_named_with_what_to_do(project: Project) -> None:
    assert project.start(python="/no/such/python3.11") == []
    assert project.result.returncode == 3
    assert "/no/such/python3.11 not found" in project.result.stderr
    assert "HARNESS_PYTHON=" in project.result.stderr
