"""The one place that makes MXNet 2.0.0b1 and INC 1.13.1 work together.

Four clashes, found by running them:

* INC calls ``int()`` on every part of ``mx.__version__``, which is ``2.0.0beta1`` in this wheel. INC
  is shown ``2.0.0``; records keep the true version (``true_versions``).
* MXNet uses ``numpy.bool`` and INC ``numpy.float``, both gone in NumPy 1.24.
* INC has PyYAML read every ``null`` as ``{}`` from then on, for OmegaConf as well: undone here.
* INC's Bayesian optimiser passes ``minimize`` a 2-D start, refused by SciPy 1.11 and later; INC
  swallows the error and finds nothing.

Those of NumPy and SciPy are held by the lock file; ``import_inc`` checks them, since INC's own
failure is silent.

And three wastes: INC has ``cpuinfo`` describe the CPU when it is imported, which sleeps for a second to
estimate the clock, and reads of all that only whether the architecture is x86. And MXNet imports SciPy
and scikit-learn wherever it can, a third of what its own import takes, for its tests, for sparse
arrays made of SciPy's and for a base class of an interface of MXNet 1. And while INC is imported,
Python looks for garbage again and again among modules that stay: a sixth of that import.
"""

from __future__ import annotations

import gc
import importlib.metadata
import json
import platform
import sys
from pathlib import Path
from types import ModuleType

from harness.errors import HarnessError
from harness.facts.machine_facts import Versions

INC_VERSION = "1.13.1"  # 1.14 rewrote the strategies: opwise_tune_cfgs is gone
BELOW = {"numpy": (1, 24), "scipy": (1, 11), "setuptools": (81,)}
SHOWN_TO_INC = "2.0.0"
DISPENSABLE = ("scipy", "sklearn")


def import_mxnet() -> None:
    """Import MXNet without the packages that it can do without; they can be imported afterwards."""
    hidden = [name for name in DISPENSABLE if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        importlib.import_module("mxnet")
    finally:
        for name in hidden:
            del sys.modules[name]


def import_inc() -> ModuleType:
    """Return ``neural_compressor`` imported so that it works with this MXNet.

    Raises:
        HarnessError: an installed version is one that INC fails with, silently or late.
    """
    check_limits({name: importlib.metadata.version(name) for name in (*BELOW, "neural-compressor")})
    import cpuinfo  # type: ignore[import-untyped]
    import mxnet

    mxnet.__version__ = SHOWN_TO_INC
    described = cpuinfo.get_cpu_info
    cpuinfo.get_cpu_info = lambda: {"arch": platform.machine().upper()}
    collects = gc.isenabled()
    gc.disable()
    try:
        import neural_compressor.conf.config
    finally:
        cpuinfo.get_cpu_info = described
        if collects:
            gc.enable()
    import yaml

    yaml.SafeLoader.add_constructor("tag:yaml.org,2002:null", lambda loader, node: None)
    return neural_compressor  # type: ignore[no-any-return]


def check_limits(versions: dict[str, str]) -> None:
    """Raise HarnessError if an installed version does not work with this MXNet and INC."""
    advice = "delete .venv and start run.sh again, which installs the locked versions"
    for name, limit in BELOW.items():
        parts = versions[name].split(".")[: len(limit)]
        if tuple(int(part) for part in parts) >= limit:
            below = ".".join(map(str, limit))
            raise HarnessError(
                f"{name} {versions[name]} is installed, needed is < {below}: {advice}"
            )
    if versions["neural-compressor"] != INC_VERSION:
        version = versions["neural-compressor"]
        raise HarnessError(f"neural-compressor {version} is installed, not {INC_VERSION}: {advice}")


def true_versions() -> Versions:
    """Return the true versions of what is installed, with MXNet's build features and digests."""
    import mxnet

    version = importlib.metadata.version
    files = importlib.metadata.files("mxnet") or []
    hashes = {str(file): file.hash.value for file in files if file.hash is not None}
    features = mxnet.runtime.Features()
    return Versions(
        mxnet=version("mxnet"),
        neural_compressor=version("neural-compressor"),
        numpy=version("numpy"),
        scipy=version("scipy"),
        pandas=version("pandas"),
        hydra_core=version("hydra-core"),
        omegaconf=version("omegaconf"),
        mxnet_library=mxnet.libinfo.__version__,
        mxnet_wheel_sha256=wheel_sha256("mxnet", Path(sys.prefix) / "run.lock.json"),
        mxnet_libmxnet_sha256=hashes.get("mxnet/libmxnet.so"),
        mxnet_commit=mxnet.runtime.get_commit_hash(),
        mxnet_features=sorted(name for name in features if features.is_enabled(name)),
    )


def wheel_sha256(package: str, report: Path) -> str | None:
    """Return the SHA-256 of the file that pip installed a package from, or None if it is not known.

    Args:
        package: its name.
        report: what ``pip install --report`` wrote.
    """
    if not report.is_file():
        return None  # an environment that run.sh did not make
    for item in json.loads(report.read_text(encoding="utf-8"))["install"]:
        if item["metadata"]["name"] == package:
            digest = item["download_info"]["archive_info"]["hashes"]["sha256"]
            return str(digest)
    return None
