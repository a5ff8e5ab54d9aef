"""The locked environment: its locks, the pip that installs them, the certificates for that."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import os
import re
import shutil
import ssl
import threading
import tomllib
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from harness import PROJECT
from harness.process.variables import CERTIFICATES
from harness.setup import setup_env
from harness.setup.environments import SetupError
from harness.setup.fetch_pip import fetch_pip, pinned
from helpers.engine_python import ENVIRONMENTS
from helpers.zoo_server import TLS, Repository, repository_server

LOCKS = ("build", "run", "fleet", "test")
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text())
LEFT_OUT = set(PYPROJECT["tool"]["uv"]["exclude-dependencies"])


# --- the lock files ---------------------------------------------------------------------------


def pins(lock: str) -> dict[str, str]:
    """Name to version of one lock file, which must hold nothing but exact, hashed pins."""
    text = (PROJECT / "requirements" / f"{lock}.lock").read_text()
    text = re.sub(r"^--find-links https://\S+\n+", "", text, flags=re.M)  # where, and not what
    entries = re.sub(r" \\\n +", " ", re.sub(r"^ *#.*\n", "", text, flags=re.M)).splitlines()
    found = {}
    for entry in entries:
        match = re.fullmatch(r"([a-z0-9-]+)==([^\s*]+)( --hash=sha256:[0-9a-f]{64})+", entry)
        assert match, f"requirements/{lock}.lock: {entry!r} is not an exact pin with sha256 hashes"
        found[match[1]] = match[2]
    return found


def pinned_everywhere() -> dict[str, str]:
    return {name: version for lock in LOCKS for name, version in pins(lock).items()}


@pytest.mark.parametrize("lock", [*LOCKS, *(f"engines/{name}" for name in ENVIRONMENTS)])
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


@pytest.mark.parametrize("engine", ENVIRONMENTS)
def test_an_engine_is_locked_within_its_bounds(engine: str) -> None:
    folder = PROJECT / "requirements" / "engines"
    declared = [
        Requirement(line)
        for line in (folder / f"{engine}.in").read_text().splitlines()
        if line and not line.startswith(("#", "--find-links "))
    ]
    locked = pins(f"engines/{engine}")
    for requirement in declared:
        assert requirement.specifier.contains(locked[canonicalize_name(requirement.name)])
    # the one package that both sides of a worker's pipe need
    (typed,) = [one for one in PYPROJECT["project"]["dependencies"] if one.startswith("msgspec")]
    assert Requirement(typed).specifier.contains(locked["msgspec"])


def test_what_is_left_out_is_in_no_lock() -> None:
    engines = {name for engine in ENVIRONMENTS for name in pins(f"engines/{engine}")}
    assert not LEFT_OUT & (pinned_everywhere().keys() | engines)


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
    assert missing == LEFT_OUT - {"openvino-telemetry"}  # which an engine declares


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
    wheel = fetch_pip(tmp_path, tmp_path / "build.lock")
    assert wheel == tmp_path / NAME
    assert wheel.read_bytes() == WHEEL


@pytest.mark.usefixtures("index")
def test_a_pip_with_another_sha256_is_refused(tmp_path: Path) -> None:
    write_build_lock(tmp_path, b"something else")
    with pytest.raises(SetupError) as refusal:
        fetch_pip(tmp_path, tmp_path / "build.lock")
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
        fetch_pip(tmp_path, tmp_path / "build.lock")


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
        fetch_pip(tmp_path, tmp_path / "build.lock")
    assert reason in str(failure.value)
    assert "https_proxy" in str(failure.value)
    assert "you:s@" not in str(failure.value)


def test_a_lock_without_pip_is_refused() -> None:
    unhashed = "pip==26.3\nsetuptools==80.0 \\\n    --hash=sha256:" + "0" * 64 + "\n"
    with pytest.raises(SetupError, match="does not pin pip"):
        pinned(unhashed, "pip")


# --- certificates -------------------------------------------------------------------------------

NO_CERTIFICATES = ssl.DefaultVerifyPaths(None, None, "", "", "", "")


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Repository]:
    """An index over TLS whose certificate nobody vouches for, unless TLS / "ca.pem" is trusted."""
    for name in CERTIFICATES:
        monkeypatch.delenv(name, raising=False)
    with repository_server() as server:
        server.answers = {
            "/simple/pip/": f'<a href="{HREF}">{NAME}</a>'.encode(),
            f"/packages/{NAME}": WHEEL,
        }
        monkeypatch.setenv("PIP_INDEX_URL", f"{server.url}/simple")
        monkeypatch.setenv("no_proxy", "localhost,127.0.0.1")
        write_build_lock(tmp_path, WHEEL)
        yield server


def with_login(url: str) -> str:
    return url.replace("//", "//me:s%40cret@")


@pytest.mark.parametrize("variable", ["PIP_CERT", "SSL_CERT_FILE"])
def test_a_named_bundle_vouches_for_the_index(
    variable: str, repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", with_login(f"{repository.url}/simple"))
    with pytest.raises(SetupError, match="CERTIFICATE_VERIFY_FAILED"):
        fetch_pip(tmp_path, tmp_path / "build.lock")
    assert not repository.asked
    monkeypatch.setenv(variable, str(TLS / "ca.pem"))
    assert fetch_pip(tmp_path, tmp_path / "build.lock").read_bytes() == WHEEL


@pytest.mark.parametrize("variable", CERTIFICATES)
@pytest.mark.parametrize("path", ["/etc/ssl/certs/ca-certificate.crt", "no/such.pem"])
def test_a_variable_for_certificates_that_leads_nowhere_is_refused_and_named(
    variable: str,
    path: str,
    repository: Repository,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: NO_CERTIFICATES)
    monkeypatch.setenv(variable, path)
    with pytest.raises(SetupError) as refusal:
        fetch_pip(tmp_path, tmp_path / "build.lock")
    assert f"{variable}={path}" in str(refusal.value)
    assert "ca-certificates" in str(refusal.value) and "certifi" in str(refusal.value)
    assert not repository.asked


def test_without_certificates_no_credentials_are_sent_or_shown(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: NO_CERTIFICATES)
    monkeypatch.setenv("PIP_INDEX_URL", with_login(f"{repository.url}/simple"))
    with pytest.raises(SetupError) as refusal:
        fetch_pip(tmp_path, tmp_path / "build.lock")
    assert "ca-certificates" in str(refusal.value)
    assert "cret" not in str(refusal.value)
    assert not repository.asked


def test_without_certificates_only_the_locked_bytes_are_taken_and_it_says_so(
    repository: Repository,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(ssl, "get_default_verify_paths", lambda: NO_CERTIFICATES)
    assert fetch_pip(tmp_path, tmp_path / "build.lock").read_bytes() == WHEEL
    assert "warning: this system has no certificates" in capsys.readouterr().err
    repository.answers[f"/packages/{NAME}"] = b"another wheel"
    with pytest.raises(SetupError, match="allows only"):
        fetch_pip(tmp_path, tmp_path / "build.lock")


@pytest.mark.parametrize("scheme", ["http", "ftp"])
def test_https_is_not_left_for_something_else(
    scheme: str, repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PIP_CERT", str(TLS / "ca.pem"))
    repository.redirect = f"{scheme}://me:s@127.0.0.1:1/elsewhere"
    with pytest.raises(SetupError, match="not HTTPS") as refusal:
        fetch_pip(tmp_path, tmp_path / "build.lock")
    assert "me:s" not in str(refusal.value)


def test_credentials_do_not_follow_a_redirect(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    heard: list[str | None] = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heard.append(self.headers["Authorization"])
            self.send_error(404)

        def log_message(self, *_: object) -> None:
            """Stay quiet."""

    class Start(Elsewhere):
        def do_GET(self) -> None:
            heard.append(self.headers["Authorization"])
            self.send_response(302)
            self.send_header("Location", f"http://localhost:{elsewhere.server_port}/")
            self.end_headers()

    with (
        ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as elsewhere,
        ThreadingHTTPServer(("127.0.0.1", 0), Start) as start,
    ):
        for server in (elsewhere, start):
            threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
        monkeypatch.setenv("PIP_INDEX_URL", f"http://me:s@127.0.0.1:{start.server_port}/simple")
        with pytest.raises(SetupError, match="404"):
            fetch_pip(tmp_path, tmp_path / "build.lock")
        for server in (elsewhere, start):
            server.shutdown()
    assert heard[0] and heard[1:] == [None]


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
