"""The environment variables that set-up, harness and workers may see.

Everything else of the user's shell stays outside: what Python, pip, the loader, OpenMP, MXNet, oneDNN,
INC, Hydra, matplotlib or git would read there changes what is installed or measured, and no record
would tell. Configuration of a user's own reads variables that begin with OWN_PREFIX.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

MODELS = "models"  # in the cache folder: weights that were downloaded
OWN_PREFIX = "INC_BENCH_"  # for ${oc.env:INC_BENCH_...} in a --conf folder

TO_WORKERS = (  # all that a worker inherits, besides its thread settings
    "HOME",
    "HTTPS_PROXY",
    "https_proxy",
    "LANG",
    "LC_ALL",
    "LD_LIBRARY_PATH",
    "MXNET_GLUON_REPO",
    "NO_PROXY",
    "no_proxy",
    "ONEDNN_MAX_CPU_ISA",
    "PATH",
    "SSL_CERT_FILE",
    "TMPDIR",
)
CERTIFICATES = (
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
)
PACKAGE_INDEX = (  # where pip gets packages and how it reaches it; nothing of what it installs where
    "PIP_CACHE_DIR",
    "PIP_CERT",
    "PIP_CLIENT_CERT",
    "PIP_DEFAULT_TIMEOUT",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_INDEX_URL",
    "PIP_KEYRING_PROVIDER",
    "PIP_NO_CACHE_DIR",
    "PIP_NO_INDEX",
    "PIP_PROXY",
    "PIP_RETRIES",
    "PIP_TIMEOUT",
    "PIP_TRUSTED_HOST",
)
SCREEN = (
    "BROWSER",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
)  # where ./run.sh demo opens a report
PASSED_ON = frozenset(
    (
        *TO_WORKERS,
        *CERTIFICATES,
        *PACKAGE_INDEX,
        *SCREEN,
        "ALL_PROXY",
        "all_proxy",
        "HTTP_PROXY",
        "http_proxy",
        "CI",
        "COLORTERM",
        "COLUMNS",
        "FORCE_COLOR",
        "HARNESS_PYTHON",
        "LANGUAGE",
        "LINES",
        "LOGNAME",
        "NETRC",
        "NO_COLOR",
        "TERM",
        "TTY_COMPATIBLE",
        "TTY_INTERACTIVE",
        "TZ",
        "USER",
    )
)
# Ray's own are for the fleet's driver; workers get none of these either
PASSED_PREFIXES = ("AWS_EC2_METADATA_", OWN_PREFIX, "LC_", "RAY_", "XDG_")


def passed_on(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the part of an environment that set-up and harness may see."""
    return _sound(
        {
            name: value
            for name, value in environment.items()
            if name in PASSED_ON or name.startswith(PASSED_PREFIXES)
        }
    )


def passed_to_workers(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the part of an environment that a worker may see."""
    return _sound({name: environment[name] for name in TO_WORKERS if name in environment})


def cache_home() -> str:
    """Return the folder for caches as the XDG specification has it, or .cache without any home."""
    return _cache_home()[0]


def unnamed_home() -> str | None:
    """Return what to say where no variable names the folder for caches; None where one does."""
    folder, named = _cache_home()
    if named:
        return None
    return (
        f"HOME is not set, or is no absolute path, so caches are in {folder}: set HOME or "
        "XDG_CACHE_HOME for another folder"
    )


def _cache_home() -> tuple[str, bool]:
    """Return the folder for caches, and whether a variable names it."""
    variables = _sound(os.environ)
    if "XDG_CACHE_HOME" in variables:
        return variables["XDG_CACHE_HOME"], True
    if "HOME" in variables:
        return os.path.join(variables["HOME"], ".cache"), True
    return _home_of_user() or ".cache", False


def _home_of_user() -> str | None:
    import pwd  # not on every platform that imports this

    try:
        return os.path.join(pwd.getpwuid(os.getuid()).pw_dir, ".cache")
    except KeyError:  # a container's user without an entry
        return None


def _sound(environment: Mapping[str, str]) -> dict[str, str]:
    """Leave out folders that are empty or relative: as XDG says of its own, these count as unset."""
    return {
        name: value
        for name, value in environment.items()
        if os.path.isabs(value) or not _names_a_folder(name)
    }


def _names_a_folder(name: str) -> bool:
    return name in ("HOME", "TMPDIR", "XDG_RUNTIME_DIR") or bool(re.fullmatch("XDG_.*_HOME", name))
