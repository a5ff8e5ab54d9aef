"""Memory bound to NUMA nodes, in processes of their own: a policy stays for good."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from harness import PROJECT
from harness.host.topology import read_topology
from harness.placement.layout import read_layout
from harness.placement.memory_binding import bind_memory

NODES = sorted(read_layout(read_topology()).memory_nodes)


def printed(code: str) -> str:
    answer = subprocess.run(
        [sys.executable, "-c", f"from harness.placement.memory_binding import *\n{code}"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    return answer.stdout.strip()


@pytest.mark.skipif(not NODES, reason="this system lists no NUMA node with memory")
def test_memory_is_bound_and_children_inherit_it() -> None:
    """Where the call is refused, as in some containers, the reason is returned instead."""
    code = f"print(bound_nodes(), bind_memory({NODES}), bound_nodes(), flush=True)"
    inherited = "; import subprocess, sys; subprocess.run([sys.executable, '-c', "
    inherited += "'from harness.placement.memory_binding import *; print(bound_nodes())'])"
    first, *later = printed(code + inherited).splitlines()
    bound = str(set(NODES))
    if "set_mempolicy" in first:
        assert first == f"None set_mempolicy: {os.strerror(1)} None"
    else:
        assert [first, *later] == [f"None None {bound}", bound]


def test_a_node_that_is_not_there_is_refused() -> None:
    reason = printed("print(bind_memory({977}), bound_nodes())")
    assert reason.startswith("set_mempolicy: ") and reason.endswith(" None")


def test_no_node_is_a_reason() -> None:
    assert bind_memory(()) == "no NUMA node with memory is listed for its cores"


def test_another_architecture_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    assert bind_memory({0}) == "the system call is not known for riscv64"
