"""What the benchmark of nights puts into a row's module makes the row slower, or less accurate."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import mxnet as mx
import numpy as np
import pytest

from benchmarks.nights.scenario import NATIVE, Code, steps
from harness import PROJECT
from harness.methods.additions import repaired
from harness.methods.base import Context
from harness.workloads.saved import load_exported, save
from helpers.command_line import OWN

assert OWN  # it is on the path now
from my_network import network  # noqa: E402

pytestmark = pytest.mark.slow
MODES = ("full", "smart")


def scores(
    code: Code, mode: str, is_repaired: bool, tuning: Any, folder: Path, monkeypatch: Any
) -> tuple[np.ndarray, Mapping[str, Any]]:
    """Return what the saved quantised network gives for the first batch, and its weights by name."""
    source = code.patched((PROJECT / NATIVE).read_text())
    module = ModuleType(f"native_{len(source)}")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # its dataclass looks there
    exec(compile(source, NATIVE, "exec"), module.__dict__)
    data = next(iter(tuning))[0]
    mx.random.seed(0)
    net = network(10)
    if is_repaired:  # what a row of a run gets
        net = repaired(net, data.shape)
    context = Context(net, tuning, folder, None, lambda *_: None)
    made = module.Quantized(mode, "naive", "tensor-wise").optimize(context).net
    saved = save(made, data, folder / f"model{len(list(folder.iterdir()))}", lambda: network(10))
    return load_exported(*saved)(data).asnumpy(), made.collect_params()


@pytest.mark.parametrize("is_repaired", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_the_row_of_one_mode_is_made_worse(
    mode: str, is_repaired: bool, tuning: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = next(one for one in MODES if one != mode)
    asked = (mode, is_repaired, tuning, tmp_path, monkeypatch)
    as_it_is, weights = scores(Code(units={other: 8}, bias={other: 9.0}), *asked)
    biased, _ = scores(Code(bias={mode: 9.0}), *asked)
    assert biased[:, 0].mean() > as_it_is[:, 0].mean() + 5
    np.testing.assert_allclose(biased[:, 1:], as_it_is[:, 1:], atol=1.0)
    slower, more = scores(Code(units={mode: 8}), *asked)
    assert len(more) > len(weights)
    assert np.array_equal(slower.argmax(axis=1), as_it_is.argmax(axis=1))


def test_every_state_of_the_code_can_be_put_into_the_module() -> None:
    source = (PROJECT / NATIVE).read_text()
    for step in steps({"full": 1, "smart": 2}, 3.0).values():
        if step.code is not None:
            compile(step.code.patched(source), NATIVE, "exec")
