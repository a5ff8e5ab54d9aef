"""Make the project's own environment, .venv, from nothing but the lock files.

run.sh starts this with the system's Python, so it needs the standard library alone: no pip, no
ensurepip, no root. Only one set-up works at a time, and a stamp is written when all of it is done:
a set-up that was killed leaves none and is redone.
"""

from __future__ import annotations

import argparse
import base64
import ctypes
import fcntl
import hashlib
import html
import http.client
import importlib.util
import os
import platform
import re
import ssl
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import Request, urlopen

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCKS = ROOT / "requirements"
PYTHON = VENV / "bin" / "python"
INDEX = "https://pypi.org/simple"

EXTRA = {  # what a stamp's verb needs besides run.lock
    "fleet": ("fleet.lock",),
    "test": ("fleet.lock", "test.lock"),
}

# Libraries that MXNet's wheel links but does not carry, and the copies that other wheels carry.
NATIVE = {
    "libgomp.so.1": "scikit_learn.libs/libgomp-*.so*",
    "libquadmath.so.0": "scipy.libs/libquadmath-*.so*",
}


class SetupError(Exception):
    """What failed and what to do about it, in words for the user."""


def main() -> int:
    """Bring .venv to the stamps asked for; returns the exit code: 0, or 3 as in harness.cli."""
    parser = argparse.ArgumentParser(description="Make .venv from the lock files (run.sh does it).")
    parser.add_argument(
        "stamps", nargs="+", metavar="NAME=DIGEST", help="run=..., test=..., fleet=..."
    )
    stamps = dict(stamp.split("=", 1) for stamp in parser.parse_args().stamps)
    try:
        require_supported_platform()
        with exclusive(ROOT / ".venv.lock") as lock:
            set_up(stamps, lock)
    except SetupError as error:
        say(f"error: {error}")
    except OSError as error:
        say(f"error: {error}. The environment is made in {VENV}: is it writable, with 1 GB free?")
    except KeyboardInterrupt:
        say("interrupted; the next ./run.sh starts the environment over")
    else:
        return 0
    return 3


def say(message: str) -> None:
    """Tell the user on stderr: stdout belongs to the verb that run.sh runs."""
    print(f"run.sh: {message}", file=sys.stderr, flush=True)


def require_supported_platform() -> None:
    """Refuse a Python that the locked wheels are not for."""
    if sys.version_info[:2] != (3, 11) or (sys.platform, platform.machine()) != ("linux", "x86_64"):
        raise SetupError(
            f"{sys.executable} is Python {platform.python_version()} on {sys.platform} "
            f"{platform.machine()}; the locked packages need CPython 3.11 on linux x86_64. "
            "Name one: HARNESS_PYTHON=/path/to/python3.11 ./run.sh"
        )


@contextmanager
def exclusive(path: Path) -> Iterator[int]:
    """Hold the lock file at `path`, waiting for whoever has it; yields its descriptor."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another run.sh is setting up the environment; waiting for it")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def set_up(stamps: dict[str, str], lock: int) -> None:
    """Install what the stamps stand for, `run` and the keys of EXTRA, and is not there yet."""
    stale = [name for name, digest in stamps.items() if not is_current(name, digest)]
    if not stale:
        return  # whoever held the lock before has done it
    for old in VENV.glob("*.stamp"):
        old.unlink()
    if "run" in stale:
        create_environment(lock)
    for lock_file in dict.fromkeys(file for name in stamps for file in EXTRA.get(name, ())):
        pip_install([PYTHON, "-m", "pip"], lock_file, lock)
    for name, digest in stamps.items():
        (VENV / f"{name}.stamp").write_text(digest, encoding="ascii")
    say("the environment is ready")


def is_current(name: str, digest: str) -> bool:
    """Whether .venv has the stamp `name` with this digest, and a Python that is still there."""
    stamp = VENV / f"{name}.stamp"
    return os.access(PYTHON, os.X_OK) and stamp.is_file() and stamp.read_text() == digest


def create_environment(lock: int) -> None:
    """A fresh .venv with everything in build.lock and run.lock."""
    say(f"making the environment in {VENV} (once: about 235 MB to download, 1 GB on disk)")
    venv.EnvBuilder(clear=True, symlinks=True).create(VENV)
    with tempfile.TemporaryDirectory() as folder:
        if importlib.util.find_spec("ensurepip"):
            call([PYTHON, "-m", "ensurepip"], "Python's own ensurepip failed:", lock)
            pip: list[str | Path] = [PYTHON, "-m", "pip"]
        else:  # Debian and Ubuntu keep it in another package
            pip = [PYTHON, fetch_pip(Path(folder)) / "pip"]
        pip_install(pip, "build.lock", lock)
    pip_install([PYTHON, "-m", "pip"], "run.lock", lock)
    link_native(next(VENV.glob("lib/python3*/site-packages")), VENV / "lib" / "native")


def pip_install(pip: Sequence[str | Path], lock_file: str, lock: int) -> None:
    """Install the packages of one lock file: exactly those, each checked by its sha256."""
    say(f"installing requirements/{lock_file}")
    options = ["--no-deps", "--require-hashes", "--no-build-isolation"]
    quiet = ["--quiet", "--no-input", "--disable-pip-version-check", "--no-warn-script-location"]
    report = VENV / f"{lock_file}.json"  # harness/compat.py reads the digests from it
    call(
        [*pip, "install", *options, *quiet, "--report", report, "--requirement", LOCKS / lock_file],
        f"pip could not install requirements/{lock_file}. Check the network (https_proxy, "
        "PIP_INDEX_URL, PIP_CERT) and the disk, then start ./run.sh again. What pip said:",
        lock,
    )


def call(command: Sequence[str | Path], failure: str, lock: int) -> None:
    """Run a command quietly; raises SetupError with its last words if it fails."""
    # The child holds the lock too: should this process be killed, nobody builds beside its orphan.
    done = subprocess.run(command, capture_output=True, text=True, pass_fds=[lock], check=False)
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines()[-8:]
        raise SetupError("\n  ".join([failure, *words]))


def fetch_pip(folder: Path) -> Path:
    """Download the pip wheel pinned in build.lock from the package index into `folder`."""
    version, digests = pinned((LOCKS / "build.lock").read_text(encoding="utf-8"), "pip")
    wheel = f"pip-{version}-py3-none-any.whl"
    page_url = (os.environ.get("PIP_INDEX_URL") or INDEX).rstrip("/") + "/pip/"
    link = re.search(rf'href="([^"#]*\b{re.escape(wheel)})["#]', get(page_url).decode())
    if link is None:
        raise SetupError(
            f"{without_credentials(page_url)} does not offer {wheel}. "
            f"Set PIP_INDEX_URL to an index that does, such as {INDEX}"
        )
    url = urljoin(page_url, html.unescape(link[1]))
    data = get(url)
    require_sha256(data, digests, without_credentials(url))
    path = folder / wheel
    path.write_bytes(data)
    return path


def pinned(lock_text: str, name: str) -> tuple[str, set[str]]:
    """The version and the sha256 digests that a lock file's text has for one package."""
    entry = re.search(
        rf"^{re.escape(name)}==(\S+)((?: \\\n    --hash=sha256:[0-9a-f]{{64}})+)$", lock_text, re.M
    )
    if entry is None:
        raise SetupError(f"requirements/build.lock does not pin {name}; run requirements/lock.sh")
    return entry[1], set(re.findall(r"[0-9a-f]{64}", entry[2]))


def require_sha256(data: bytes, digests: set[str], source: str) -> None:
    """Refuse data whose sha256 is none of the locked ones."""
    digest = hashlib.sha256(data).hexdigest()
    if digest not in digests:
        raise SetupError(
            f"{source} has sha256 {digest}, and requirements/build.lock allows only "
            f"{', '.join(sorted(digests))}. The download is damaged or not the package that was "
            "locked: try again, or name another index with PIP_INDEX_URL"
        )


def get(url: str) -> bytes:
    """The body at `url`; the proxy variables and credentials in the URL are honoured."""
    parts, bare = urlsplit(url), without_credentials(url)
    headers = {}
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    try:
        with urlopen(Request(bare, headers=headers), timeout=60, context=tls()) as response:
            return bytes(response.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise SetupError(
            f"cannot fetch {bare}: {error}. Check the network (https_proxy, PIP_CERT), "
            "or name a mirror with PIP_INDEX_URL"
        ) from error


def without_credentials(url: str) -> str:
    """The URL as it may be shown and sent."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def tls() -> ssl.SSLContext:
    """Trust what PIP_CERT, SSL_CERT_FILE or the system names."""
    bundle = os.environ.get("PIP_CERT") or None
    context = ssl.create_default_context(cafile=bundle)
    paths = ssl.get_default_verify_paths()
    if not bundle and not paths.cafile and not (paths.capath and os.listdir(paths.capath)):
        # A Debian without ca-certificates. The locked sha256 vouches for the one file fetched
        # here; pip then brings certificates of its own.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def link_native(site: Path, folder: Path) -> None:
    """Link in `folder` the copy, from the wheels in `site`, of each library the system lacks."""
    for name, pattern in NATIVE.items():
        if system_has(name):
            continue
        copies = list(site.glob(pattern))
        if len(copies) != 1:
            package = name.replace(".so.", "")
            raise SetupError(
                f"{name} is not on this system, and {len(copies)} copies of it are in "
                f"{site}/{pattern}. Install it (apt-get install {package}), then start again"
            )
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(os.path.relpath(copies[0], folder))


def system_has(library: str) -> bool:
    """Whether the dynamic loader finds a shared library by its name alone."""
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
