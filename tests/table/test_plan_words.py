"""What a plan does not know is said in words, never as None, wherever people read it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from harness.facts.typed import changed
from harness.report.artifact.references import to_bibtex
from harness.report.evidence import RunDigests
from harness.report.methods_text import methods_text
from harness.storage.plan import Checkout, RunPlan
from harness.table.markdown import environment
from harness.table.plan_words import (
    checkout_text,
    cpu_text,
    machine_text,
    mxnet_text,
    system_text,
)
from helpers.sample_records import plan

DIGESTS = RunDigests("1" * 64, "2" * 64, "3" * 64)


def unknown() -> RunPlan:
    """Return a plan that knows nothing that it need not know."""
    made = plan()
    nothing = {"cpu_model": None, "cores": None, "os": None, "kernel": None}
    machine = changed(made.machine, **nothing, ec2={"instance_type": "c7i.large"})
    return replace(made, machine=machine, versions=changed(made.versions, mxnet_commit=None))


def test_what_is_known() -> None:
    made = plan()
    assert machine_text(made.machine) == "a CPU, 2 cores"
    assert system_text(made.machine) == "an OS, kernel 6"
    assert mxnet_text(made.versions) == "2 (commit c)"
    clean, changes = (Checkout(commit="a" * 40, clean=clean) for clean in (True, False))
    assert checkout_text(replace(made, checkout=clean)) == f"commit {'a' * 40} as committed"
    said = f"commit {'a' * 40} with uncommitted changes"
    assert checkout_text(replace(made, checkout=changes)) == said


def test_what_is_not_known() -> None:
    made = unknown()
    assert cpu_text(made.machine) == "an unknown CPU"
    assert machine_text(made.machine) == "an unknown CPU, an unknown number of cores"
    assert system_text(made.machine) == "an unknown system, kernel unknown"
    assert mxnet_text(made.versions) == "2 (commit unknown)"
    assert checkout_text(made) == "the commit was not recorded"
    assert "an EC2 instance c7i.large (an unknown region) with" in methods_text(made, [], [])


@pytest.mark.parametrize(
    "text",
    [
        lambda made: methods_text(made, [], []),
        lambda made: to_bibtex(made, DIGESTS),
        environment,
    ],
    ids=["paragraph", "references", "environment"],
)
def test_no_text_says_none(text: Callable[[RunPlan], str]) -> None:
    said = text(unknown())
    assert "an unknown CPU" in said and "commit unknown" in said
    assert "None" not in said
