"""The fleet's engine: attempts as Ray tasks, each bound to one node, that start a process there.

All that Ray does is to carry orders, lines of progress and packs, and to tell which nodes are alive.
What a node sends is bytes, a line of JSON and a pack; a node is trusted all the same, since Ray itself
unpickles what its processes exchange (SECURITY.md).
"""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import msgspec

from harness.errors import InputError, one_line
from harness.facts.typed import Count, decode, one_of
from harness.files import locks
from harness.files.reading import parse_json
from harness.fleet.order import Order, plain_type
from harness.fleet.schedule import ARRIVED, LOST, PROGRESS, REFUSED, Event, Machine
from harness.process.variables import OWN_PREFIX, TO_WORKERS

LOCAL = "local"  # Ray on this machine alone, for this fleet alone
LOOPBACK = ("127.", "localhost", LOCAL)
TYPE_LABELS = ("machine", "ray.io/node-group")
ENGINE_RESOURCES = ("CPU", "GPU", "memory", "object_store_memory", "node:", "accelerator_type:")
INHERITED = (*TO_WORKERS, "AWS_EC2_METADATA_DISABLED", "XDG_CACHE_HOME")
KNOCK_S = 10.0
SOCKET_PATH_BYTES = 107  # what the kernel takes; Ray's own part of it is up to 66


class Answer(msgspec.Struct, frozen=True):
    """What a node says, in a line of JSON."""

    kind: Annotated[str, one_of((PROGRESS, ARRIVED, REFUSED, LOST))]
    text: str = ""
    code: Count = 0


class RayCluster:
    """A Ray cluster with the interface ``harness.fleet.schedule.Cluster``."""

    def __init__(self, address: str, project: str, chosen: Sequence[str]) -> None:
        """Connect.

        Args:
            address: host:port, ``auto``, or LOCAL.
            project: the project's folder on the nodes.
            chosen: names of machines, or none for all.

        Raises:
            InputError: there is no cluster.
        """
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        if address.startswith(LOOPBACK):  # Ray would look for it at this host's outer address
            os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
        import ray  # an extra, and it reads these variables when it is imported

        self._ray: Any = ray
        self._project, self._chosen = project, chosen
        self._running: dict[Any, tuple[str, int]] = {}  # by the generator of its events
        self._aside: Path | None = None
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if address == LOCAL:
            self._aside = _short_folder()
            options |= {
                "_temp_dir": str(self._aside),
                "_node_ip_address": "127.0.0.1",
                "include_dashboard": False,
            }
        try:
            _knock(address)
            ray.init(address=address, **options)
        except (OSError, ValueError, RuntimeError) as error:
            self.close()
            raise InputError(
                f"address={address}: no Ray cluster answers there ({one_line(error)}); start one "
                "(docs/fleet.md), name its address=HOST:PORT, or try address=local"
            ) from None
        self._measure = _remote(ray)
        self._orders: dict[str, Order] = {}

    def order(self, order: Order) -> None:
        """Set the order that the attempts of its run get."""
        self._orders[order.run] = order

    def machines(self) -> list[Machine]:
        """Return the chosen nodes that are alive; without chosen names, all with a CPU."""
        machines = []
        for node in self._ray.nodes():
            names = node_names(node["Labels"], node["Resources"])
            wanted = [name for name in self._chosen if name in names]
            if node["Alive"] and (wanted or (not self._chosen and node["Resources"].get("CPU"))):
                machines.append(
                    Machine(node["NodeID"], (wanted or names)[0], node["NodeManagerAddress"])
                )
        return machines

    def names(self) -> list[str]:
        """Return the names of the nodes that are alive."""
        nodes = [node for node in self._ray.nodes() if node["Alive"]]
        return sorted({n for node in nodes for n in node_names(node["Labels"], node["Resources"])})

    def start(self, run: str, attempt: int, machine: Machine) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        order = replace(self._orders[run], type=plain_type(machine.type), node=machine.node)
        # all of its CPUs: Ray starts nothing else there meanwhile
        (node,) = (node for node in self._ray.nodes() if node["NodeID"] == machine.node)
        events = self._measure.options(
            num_cpus=node["Resources"].get("CPU", 0),
            scheduling_strategy=NodeAffinitySchedulingStrategy(machine.node, soft=False),
        ).remote(self._project, INHERITED, order.to_json())
        self._running[events] = (run, attempt)

    def stop(self, run: str, attempt: int) -> None:
        for events, job in list(self._running.items()):
            if job == (run, attempt):
                del self._running[events]
                self._ray.cancel(events, force=True)

    def events(self, timeout_s: float) -> Iterator[Event]:
        if not self._running:
            time.sleep(timeout_s)
            return
        waiting = list(self._running)
        self._ray.wait(waiting, timeout=timeout_s)
        ready, _ = self._ray.wait(waiting, num_returns=len(waiting), timeout=0)
        for events in ready:
            if events not in self._running:  # stopped by what came of an event before
                continue
            run, attempt = self._running[events]
            try:
                answer = self._ray.get(next(events))
            except StopIteration:
                del self._running[events]
                continue
            except self._ray.exceptions.RayError as error:
                del self._running[events]
                first = one_line(error).split(". ")[0]
                yield Event(run, attempt, LOST, f"{type(error).__name__}: {first}")
                continue
            yield to_event(run, attempt, answer)

    def close(self) -> None:
        """Leave the cluster, which ends this driver's tasks; remove a local one."""
        self._ray.shutdown()
        if self._aside is not None:
            shutil.rmtree(self._aside, ignore_errors=True)


def to_event(run: str, attempt: int, sent: object) -> Event:
    """Return the event in a node's bytes: a line of JSON, followed by a pack if the run arrived."""
    line, _, pack = sent.partition(b"\n") if isinstance(sent, bytes) else (b"", b"", b"")
    try:
        answer = decode(parse_json(line), Answer)
    except (ValueError, RecursionError):
        return Event(run, attempt, LOST, "it answered what no node of this project answers")
    return Event(run, attempt, answer.kind, answer.text, answer.code, pack)


def node_names(labels: dict[str, str], resources: dict[str, float]) -> list[str]:
    """Return the names of a node, its type first: labels, then its own resources."""
    own = [name for name in sorted(resources) if not name.startswith(ENGINE_RESOURCES)]
    first = [labels[key] for key in TYPE_LABELS if key in labels]
    others = [value for key, value in sorted(labels.items()) if key != "ray.io/node-id"]
    return list(dict.fromkeys([*first, *own, *others])) or ["machine"]


def _knock(address: str) -> None:
    """Raise OSError where nothing listens at host:port: Ray itself would try for minutes."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=KNOCK_S).close()


def _short_folder() -> Path:
    """Make a folder for Ray's sockets, whose whole paths the kernel limits to 107 bytes."""
    folder = Path(tempfile.mkdtemp(prefix="inc-bench-"))
    if len(os.fsencode(folder)) > SOCKET_PATH_BYTES - 66:
        folder.rmdir()
        folder = Path(tempfile.mkdtemp(prefix="inc-bench-", dir="/tmp"))
    return folder


def _remote(ray: Any) -> Any:
    """Return the task. A function inside a function travels whole: nodes need not import harness."""

    own_prefix, lock_open_file = OWN_PREFIX, locks.lock_open_file
    ray.cloudpickle.register_pickle_by_value(locks)  # it travels with the task

    def measure(
        project: str, inherited: Sequence[str], order: str
    ) -> Iterator[bytes]:  # pragma: no cover - runs in a process of Ray's
        import ctypes
        import json
        import signal
        import subprocess

        def sent(pack: bytes = b"", **said: Any) -> bytes:
            return json.dumps(said).encode() + b"\n" + pack

        # A worker of Ray goes on when its raylet is killed; nobody would hear of what it measured.
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)
        project = os.path.expanduser(project)
        environment = {
            name: value
            for name, value in os.environ.items()
            if name in inherited or name.startswith(own_prefix)
        }
        # as run.sh does: in the environment that .venv leads to now, which stays while it is held
        packages = os.path.realpath(os.path.join(project, ".venv"))
        held = []
        try:
            held.append(os.open(os.path.join(packages, "lock"), os.O_RDONLY))
            lock_open_file(held[0], shared=True, wait=True)
        except OSError:
            pass  # made by an earlier version, or on a file system without locks
        native = os.path.join(packages, "lib", "native")
        if os.path.isdir(native):
            known = environment.get("LD_LIBRARY_PATH")
            environment["LD_LIBRARY_PATH"] = f"{native}:{known}" if known else native
        python = os.path.join(packages, "bin", "python")
        environment["PYTHONSAFEPATH"] = "1"
        bootstrap = os.path.join(project, "harness", "process", "bootstrap.py")
        try:
            os.stat(bootstrap)
            process: Any = subprocess.Popen(
                [python, bootstrap, "harness.fleet.node", str(os.getpid())],
                cwd=project,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                pass_fds=held,
                start_new_session=True,  # Ray ends whole groups; this one is asked, and keeps its work
            )
        except OSError as error:
            yield sent(
                kind="refused",
                text=f"{project} is no project that was set up ({error}): check the same commit out "
                "there and start ./run.sh fleet once, or give fleet.project=DIR",
            )
            return
        process.stdin.write(order)
        process.stdin.close()
        last = ""
        for line in process.stderr:
            last = line.rstrip()
            yield sent(kind="progress", text=last)
        text, code = process.stdout.read(), process.wait()
        if not text:
            yield sent(kind="lost", text=f"the measurement ended with code {code}: {last}")
            return
        answer = json.loads(text)
        path = answer.pop("pack", None)
        pack = b""
        if path is not None:
            with open(path, "rb") as handle:
                pack = handle.read()
            os.unlink(path)
        yield sent(pack, **answer)

    return ray.remote(max_retries=0, num_returns="streaming")(measure)
