"""One order of a fleet, on the node that measures it: bootstrap.py harness.fleet.node PARENT.

Starts in the node's own checkout, outside of Ray: the order comes as JSON on stdin, progress goes to
stderr, and the answer is one JSON object on stdout: ``arrived`` with the run's exit code and its pack,
or ``refused`` with the reason.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from harness import PROJECT
from harness.config import compose_config, project_path
from harness.errors import HarnessError, InputError
from harness.facts.override_key import key_of
from harness.facts.typed import JsonObject
from harness.files.whole_files import make_folder
from harness.fleet.order import Order, lay_out, project_digests, unlike
from harness.fleet.schedule import ARRIVED, REFUSED
from harness.packs.pack import write_pack
from harness.process.lifetime import NOT_ALONE, alone_on_host, die_with_parent
from harness.render.progress import Display, display, told_once
from harness.run.lifecycle import measure_folder, open_folder
from harness.storage.plan import RunPlan
from harness.words.overrides import set_to


def main() -> int:
    """Serve the order; returns 0 with an answer, 3 without one."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    die_with_parent(int(sys.argv[1]), signal.SIGTERM)
    _leave_the_engine_behind()
    show = display()
    try:
        answer = serve(Order.from_json(sys.stdin.read()), show)
    except (InputError, HarnessError) as error:
        answer = {"kind": REFUSED, "text": str(error)}
    except KeyboardInterrupt:
        show.note("interrupted")
        return 3
    print(json.dumps(answer))
    return 0


def serve(order: Order, show: Display) -> JsonObject:
    """Complete the run of an order, alone on this host, and pack it.

    Raises:
        InputError: this node's project or the workload's files are not the driver's, or the run was
            refused.
        HarnessError: the run could not begin.
    """
    _check_project(order)
    _check_priority()
    where = [set_to("run.id", order.run)]
    where += [set_to("run.results", order.results)] if order.results else []
    typed = {key_of(word) for word in order.overrides}
    own = {"machine_type": order.type, "machine_id": order.node}
    where += [set_to(key, value) for key, value in own.items() if value and key not in typed]
    placed = [word for word in order.overrides if key_of(word) == "run.cache"]
    cache = project_path(compose_config(placed).config.run.cache)
    make_folder(cache, "run.cache")
    with tempfile.TemporaryDirectory(dir=cache, prefix="fleet-") as aside:
        folders = [
            lay_out(content, Path(aside) / str(number))
            for number, content in enumerate(order.folders)
        ]
        folder, composed = open_folder(compose_config([*order.overrides, *where], folders), folders)
        wait_s = composed.config.run.wait_s
        with alone_on_host(wait_s, told_once(show, NOT_ALONE, wait_s), show.note):
            code = measure_folder(
                folder, composed, folders, show, lambda plan: _check_files(order, plan)
            )
        pack = folder.path.with_name(f".{folder.id}.zip")
        write_pack(folder, pack, order.models)
    return {"kind": ARRIVED, "code": code, "pack": str(pack)}


def _check_project(order: Order) -> None:
    odd = unlike(project_digests(), order.project)
    if odd:
        listed = ", ".join(odd[:5]) + (f" and {len(odd) - 5} more" if odd[5:] else "")
        raise InputError(
            f"the project in {PROJECT} on {platform.node()} is not the driver's: {listed} differ; check "
            "out the same commit there, or give fleet.project=DIR"
        )


def _check_files(order: Order, plan: RunPlan) -> None:
    for role, digest in order.files.items():
        file = plan.files.get(role)
        path, own = (file.path, file.sha256) if file else (None, None)
        if own != digest:
            raise InputError(
                f"workload.{role}={path} on {platform.node()} has SHA-256 {own}, the "
                f"driver's has {digest}: copy that one there"
            )


def _leave_the_engine_behind() -> None:
    """Undo what this process inherits from Ray's worker, except for environment variables.

    Ray 2 runs its workers at niceness 15, first in line for the kernel's out-of-memory killer, and
    with SIGINT blocked; all three are inherited.
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, 0)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("0", encoding="ascii")


def _check_priority() -> None:
    nice = os.getpriority(os.PRIO_PROCESS, 0)
    if nice > 0:
        raise InputError(
            f"processes of Ray run at niceness {nice} on {platform.node()}, which slows them down: start "
            "Ray there with RAY_worker_niceness=0"
        )


if __name__ == "__main__":
    sys.exit(main())
