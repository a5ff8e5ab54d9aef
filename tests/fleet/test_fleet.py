"""A fleet: no run is lost or measured twice, on whatever machines are lost, and really on Ray."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import PROJECT
from harness.commands.fleet import VERB
from harness.errors import InputError
from harness.fleet.chosen_machines import chosen_machines
from harness.fleet.fleet_report import to_markdown
from harness.fleet.fleet_run import run_fleet
from harness.fleet.order import Order, folder_files, lay_out, project_digests, unlike
from harness.fleet.ray_cluster import RayCluster, node_names
from harness.fleet.schedule import (
    ARRIVED,
    LOST,
    MOST_ATTEMPTS,
    OPEN,
    PROGRESS,
    REFUSED,
    RUNNING,
    Attempt,
    Event,
    Job,
    Machine,
    Schedule,
)
from harness.fleet.state import Fleet, locked
from harness.fleet.state import load as load_fleet
from harness.process.own_modules import python_command
from harness.run.context import Context
from harness.targets import KNOWN
from helpers.command_line import OWN, PATIENCE_S, TINY, CommandLine, Ended, load, until
from helpers.engine_python import require_rows


@dataclass
class Fake:
    """A cluster that does in every tick what it is told to.

    Each tick: one machine may vanish (silently or with an event), one attempt may end.
    """

    alive: list[Machine]
    ticks: Iterator[tuple[str, int]]
    running: dict[tuple[str, int], Machine] = field(default_factory=dict)
    zombies: dict[tuple[str, int], Machine] = field(default_factory=dict)
    started: list[tuple[str, int, Machine]] = field(default_factory=list)
    time: float = 0.0
    joined: int = 0

    def machines(self) -> list[Machine]:
        return list(self.alive)

    def start(self, run: str, attempt: int, machine: Machine) -> None:
        assert machine not in self.running.values(), "two measurements on one machine"
        assert machine in self.alive
        self.running[run, attempt] = machine
        self.started.append((run, attempt, machine))

    def stop(self, run: str, attempt: int) -> None:
        self.running.pop((run, attempt), None)

    def events(self, timeout_s: float) -> Sequence[Event]:
        self.time += timeout_s
        what, number = next(self.ticks, ("end", 0))
        if what in ("vanish", "die", "hang") and self.alive:
            machine = self.alive.pop(number % len(self.alive))
            hit = [key for key, on in self.running.items() if on == machine]
            for key in hit:
                del self.running[key]
                if what == "hang":  # it goes on, and its result may come late
                    self.zombies[key] = machine
            if what == "die":
                return [Event(*key, LOST, "died") for key in hit]
        elif what == "join":
            self.joined += 1  # Ray gives no two nodes one name
            self.alive.append(Machine(f"new{self.joined}", "ab"[number % 2], "new"))
        elif what in ("late", "late and damaged") and self.zombies:
            key = sorted(self.zombies)[number % len(self.zombies)]
            del self.zombies[key]
            return [Event(*key, ARRIVED, pack=key[0].encode() if what == "late" else b"")]
        elif what in ("end", "crash", "refuse") and self.running:
            key = sorted(self.running)[number % len(self.running)]
            del self.running[key]
            kind = {"end": ARRIVED, "crash": LOST, "refuse": REFUSED}[what]
            return [Event(*key, PROGRESS, "a line"), Event(*key, kind, what, pack=key[0].encode())]
        return []


TICKS = (
    "end", "end", "vanish", "die", "hang", "late", "late and damaged", "join", "crash", "refuse",
    "nothing",
)  # fmt: skip


@settings(max_examples=400)
@given(
    types=st.lists(st.sampled_from("ab"), min_size=1, max_size=5),
    ticks=st.lists(st.tuples(st.sampled_from(TICKS), st.integers(0, 5)), max_size=40),
)
def test_every_run_arrives_once_or_is_reported(
    types: list[str], ticks: list[tuple[str, int]]
) -> None:
    machines = [Machine(f"n{i}", each, f"10.0.0.{i}") for i, each in enumerate(types)]
    jobs = [Job(f"run-{i}", each.type, each.node) for i, each in enumerate(machines)]
    fake, kept, notes, saved = Fake(machines, iter(ticks)), [], [], []

    def keep(job: Job, pack: bytes) -> None:
        if not pack:
            raise InputError("the pack is damaged")
        assert pack.decode() == job.run
        kept.append(job.run)

    plan = Schedule(
        jobs, fake, keep, lambda: saved.append(json.dumps([asdict(job) for job in jobs])),
        notes.append, wait_s=5, clock=lambda: fake.time,
    )  # fmt: skip
    plan.drive()
    assert len(kept) == len(set(kept)), "measured twice"
    for job in jobs:
        assert job.state not in OPEN
        assert (job.state == ARRIVED) == (job.run in kept)
        assert job.state == ARRIVED or job.reason, "lost without a word"
        assert not any(each.state == RUNNING for each in job.attempts)
        tries = [entry for entry in fake.started if entry[0] == job.run]
        assert len(tries) == len(job.attempts) <= MOST_ATTEMPTS
        assert {machine.type for _, _, machine in tries} <= {job.type}, "on another type"
        assert len({machine.node for _, _, machine in tries}) == len(tries), "not elsewhere"
        if job.state == LOST:
            why = ("no machine", "not taken in")
            assert len(job.attempts) == MOST_ATTEMPTS or any(each in job.reason for each in why)
        if len(job.attempts) > 1:
            assert any(f"run {job.run} is tried again" in note for note in notes)
    if not {what for what, _ in ticks} & {"vanish", "die", "hang", "crash", "refuse"}:
        assert kept and len(kept) == len(jobs) and len(fake.started) == len(jobs)
    assert json.loads(saved[-1]) == [asdict(job) for job in jobs]
    for job in jobs:
        assert job.run in to_markdown("f", jobs)


def test_a_late_pack_that_is_damaged_ends_nothing_that_goes_on() -> None:
    machines = [Machine(f"n{i}", "a", f"10.0.0.{i}") for i in range(3)]
    jobs = [Job("run-0", "a", "n0"), Job("run-1", "a", "n1")]
    ticks = [("hang", 0), ("nothing", 0), ("late and damaged", 0), ("end", 0), ("end", 0)]
    fake, kept = Fake(machines, iter(ticks)), []

    def keep(job: Job, pack: bytes) -> None:
        if not pack:
            raise InputError("the pack is damaged")
        kept.append(job.run)

    Schedule(jobs, fake, keep, lambda: None, lambda note: None, 5, lambda: fake.time).drive()
    assert sorted(kept) == ["run-0", "run-1"]
    assert [job.state for job in jobs] == [ARRIVED] * 2


def test_all_code_that_a_row_may_name_is_compared() -> None:
    compared = project_digests()
    for name in KNOWN:
        parts = name.split(".")
        files = ("/".join(parts[:end]) + ".py" for end in range(len(parts), 0, -1))
        assert any(file in compared for file in files), name


def test_a_number_of_each_type() -> None:
    chosen = chosen_machines("{c7i.4xlarge: 3, m7i:1}", "2")
    assert dict(chosen.counts) == {"c7i.4xlarge": 3, "m7i": 1}
    assert (chosen.number("c7i.4xlarge"), chosen.number("m7i")) == (3, 1)
    of_each = chosen_machines("[a,b]", "2")
    assert (of_each.number("a"), of_each.number("b"), list(of_each.counts)) == (2, 2, ["a", "b"])
    assert chosen_machines("all", "").number("a") is None
    assert chosen_machines("all", "3").counts == {}


def test_a_lost_run_goes_to_a_machine_that_stands_by() -> None:
    """Not to one that measured another run: machines of a type are told apart by that."""
    machines = [Machine(f"n{i}", "a", f"10.0.0.{i}") for i in range(4)]
    jobs = [Job("run-0", "a", "n0"), Job("run-1", "a", "n1"), Job("run-2", "a", "n2")]
    fake = driven(machines, jobs, [("end", 0), ("crash", 1)])
    assert [job.state for job in jobs] == [ARRIVED] * 3
    by_run = {run: machine.node for run, _, machine in fake.started}
    assert by_run == {"run-0": "n0", "run-1": "n1", "run-2": "n3"}


def driven(machines: list[Machine], jobs: list[Job], ticks: list[tuple[str, int]]) -> Fake:
    fake = Fake(machines, iter(ticks))
    Schedule(
        jobs, fake, lambda job, pack: None, lambda: None, lambda note: None, 5, lambda: fake.time
    ).drive()
    return fake


def test_an_interrupted_driver_goes_on_with_what_had_not_arrived() -> None:
    machines = [Machine(f"n{i}", "a", f"10.0.0.{i}") for i in range(3)]
    jobs = [Job(f"run-{i}", "a", f"n{i}") for i in range(3)]
    fake, saved = Fake(list(machines), iter([("end", 0)])), []

    def stop(note: str) -> None:
        if "arrived" in note:
            raise KeyboardInterrupt

    first = Schedule(
        jobs, fake, lambda job, pack: None,
        lambda: saved.append(json.dumps([asdict(job) for job in jobs])), stop, 5, lambda: fake.time,
    )  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        first.drive()
    again = [Job.from_dict(each) for each in json.loads(saved[-1])]
    assert [job.state for job in again] == [ARRIVED, "waiting", "waiting"]
    later = driven(machines, again, [])
    assert [(run, machine.node) for run, _, machine in later.started] == [
        ("run-1", "n1"), ("run-2", "n2"),
    ]  # fmt: skip
    assert all(job.state == ARRIVED for job in again)
    assert again[1].attempts[0].reason == "the driver ended"


def test_a_run_goes_on_where_it_was_last_tried() -> None:
    stored = Job("run", "a", "n0", RUNNING, attempts=[Attempt("n0", "x", LOST), Attempt("n2", "y")])
    job = Job.from_dict(json.loads(json.dumps(asdict(stored))))
    fake = driven([Machine(f"n{i}", "a", f"10.0.0.{i}") for i in range(4)], [job], [])
    assert [machine.node for _, _, machine in fake.started] == ["n2"]


def test_a_run_that_loses_its_machines_is_given_up() -> None:
    jobs = [Job("run", "a", "n0")]
    fake = driven(
        [Machine(f"n{i}", "a", f"10.0.0.{i}") for i in range(6)], jobs, [("crash", 0)] * 6
    )
    assert (jobs[0].state, len(fake.started)) == (LOST, MOST_ATTEMPTS)
    assert jobs[0].reason == "lost on 3 machines; the last one: crash"


def test_what_cannot_be_kept_is_not_measured_again() -> None:
    machines, jobs = [Machine("n", "a", "x"), Machine("m", "a", "y")], [Job("run", "a", "n")]
    fake = Fake(machines, iter([]))

    def keep(job: Job, pack: bytes) -> None:
        raise InputError("no space")

    Schedule(
        jobs, fake, keep, lambda: None, lambda note: None, 5, lambda: fake.time
    ).drive()  # fmt: skip
    assert (jobs[0].state, len(fake.started)) == (LOST, 1)
    assert jobs[0].reason == "measured, but not taken in: no space"


def test_a_lost_run_waits_for_a_machine_of_its_type() -> None:
    jobs = [Job("run", "a", "n")]
    joined = driven([Machine("n", "a", "x")], jobs, [("die", 0), ("nothing", 0), ("join", 0)])
    assert (jobs[0].state, joined.started[1][2].address) == (ARRIVED, "new")
    jobs = [Job("run", "a", "n")]
    driven([Machine("n", "a", "x"), Machine("m", "b", "y")], jobs, [("die", 0)])
    assert jobs[0].state == LOST and "no machine a within 5 s; the last one: died" in jobs[0].reason
    assert "no machine a" in to_markdown("f", jobs) or "died" in to_markdown("f", jobs)


def test_names_of_a_node() -> None:
    engine = {"CPU": 2.0, "memory": 1.0, "object_store_memory": 1.0, "node:10.0.0.1": 1.0}
    assert node_names({"ray.io/node-id": "ff"}, engine) == ["machine"]
    assert node_names(
        {"ray.io/node-group": "c6i.4xlarge", "ray.io/market-type": "spot"}, engine
    ) == [
        "c6i.4xlarge",
        "spot",
    ]
    assert node_names({"machine": "c7i"}, {**engine, "big": 1.0}) == ["c7i", "big"]


def order(**fields: Any) -> Order:
    made = Order("run", (), (), project_digests(), {}, None, False)
    return Order(**{**asdict(made), **fields})


def test_an_order_travels_with_its_folders(tmp_path: Path) -> None:
    content = folder_files(OWN)
    sent = Order.from_json(order(folders=(content,), overrides=("a=b",)).to_json())
    assert sent.overrides == ("a=b",)
    laid = lay_out(sent.folders[0], tmp_path / "0")
    assert folder_files(laid) == content
    assert (laid / "my_method.py").read_bytes() == (OWN / "my_method.py").read_bytes()
    assert not list(laid.rglob("*.pyc"))


def test_projects_are_told_apart(tmp_path: Path) -> None:
    ours = project_digests()
    assert {"harness/cli.py", "conf/config.yaml", "requirements/run.lock"} < set(ours)
    assert "requirements/engines/onnxruntime.lock" in ours
    shutil.copytree(PROJECT / "conf", tmp_path / "conf")
    (tmp_path / "conf" / "config.yaml").write_text("changed")
    theirs = {path: sha for path, sha in ours.items() if not path.startswith("conf/")}
    theirs |= project_digests(tmp_path)
    assert unlike(ours, theirs) == ["conf/config.yaml"]
    assert unlike(ours, {**ours, "harness/more.py": "0"}) == ["harness/more.py"]


def serve(sent: Order) -> dict[str, Any]:
    """Return a node's answer, from a process of its own as on a node."""
    ended = subprocess.run(
        python_command("harness.fleet.node", str(os.getpid())),
        input=sent.to_json(), capture_output=True, text=True, cwd=PROJECT,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.mark.slow
def test_a_node_refuses_what_is_not_the_drivers(tmp_path: Path) -> None:
    other = {**project_digests(), "harness/cli.py": "0" * 64}
    told = serve(order(project=other))
    assert told["kind"] == REFUSED and "harness/cli.py differ" in told["text"]
    words = ("method=[mine]", *TINY[:-2])
    where = {"results": str(tmp_path / "results"), "folders": (folder_files(OWN),)}
    told = serve(order(overrides=words, files={"rec": "0" * 64}, **where))
    assert told["kind"] == REFUSED and "the driver's has 000" in told["text"]
    told = serve(order(overrides=("workload=nothing",), **where))
    assert told["kind"] == REFUSED and "there is no such workload" in told["text"]
    assert not list((tmp_path / "results").glob("*/*/plan.json"))


@dataclass
class Raylets:
    """A Ray cluster of several raylets on this machine, all on loopback."""

    address: str
    temporary: Path

    def processes(self) -> list[psutil.Process]:
        return [
            each for each in psutil.process_iter()
            if str(self.temporary) in " ".join(_quietly(each.cmdline))
        ]  # fmt: skip


def _quietly(asked: Any) -> Any:
    try:
        return asked()
    except psutil.Error:
        return []


START = """
import sys
from ray.cluster_utils import Cluster
head = {"num_cpus": 0, "include_dashboard": False, "node_ip_address": "127.0.0.1"}
cluster = Cluster(initialize_head=True, head_node_args=head)
for name in ("a", "a", "a", "b"):
    cluster.add_node(num_cpus=1, labels={"machine": name})
print(cluster.address, flush=True)
sys.stdin.read()
cluster.shutdown()
"""


@pytest.fixture
def raylets() -> Iterator[Raylets]:
    """Start a head and four nodes, three of type a and one of type b."""
    temporary = Path(tempfile.mkdtemp(prefix="ib-"))  # short: it holds sockets
    (temporary / "ray").mkdir()
    environment = {
        **os.environ,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_TMPDIR": str(temporary),
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    }
    process = subprocess.Popen(
        [sys.executable, "-c", START], env=environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdin and process.stdout
    made = Raylets(process.stdout.readline().strip(), temporary)
    yield made
    process.stdin.close()
    process.wait(PATIENCE_S)
    for left in made.processes():
        left.kill()
    shutil.rmtree(temporary)


def measuring_raylet() -> psutil.Process | None:
    """Return the raylet whose node measures now: the one below which a worker runs."""
    for node in psutil.process_iter():
        if "harness.fleet.node" in _quietly(node.cmdline):
            children = _quietly(node.children)
            if any("harness.process.worker" in _quietly(each.cmdline) for each in children):
                return node.parent().parent()
    return None


@pytest.mark.slow
def test_a_node_is_killed_and_the_comparison_is_complete(
    raylets: Raylets, cli: CommandLine, tmp_path: Path, session_run: Any
) -> None:
    nodes = tmp_path / "nodes"
    words = ("method=[telling]", *TINY)
    wanted = "machines={a: 2, b: 1}"  # the third machine of type a stands by
    fleet = cli.start(
        "fleet",
        f"address={raylets.address}",
        f"fleet.results={nodes}",
        "fleet.id=three",
        wanted,
        *words,
    )
    fleet.says("a at 127.0.0.1 | telling: optimising")
    raylet = until(measuring_raylet, "a node that measures")
    assert raylet.name() == "raylet"
    listening = {
        each.laddr.ip.removeprefix("::ffff:")
        for process in raylets.processes()
        for each in process.net_connections()
        if each.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}
    raylet.kill()
    ended = fleet.end()
    assert ended.code == 0, ended.err
    assert "is tried again on another machine of that type" in ended.err
    state = load(cli.results / "fleet" / "three" / "fleet.json")
    lost = [job for job in state["jobs"] if len(job["attempts"]) > 1]
    assert len(lost) == 1 and lost[0]["type"] == "a"
    assert "NodeDied" in lost[0]["attempts"][0]["reason"]
    assert "3 of 3 runs arrived" in ended.out and "NodeDied" in ended.out
    # one measurement at a time on this host: no two runs' lines mix
    began = [line for line in ended.err.splitlines() if "telling: optimising" in line]
    assert len(began) == 4 and "waiting for it" in ended.err
    runs = sorted(path.parent.name for path in cli.results.glob("*/*/plan.json"))
    assert runs == [f"three-0{number}-{kind}" for number, kind in ((1, "a"), (2, "a"), (3, "b"))]
    # what a worker got is what it gets without Ray
    plain: Ended = session_run(*words)
    expected = plain.records["telling"].optimize.stored
    for path in cli.results.glob("*/*/records/*.json"):
        told = load(path)["optimize"]
        assert told["quantization"] == expected["quantization"]
        assert told["openmp"] == expected["openmp"]
        assert (
            load(path.parent.parent / "plan.json")["threads"]
            == load(plain.folder.path / "plan.json")["threads"]
        )
    # two machines of type a are one column: the run of the lost one was measured by the third, once
    plans = [load(path) for path in sorted(cli.results.glob("*/*/plan.json"))]
    machines = {plan["run"]: plan["config"]["machine_id"] for plan in plans}
    assert [plan["config"]["machine_type"] for plan in plans] == ["a", "a", "b"]
    assert len(set(machines.values())) == 3
    arrived = [job["attempts"][-1]["node"] for job in state["jobs"]]
    assert len(set(arrived)) == 3 and lost[0]["attempts"][0]["node"] not in arrived
    assert "on a (2 machines), b (one machine)" in ended.out
    (table,) = (cli.results / "comparisons").glob("*/machines.csv")
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert [(row["column"], row["machine"]) for row in rows] == [("a", "1"), ("a", "2"), ("b", "1")]
    # the comparison has all three, and whoever drives it again starts nothing, not even Ray
    assert (cli.results / "comparisons").is_dir()
    assert [row["run"].rpartition("/")[2] for row in rows] == runs
    again = cli("fleet", "address=127.0.0.1:1", "fleet.id=three", *TINY[-2:])
    assert (again.code, again.out) == (0, ended.out)
    other = cli("fleet", "fleet.id=three", "threads.count=2", *TINY[-2:])
    assert other.code == 2 and "threads.count=2: fleet three began with" in other.err


@pytest.mark.slow
def test_a_fleet_measures_the_row_of_an_engine(
    raylets: Raylets, cli: CommandLine, tmp_path: Path
) -> None:
    require_rows("onnxruntime")
    rows = ("fp32", "onnxruntime_fp32")
    ended = cli("fleet", f"address={raylets.address}", f"fleet.results={tmp_path / 'nodes'}",
                "fleet.id=one", "machines=[b]", f"method=[{','.join(rows)}]", *TINY)  # fmt: skip
    assert ended.code == 0, ended.err
    assert "1 of 1 runs arrived" in ended.out
    records = [load(path) for path in sorted(cli.results.glob("*/*/records/*.json"))]
    assert [(one["method"], one["outcome"]["kind"]) for one in records] == [
        (name, "ok") for name in rows
    ]
    assert records[1]["optimize"]["packages"]["onnxruntime"]


def test_the_example_for_ec2_is_what_ray_takes() -> None:
    from ray.autoscaler._private.util import fillout_defaults, prepare_config, validate_config

    text = yaml.safe_load((PROJECT / "docs" / "ec2-cluster.yaml").read_text())
    validate_config(prepare_config(text))
    validate_config(fillout_defaults(text))
    measured = {name: kind for name, kind in text["available_node_types"].items() if name != "head"}
    assert sorted(measured) == ["c6i.4xlarge", "c7i.4xlarge", "m7i.4xlarge"]
    assert text["max_workers"] == sum(kind["max_workers"] for kind in measured.values())
    for name, kind in measured.items():
        assert kind["node_config"]["InstanceType"] == name
        engine = {name: float(value) for name, value in kind["resources"].items()}
        assert node_names({**kind["labels"], "ray.io/node-group": name}, engine) == [name]
    for each in (*text["head_start_ray_commands"], *text["worker_start_ray_commands"]):
        if " start " in each:
            assert "RAY_USAGE_STATS_ENABLED=0" in each
    with pytest.raises(Exception, match="wrong"):
        validate_config(prepare_config({**text, "wrong": 1}))


class Silent:
    """A display that shows nothing."""

    def note(self, text: str) -> None: ...


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("address", "127.0.0.1:1", "no Ray cluster answers there"),
        ("fleet.wait_s", "soon", "fleet.wait_s=soon"),
        ("fleet.id", "a/b", "fleet.id=a/b"),
        ("machines", "[]", r"machines=\[\]"),
        ("machines", "{a: none}", "a: none is none of all"),
        ("machines", "{a: 0}", "a: 0 is none of all"),
        ("machines", "[a: 3]", "a: 3 is none of all"),
        ("fleet.each", "0", "fleet.each=0: use a whole number from 1 on"),
        ("", "workload=nothing", "there is no such workload"),
        ("", "fleet.more=1", r"fleet\.more"),
    ],
)
def test_fleets_that_cannot_be(tmp_path: Path, key: str, value: str, says: str) -> None:
    typed = {"address": "127.0.0.1:1", **({key: value} if key else {})}
    defaults = {argument.name: argument.default for argument in VERB.arguments}
    words = [f"run.results={tmp_path}", *([] if key else [value])]
    with pytest.raises(InputError, match=says):
        run_fleet(typed, defaults, Context.of(words, [], Silent()))  # type: ignore[arg-type]
    assert not list(tmp_path.glob("fleet/*"))


def test_what_is_continued_must_be_the_same(tmp_path: Path) -> None:
    fleet = Fleet("f", "now", ["a=1", "b=2"], {"machines": "all"}, "p", "c", [Job("r", "a", "n")])
    fleet.save(tmp_path)
    stored = load_fleet(tmp_path)
    assert stored == fleet
    for arguments, words, says in (
        ({"machines": "[x]"}, [], r"machines=\[x\]: fleet f began with a=1 b=2"),
        ({}, ["a=2"], "a=2: fleet f began with"),
    ):
        with pytest.raises(InputError, match=says):
            fleet.check_continued(arguments, words)
    fleet.check_continued({}, ["b=2"])
    (tmp_path / "fleet.json").write_text(json.dumps({**asdict(fleet), "schema": 9}))
    with pytest.raises(InputError, match="schema 9"):
        load_fleet(tmp_path)
    with locked(tmp_path), pytest.raises(InputError, match="another process"), locked(tmp_path):
        pass


def test_a_result_that_stops_another_attempt_ends_no_driver() -> None:
    """The other attempt has a message in the same list, and nobody waits for it any more."""

    class Answers:
        def wait(self, waiting: list[Any], **how: Any) -> tuple[list[Any], list[Any]]:
            return waiting, []

        def get(self, answer: Any) -> Any:
            return answer

        def cancel(self, events: Any, force: bool) -> None:
            pass

    cluster = object.__new__(RayCluster)
    cluster._ray = Answers()
    cluster._ray.exceptions = SimpleNamespace(RayError=RuntimeError)
    said = json.dumps({"kind": PROGRESS, "text": "timing"}).encode()
    cluster._running = {iter([said]): ("run", attempt) for attempt in (1, 2)}
    got = []
    for event in cluster.events(0):
        got.append(event.attempt)
        cluster.stop("run", 2)
    assert got == [1]
