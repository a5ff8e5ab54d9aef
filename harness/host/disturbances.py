"""Disturbances of a stretch: conditions beyond their limits, with advice for each."""

from __future__ import annotations

from dataclasses import dataclass

from harness.facts.machine_facts import Disturbance
from harness.host.conditions import Conditions
from harness.host.gaps import LEAST_S
from harness.host.snapshot import TICKS_PER_S

ADVICE = {
    "steal_share": "the hypervisor gave CPU time to other guests: use a machine of your own, or "
    "measure again when its host is quieter",
    "core_load": "something else used the measured cores: close what else runs (top shows it), or "
    "keep it off them with taskset or a cpuset",
    "waited_share": "a measured thread had to share its CPU: close what else runs, or give each "
    "thread a CPU of its own with threads.count and threads.places",
    "pushed_off_per_s": "the measured threads were pushed off their CPUs: close what else "
    "runs, or keep it off them with taskset or a cpuset",
    "major_faults": "the process waited for the disk: measure again now that the files are cached, "
    "and free memory if the machine swaps",
    "frequency_drop": "the CPUs became slower: set the frequency governor to performance, turn turbo "
    "off, and let the machine warm up before measuring",
    "thermal_throttles": "heat slowed the CPUs down: cool the machine better, or turn turbo off",
    "frozen_s": "the process stood still and did not wait for a CPU: it was stopped (Ctrl-Z, SIGSTOP, a "
    "debugger), its container was paused, or the machine was suspended; measure again without that",
    "quota_throttles": "a control group's CPU quota stopped the process: raise it (docker --cpus, "
    "Kubernetes limits), or use fewer threads with threads.count",
}


@dataclass(frozen=True)
class Limits:
    """The largest values of an undisturbed stretch, by the attributes of Conditions.

    They come from 0.3 to 0.7 s of convolutions, in batches of 20 to 40 ms, on a virtual machine with
    2 CPUs; nearly alone, with a little other work, and with a rival that never sleeps on one CPU or
    on each:

    ================  ============  ============
    ..                nearly alone  with a rival
    ================  ============  ============
    core_load         0.00 .. 0.10  0.78 .. 1.00
    waited_share      0.00 .. 0.07  0.43 .. 0.70
    pushed_off_per_s  8 .. 173      49 .. 152
    steal_share       0.00 .. 0.01  0.00 .. 0.01
    ================  ============  ============

    So being pushed off often is no proof of a rival: its limit only finds storms of switches. The
    other conditions did not occur there: a slow disk, heat, a quota, a change of frequency.

    frozen_s was 0.00 in 472 batches of 0.2 to 18 s beside a load of 8: up to 0.02 s of a batch were
    spent neither running nor waiting for a CPU, and less than ``gaps.LEAST_S`` is no gap.
    """

    steal_share: float = 0.02
    core_load: float = 0.1
    waited_share: float = 0.05
    pushed_off_per_s: float = 250
    major_faults: float = 10
    frequency_drop: float = 0.1
    thermal_throttles: float = 0
    quota_throttles: float = 0
    frozen_s: float = LEAST_S


LIMITS = Limits()


def find_disturbances(conditions: Conditions, limits: Limits = LIMITS) -> list[Disturbance]:
    """Return the conditions of a stretch that are beyond their limits."""
    disturbances = []
    for kind, limit in vars(limits).items():
        value = getattr(conditions, kind)
        if kind in ("steal_share", "core_load"):
            # counted in ticks: one tick a CPU may be an error of counting
            limit += 1 / (TICKS_PER_S * conditions.seconds)
        if value is not None and value > limit:
            disturbances.append(
                Disturbance(kind=kind, value=value, limit=limit, advice=ADVICE[kind])
            )
    return disturbances
