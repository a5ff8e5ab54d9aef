"""Networks from every form in which people keep them, and the zoo's weights over HTTP."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from harness.config import compose_config
from harness.errors import InputError
from harness.run.worker_setup import build_environment
from helpers.saved_network import CLASSES, NETWORK, Saved

pytestmark = pytest.mark.slow

RANDOM_SCORES = f"""
import mxnet as mx
from harness.workloads.models import custom
mx.random.seed(5)
net = custom({NETWORK!r}, None, None, {CLASSES}, True)
print(net(mx.np.ones((1, 3, 32, 32))).asnumpy().tobytes().hex())
"""


@pytest.mark.parametrize("name", ["own", "pair-0000", "legacy", "legacy_pair"])
def test_weights_in_every_format(saved: Saved, name: str) -> None:
    from harness.workloads.models import custom, zoo

    params = str(saved.folder / f"{name}.params")
    begins = Path(params).read_bytes()[:2]
    assert begins == (b"\x12\x01" if name.startswith("legacy") else b"PK")
    assert saved.gives_the_same(zoo(NETWORK, CLASSES, params, download=False))
    assert saved.gives_the_same(custom(NETWORK, None, params, CLASSES, random_weights=False))
    symbol = str(saved.folder / "pair-symbol.json")
    assert saved.gives_the_same(custom(None, symbol, params, CLASSES, random_weights=False))


def test_weights_are_used_although_random_ones_are_allowed(saved: Saved) -> None:
    from harness.workloads.models import custom

    params = str(saved.folder / "own.params")
    assert saved.gives_the_same(custom(NETWORK, None, params, CLASSES, random_weights=True))


def test_random_weights_are_the_same_in_every_process() -> None:
    import mxnet as mx

    from harness.workloads.models import custom

    def scores() -> bytes:
        net = custom(NETWORK, None, None, CLASSES, random_weights=True)
        return bytes(net(mx.np.ones((1, 3, 32, 32))).asnumpy().tobytes())

    first = scores()
    mx.random.seed(77)
    np.random.seed(77)
    mx.np.random.uniform(size=(3,))
    assert scores() == first
    other = subprocess.run(
        [sys.executable, "-c", RANDOM_SCORES],
        env=build_environment({}, compose_config([]).config, ()),
        capture_output=True,
        text=True,
        check=True,
    )
    assert bytes.fromhex(other.stdout.strip()) == first


def renamed(saved: Saved, name: str, old: str, new: str) -> Path:
    """Write the symbol with a node of another name."""
    graph = json.loads((saved.folder / "pair-symbol.json").read_text())
    for node in graph["nodes"]:
        node["name"] = new if node["name"] == old else node["name"]
    path = saved.folder / f"{name}-symbol.json"
    path.write_text(json.dumps(graph))
    return path


def test_input_of_any_name(saved: Saved) -> None:
    from harness.workloads.models import custom

    symbol = renamed(saved, "picture", "data", "picture")
    params = str(saved.folder / "pair-0000.params")
    assert saved.gives_the_same(custom(None, str(symbol), params, CLASSES, random_weights=False))


def test_weights_without_one(saved: Saved) -> None:
    from harness.workloads.models import custom

    symbol = renamed(saved, "lacks", "features.0.weight", "features.0.kernel")
    params = str(saved.folder / "pair-0000.params")
    with pytest.raises(InputError, match=r"leaves 2 inputs \(data, features\.0\.kernel\)"):
        custom(None, str(symbol), params, CLASSES, random_weights=False)
