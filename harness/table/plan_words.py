"""What texts say of a plan's machine and code; also where the plan does not know it."""

from __future__ import annotations

from harness.facts.machine_facts import Instance, Machine, Versions
from harness.storage.plan import RunPlan

UNKNOWN = "unknown"


def cpu_text(machine: Machine) -> str:
    """Return the CPU by its name."""
    return machine.cpu_model or "an unknown CPU"


def machine_text(machine: Machine) -> str:
    """Return the CPU and the number of cores."""
    cores = "an unknown number of" if machine.cores is None else machine.cores
    return f"{cpu_text(machine)}, {cores} cores"


def system_text(machine: Machine) -> str:
    """Return the operating system and its kernel."""
    return f"{machine.os or 'an unknown system'}, kernel {machine.kernel or UNKNOWN}"


def region_text(instance: Instance) -> str:
    """Return the region of EC2."""
    return instance.region or "an unknown region"


def mxnet_text(versions: Versions) -> str:
    """Return MXNet's version and the commit that it was built from."""
    return f"{versions.mxnet} (commit {versions.mxnet_commit or UNKNOWN})"


def checkout_text(plan: RunPlan) -> str:
    """Return the commit of the code that measured a run, and whether it had changes."""
    if plan.checkout is None:
        return "the commit was not recorded"
    how = "as committed" if plan.checkout.clean else "with uncommitted changes"
    return f"commit {plan.checkout.commit} {how}"
