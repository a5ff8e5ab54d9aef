"""Operators' outputs from disk are INC's own, bit for bit, and never all in memory."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.storage.configuration import Transform
from helpers.command_line import OWN

# INC's search has a time limit of its own by SIGALRM, which pytest-timeout uses otherwise
pytestmark = [pytest.mark.slow, pytest.mark.timeout(method="thread")]

OPTIONS = {
    "criterion": "absolute",
    "tolerance": 1.0,
    "timeout_s": 3600,  # with a time limit a good model does not end the search
    "max_trials": 40,  # after those of the model as a whole it inspects
    "seed": 1,
    "sampling_size": 16,
    "objective": "performance",
}
INSPECTED = 2  # models: fp32 and int8


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return what a method gets: a small network, a batch of noise and a folder."""
    monkeypatch.syspath_prepend(str(OWN))
    from harness.images.batches import Batches
    from harness.images.prepared import Prepared
    from harness.methods.base import Context
    from my_network import network

    rng = np.random.default_rng(0)
    prepared = Prepared(tmp_path / "images.u8", 16, 28)
    prepared.path.write_bytes(rng.integers(0, 256, prepared.bytes, dtype=np.uint8).tobytes())
    transform = Transform(resize=64, crop=56, keep_ratio=False, mean=(0.5,) * 3, std=(0.25,) * 3)
    tuning = Batches(prepared, rng.integers(0, 10, 16), 16, transform, keep=True)
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    with contextlib.chdir(workspace):  # some strategies of INC write to the working folder
        yield Context(network(10), tuning, workspace, None, lambda *_: None)
    sys.modules.pop("my_network", None)


def test_mse_sees_the_same_tensors(context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from harness.methods import inc

    on_disk = inc.inspect_on_disk
    seen: list[list[str]] = []

    def both(adaptor: Any, folder: Path) -> None:
        everything = adaptor.inspect_tensor
        on_disk(adaptor, folder)
        mine = adaptor.inspect_tensor

        def compared(*arguments: Any, **options: Any) -> Any:
            (expected,) = everything(*arguments, **options)["activation"]
            found = mine(*arguments, **options)
            (outputs,) = found["activation"]
            assert list(outputs) == list(expected)
            assert len(outputs) == len(expected) > 5
            for operator, tensors in expected.items():
                ((name, tensor),) = outputs[operator].items()
                assert [name] == list(tensors)
                assert tensor.dtype == tensors[name].dtype
                np.testing.assert_array_equal(tensor, tensors[name])
                assert np.any(tensor)
            assert list(folder.glob("*tmp*")) == []  # the file has no name
            seen.append(list(outputs))
            return found

        adaptor.inspect_tensor = compared

    monkeypatch.setattr(inc, "inspect_on_disk", both)
    made = inc.Tuned("mse", OPTIONS).optimize(context)
    assert len(seen) == INSPECTED
    assert seen[0] == seen[1]
    assert len(made.trajectory) > 1


def test_error_in_a_visit_is_not_lost(context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """MXNet calls back during the forward pass and loses what is raised there."""
    from harness.methods import inc, inspection

    def full(*arguments: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(inspection.Outputs, "add", full)
    with pytest.raises(OSError, match="No space left"):
        inc.Tuned("mse", OPTIONS).optimize(context)


def test_outputs_are_read_one_at_a_time(tmp_path: Path) -> None:
    from harness.methods.inspection import Outputs

    rng = np.random.default_rng(1)
    tensors = {f"op{n}": rng.normal(size=(n, 3, 2)).astype(np.float32) for n in range(1, 9)}
    outputs = Outputs(tmp_path)
    for name, tensor in tensors.items():
        outputs.add(name, tensor)
    outputs.add("turned", tensors["op4"].T)
    for name in ["turned", *reversed(tensors), "op3"]:
        expected = tensors["op4"].T if name == "turned" else tensors[name]
        np.testing.assert_array_equal(outputs[name][name], expected)
    assert list(outputs) == [*tensors, "turned"]
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyError):
        outputs["nosuch"]
