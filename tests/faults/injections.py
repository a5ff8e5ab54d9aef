"""Every fault of the campaign, by the step of a run that it hits."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from faults.scene import (
    CONF,
    PROTOCOL,
    ROW,
    WORKLOAD,
    Scene,
    short_of_memory,
    signalled,
    stopped_worker,
)  # fmt: skip
from harness.nightly.memory.database import NAME as HISTORY
from helpers.command_line import CommandLine

TIME_LIMIT_S = 60  # the steps before the one that hangs take less, on a busy machine too
RECORD, ROUND = f"records/01_{ROW}.json", f"rounds/001_{ROW}_1.json"
NIGHTLY = ("nightly.json", "nightly.md", "nightly.junit.xml")
STEPS = {  # the step: what stderr says as its worker starts, and what is taken away before
    "inspect": ("looking at the model", ()),
    "prepare": ("preparing the validation images", ("cache/prepared/*",)),
    "optimise": ("mine: optimising", (RECORD, ROUND, f"methods/{ROW}/optimize.json")),
    "validate": ("mine: validating", (RECORD, ROUND)),
    "profile": ("mine: profiling", None),
    "rounds": ("mine: timing, round 1", (ROUND,)),
    "roof": ("measuring the machine's roof", ("roof.json",)),
}
IN_THE_ROW = ("optimise", "validate", "profile", "rounds")


@dataclass(frozen=True)
class Injection:
    """One fault.

    Attributes:
        act: does it to a run and checks everything; returns a note, such as a figure.
        night: whether it needs a judged night.
        mounts: whether it mounts a file system or makes a folder immutable, which only root may.
        disk: whether it makes a file system in a file.
    """

    step: str
    fault: str
    act: Callable[[Scene], str | None]
    night: bool = False
    mounts: bool = False
    disk: bool = False

    @property
    def name(self) -> str:
        return f"{self.step}: {self.fault}"


def prepared(scene: Scene, step: str) -> str:
    """Take away what the step makes; return what stderr says when it starts."""
    says, patterns = STEPS[step]
    if patterns is None:
        scene.unprofiled()
    else:
        scene.without(*patterns)
    return says


# --- signals, memory and time, in a worker and in the parent while that works


def in_worker(step: str, fault: str) -> Injection:
    def act(scene: Scene) -> None:
        doing = prepared(scene, step)
        limit = fault in ("hang", "out of memory")
        started = scene.start(*([f"run.timeout_s={TIME_LIMIT_S}"] if limit else []))
        worker = stopped_worker(started, doing)
        if fault == "out of memory":
            short_of_memory(worker)
        elif fault != "hang":
            signalled(worker, fault)
        said = f"no end after {TIME_LIMIT_S} s" if fault == "hang" else f"killed by {fault}"
        said = "" if fault == "out of memory" else said
        again = "start it again" if step in ("inspect", "prepare") else "measures that again"
        scene.ended(started.end(), 3, said, again)
        scene.resumes()

    return Injection(step, f"worker {fault}", act)


def in_parent(step: str, *names: str) -> Injection:
    def act(scene: Scene) -> None:
        doing = prepared(scene, step)
        started = scene.start()
        worker = stopped_worker(started, doing)
        for name in names[:-1]:
            started.process.send_signal(getattr(signal, name))
            started.says("Ctrl-C again stops now")
        started.process.send_signal(getattr(signal, names[-1]))
        if names == ("SIGINT",) and step in (*IN_THE_ROW, "roof"):
            started.says("Ctrl-C again stops now")
            worker.resume()
        if names == ("SIGKILL",):
            scene.ended(started.end(), -signal.SIGKILL)
        else:
            scene.ended(started.end(), 3, f"run.id={scene.folder.id} goes on with the rest")
        scene.resumes()

    return Injection(
        step, f"parent {' twice '.join(sorted({*names}))}{' twice' * (len(names) > 1)}", act
    )


def worker_stands_still(scene: Scene) -> None:
    """The worker is stopped time and again; its round says so and is repeated."""
    scene.without(ROUND)
    plan = scene.folder.path / "plan.json"
    planned = json.loads(plan.read_text())
    planned["config"]["protocol"]["reruns"] = 1
    plan.write_text(json.dumps(planned))
    started = scene.start("protocol.reruns=1")
    worker = stopped_worker(started, STEPS["rounds"][0])
    with suppress(psutil.NoSuchProcess):
        while worker.is_running() and worker.status() != psutil.STATUS_ZOMBIE:
            worker.resume()
            time.sleep(0.05)
            worker.suspend()
            time.sleep(0.3)
    ended = started.end()
    scene.ended(ended, 0, "was disturbed (")
    first = json.loads((scene.folder.path / ROUND).read_text())
    kinds = {each["kind"] for part in first["facts"]["timed"] for each in part["disturbed"]}
    assert "frozen_s" in kinds, kinds
    assert (scene.folder.path / f"rounds/001_{ROW}_2.json").is_file()
    scene.resumes("protocol.reruns=1")


def all_stand_still(step: str) -> Injection:
    """Worker and parent are stopped together for a while, as ``docker pause`` does it."""

    def act(scene: Scene) -> None:
        doing = prepared(scene, step)
        started = scene.start()
        worker, parent = stopped_worker(started, doing), psutil.Process(started.process.pid)
        parent.suspend()
        time.sleep(1.0)
        worker.resume()
        parent.resume()
        scene.ended(started.end(), 0)
        scene.resumes()

    return Injection(step, "all stand still", act)


def crash_in_mxnet(scene: Scene) -> None:
    """A method of the user's own hands MXNet a pointer to nothing."""
    cli = CommandLine(scene.place / "other", scene.place / "cache")
    scene.keep()
    ended = cli("method=[fp32,crashing]", *WORKLOAD[:-1], *PROTOCOL, "protocol.roof=false", *CONF)
    assert ended.outcomes == {"fp32": "ok", "crashing": "failed: killed by SIGSEGV"}
    log = ended.folder.path / str(ended.records["crashing"].outcome.log)
    assert "Fatal Python error: Segmentation fault" in log.read_text(), log.read_text()
    scene.ended(ended, 3, "crashing: failed: killed by SIGSEGV", "measures that again")
    kept = (ended.folder.path / "records/00_fp32.json").read_bytes()
    (ended.folder.method("crashing") / "sound").touch()
    again = cli(f"run.id={ended.folder.id}", *CONF)
    assert (again.code, again.outcomes) == (0, {"fp32": "ok", "crashing": "ok"}), again.err
    assert (ended.folder.path / "records/00_fp32.json").read_bytes() == kept


# --- the parent, at its own work


def at_point(step: str, point: str, number: str, *patterns: str, night: bool = False) -> Injection:
    def act(scene: Scene) -> None:
        scene.without(*patterns)
        ended = scene.gated(point, number)
        if number == "SIGKILL":
            scene.ended(ended, -signal.SIGKILL)
        else:
            scene.ended(ended, 3, f"run.id={scene.folder.id} goes on with the rest")
        scene.resumes()
        if night:
            assert json.loads((scene.folder.path / "nightly.json").read_text())["verdict"]
            assert scene.folder.id in scene.cli("history").out

    where = point.rpartition(":")[2]
    return Injection(step, f"parent {number} in {where}", act, night)


def plan_half_written(number: str) -> Injection:
    def act(scene: Scene) -> None:
        scene.keep()
        shutil.rmtree(scene.folder.path)
        scene.kept = {}
        name = scene.folder.id
        begin = (f"run.id={name}", *WORKLOAD, *PROTOCOL, "protocol.roof=false", *CONF)
        ended = scene.gated("write:plan.json", number, *begin)
        scene.ended(ended, -signal.SIGKILL if number == "SIGKILL" else 3)
        ended = scene.cli(*begin)
        assert ended.code == 0, ended.err
        assert scene.as_measured() == scene.table
        assert not list(scene.place.rglob("*.part"))

    return Injection("plan", f"parent {number} in plan.json", act)


# --- no room, and no right to write


@contextmanager
def mounted(place: Path, *options: str) -> Iterator[None]:
    """Mount something over a folder, with what the folder held in it."""
    aside = place.with_name(f"{place.name}_aside")
    place.rename(aside)
    place.mkdir()
    bind = "bind" in options
    source = str(aside) if bind else "none"
    kind = ["--bind"] if bind else ["-t", "tmpfs", "-o", ",".join(options)]
    subprocess.run(["mount", *kind, source, str(place)], check=True)
    try:
        if not bind:
            shutil.copytree(aside, place, dirs_exist_ok=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
        place.rmdir()
        aside.rename(place)


def fill(place: Path) -> Path:
    """Leave no block free."""
    filler = place / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as out:
        while True:
            out.write(b"\0" * 4096)
    return filler


def no_room(step: str, where: str = "results") -> Injection:
    def act(scene: Scene) -> None:
        doing = prepared(scene, step)
        # more than the harness leaves free in a cache
        with mounted(scene.place / where, "size=320m" if where == "cache" else "size=24m"):
            if step == "prepare":
                filler = fill(scene.place / where)
                ended = scene.start().end()
            else:
                started = scene.start()
                worker = stopped_worker(started, doing)
                filler = fill(scene.place / where)
                worker.resume()
                ended = started.end()
            scene.ended(ended, (2, 3), "No space left on device")
            filler.unlink()
            scene.resumes()

    return Injection(step, f"{where} disk full", act, mounts=True)


def no_room_for_tables(scene: Scene) -> None:
    scene.without("table.md")
    with mounted(scene.place / "results", "size=24m"):
        filler = fill(scene.place / "results")
        scene.ended(scene.start().end(), 2, "No space left on device")
        filler.unlink()
        scene.resumes()


def no_room_for_the_night(scene: Scene) -> None:
    scene.without(*NIGHTLY, f"../{HISTORY}")
    with mounted(scene.place / "results", "size=24m"):
        started = scene.start()
        stopped = stopped_worker(started, "looking at the model")
        filler = fill(scene.place / "results")
        stopped.resume()
        scene.ended(started.end(), (2, 3))
        filler.unlink()
        scene.resumes()
        assert scene.folder.id in scene.cli("history").out


def read_only(where: str) -> Injection:
    def act(scene: Scene) -> None:
        scene.keep()
        place = scene.place / where
        with mounted(place, "bind"):
            subprocess.run(["mount", "-o", "remount,bind,ro", str(place)], check=True)
            ended = scene.start().end()
            subprocess.run(["mount", "-o", "remount,bind,rw", str(place)], check=True)
            scene.ended(ended, 2, f"run.{where}=DIR")
            scene.resumes()

    return Injection("start", f"{where} read-only", act, mounts=True)


def turned_read_only(step: str, folder: str) -> Injection:
    """A folder becomes immutable in the middle of a run; where files are open, no mount can."""

    def act(scene: Scene) -> None:
        doing = prepared(scene, step)
        place = scene.folder.path / folder
        started = scene.start()
        worker = stopped_worker(started, doing)
        subprocess.run(["chattr", "+i", str(place)], check=True)
        try:
            worker.resume()
            ended = started.end()
        finally:
            subprocess.run(["chattr", "-i", str(place)], check=True)
        scene.ended(ended, 2, "cannot be written (Operation not permitted)", "run.results=DIR")
        scene.resumes()

    return Injection(step, f"{folder} turned read-only", act, mounts=True)


# --- the clock


def clock_jumps(step: str) -> Injection:
    """The wall clock goes a day forth and back every half second, in every process."""

    def act(scene: Scene) -> str:
        prepared(scene, step)
        folder = Path(__file__).with_name("clock")
        library = scene.place / "jumping.so"
        source = folder / "jumping.c"
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
        scene.cli.variables = {"JUMPING_CLOCK": str(library), "PYTHONPATH": str(folder)}
        began = time.monotonic()
        started = scene.start("--conf", str(folder))
        scene.cli.variables = {}
        ended = started.end()
        took = time.monotonic() - began
        scene.ended(ended, 0)
        assert scene.as_measured() == scene.table
        seconds = [value for record in scene.folder.load_records() for value in durations(record)]
        assert all(0 <= value < max(took, 600) for value in seconds)
        marks = list(scene.place.glob("jumped.*"))
        assert len(marks) > 1, "the clock did not jump in the workers"
        scene.resumes()
        return f"{len(marks)} processes"

    return Injection(step, "clock jumps", act)


def durations(record: object) -> list[float]:
    found = []
    for part in ("optimize", "validate", "profile"):
        facts = getattr(record, part) or {}
        found += [value for key, value in facts.items() if key in ("seconds", "cost_s", "wall_s")]
    return found


# --- files that are half there


def half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def emptied(path: Path) -> None:
    os.truncate(path, 0)


def damaged(
    step: str, pattern: str, harm: Callable[[Path], None] = half, said: str = "damaged"
) -> Injection:
    """A file is cut; a resumption measures what it was of again."""

    def act(scene: Scene) -> None:
        (path,) = scene.cli_glob(pattern)
        harm(path)
        scene.keep()
        scene.kept.pop(path, None)
        if pattern.startswith("methods"):
            scene.kept = {k: v for k, v in scene.kept.items() if ROW not in k.name + k.parent.name}
            told = scene.cli("table", f"run={scene.folder.id}")
            assert told.code == 0, told.err
            if path.suffix == ".npz":
                assert f"run.id={scene.folder.id}, which measures that again" in told.out
            assert "| fp32 no optimization |" in told.out
        ended = scene.resumes()
        assert said in ended.err
        scene.ended(ended, 0)

    what = "half-written" if harm is half else harm.__name__
    return Injection(step, f"{what} {Path(pattern).name}", act)


@contextmanager
def on_a_disk(place: Path, image: Path) -> Iterator[None]:
    """Move a folder onto a file system of its own, which writes by itself only after minutes."""
    aside = place.with_name(f"{place.name}_aside")
    place.rename(aside)
    place.mkdir()
    subprocess.run(["truncate", "-s", "64M", str(image)], check=True)
    subprocess.run(["mkfs.ext4", "-qF", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop,commit=600", str(image), str(place)], check=True)
    try:
        shutil.copytree(aside, place, dirs_exist_ok=True)
        os.sync()
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)
        shutil.rmtree(aside)


def power_cut(step: str, *taken: str) -> Injection:
    """What the disk holds as the run ends, as after a power cut: all that a record names is whole."""

    def act(scene: Scene) -> None:
        scene.without(*taken)
        results, disk = scene.place / "results", scene.place / "disk"
        with on_a_disk(results, disk):
            ended = scene.start().end()
            scene.ended(ended, 0)
            scene.keep()
            cut = scene.place / "cut"
            subprocess.run(["cp", "--sparse=always", str(disk), str(cut)], check=True)
        subprocess.run(["mount", "-o", "loop", str(cut), str(results)], check=True)
        try:
            scene.count_lost()
            scene.resumes()
        finally:
            subprocess.run(["umount", "--lazy", str(results)], check=True)

    return Injection(step, "power cut", act, mounts=True, disk=True)


def made_up(kind: str, make: Callable[[Path], None]) -> Injection:
    """Something else is in a sidecar's place; the images are prepared again."""

    def act(scene: Scene) -> None:
        for path in scene.cli_glob("cache/prepared/*.json"):
            path.unlink()
            make(path)
        scene.without(RECORD, ROUND)
        ended = scene.resumes()
        assert "preparing the validation images" in ended.err, ended.err

    return Injection("prepare", f"{kind} in a sidecar's place", act)


def hostile_plan(scene: Scene) -> None:
    """A plan's words look things up and name a program; the run goes on with its values alone."""
    path, marker = scene.folder.path / "plan.json", scene.place / "ran"
    plan = json.loads(path.read_text())
    plan["overrides"] += [
        "+hydra.searchpath=[file:///etc]",
        "workload.rec=${oc.env:HOME}",
        "method.mine._target_=os.system",
        f"+method.mine.command='touch {marker}'",
    ]
    path.write_text(json.dumps(plan, indent=1) + "\n")
    scene.without(RECORD, ROUND)
    scene.resumes()
    assert not marker.exists()


def modules_in(where: str) -> Injection:
    """Modules of the names that a worker imports lie in a folder that it works beside."""

    def act(scene: Scene) -> None:
        marker = scene.place / "ran"
        folder = scene.folder.path if where == "run" else scene.place / "cache" / "prepared"
        for name in ("mxnet", "numpy", "json", "sitecustomize"):
            module = folder / f"{name}.py"
            module.write_text(f"open({str(marker)!r}, 'w')\n")
        scene.without(RECORD, ROUND)
        scene.resumes()
        assert not marker.exists()

    return Injection("start", f"modules in the folder of the {where}", act)


def left_folder(scene: Scene) -> None:
    """A worker that was killed has left its working directory."""
    (scene.folder.path / "methods" / ROW / ".worker-left").mkdir()
    scene.without(RECORD, ROUND)
    scene.resumes()
    assert not list(scene.place.rglob(".worker-*"))


def damaged_plan(scene: Scene) -> None:
    path = scene.folder.path / "plan.json"
    whole = path.read_bytes()
    half(path)
    scene.keep()
    scene.ended(scene.cli(*scene.words), 3, "plan.json cannot be read", "restore it")
    path.write_bytes(whole)
    scene.resumes()


def lost_plan(scene: Scene) -> None:
    path = scene.folder.path / "plan.json"
    whole = path.read_bytes()
    path.unlink()
    scene.keep()
    words = (f"run.id={scene.folder.id}", *WORKLOAD, *PROTOCOL, *CONF)
    scene.ended(scene.cli(*words), 2, "has measurements and no plan.json")
    path.write_bytes(whole)
    scene.resumes()


def damaged_history(scene: Scene) -> None:
    path = scene.cli.results / HISTORY
    half(path)
    scene.without(*NIGHTLY)
    scene.ended(scene.cli(*scene.words), 3, "history rebuild=true sets it aside")
    told = scene.cli("history", "rebuild=true")
    assert told.code == 0 and "history.sqlite.damaged" in told.err, told.err
    scene.resumes()
    assert scene.folder.id in scene.cli("history").out


def empty_history(scene: Scene) -> None:
    """An earlier night is known from its folder alone; the next must be compared with it."""
    (scene.cli.results / HISTORY).write_bytes(b"")
    scene.keep()
    scene.resumes()
    assert scene.folder.id in scene.cli("history").out


def left_parts(scene: Scene) -> None:
    for name in ("records/.01_mine.json.1.part", ".plan.json.1.part", ".table.md.1.part"):
        (scene.folder.path / name).write_bytes(b"{")
    scene.keep()
    scene.resumes()


def older_schema(pattern: str) -> Injection:
    def act(scene: Scene) -> None:
        (path,) = scene.cli_glob(pattern)
        whole = path.read_bytes()
        path.write_text(json.dumps({**json.loads(whole), "schema": 1}))
        scene.keep()
        scene.ended(scene.cli(*scene.words), 3, "schema 1, this version reads", "use the version")
        path.write_bytes(whole)
        scene.keep()
        scene.resumes()

    return Injection("start", f"{Path(pattern).parent.name or 'plan'} of an older schema", act)


# --- two at once


def same_id(scene: Scene) -> None:
    scene.without(RECORD, ROUND)
    both = [scene.start(), scene.start()]
    ends = sorted((each.end() for each in both), key=lambda each: each.code)
    assert [each.code for each in ends] == [0, 2], [each.err for each in ends]
    scene.ended(ends[1], 2, "another process is working on run", "wait for it")
    scene.resumes()


def same_second(scene: Scene) -> None:
    """Two new runs over one empty cache, with the run that is there already."""
    scene.without("cache/prepared/*")
    words = ("method=[fp32]", *WORKLOAD[:-1], "protocol.profile_batches=0", *CONF)
    both = [scene.cli.start(*words) for _ in range(2)]
    for ended in [each.end() for each in both]:
        scene.ended(ended, 0)
    plans = list(scene.cli.results.glob("*/*/plan.json"))
    assert len(plans) == 3
    scene.resumes()


SIGNALS = ("SIGKILL", "SIGTERM", "SIGSEGV", "hang", "out of memory")
INJECTIONS: tuple[Injection, ...] = (
    *(in_worker(step, fault) for step in STEPS for fault in SIGNALS),
    *(in_parent(step, name) for step in STEPS for name in ("SIGKILL", "SIGTERM")),
    *(in_parent(step, "SIGINT") for step in ("validate", "rounds")),
    in_parent("validate", "SIGINT", "SIGINT"),
    Injection("rounds", "worker stands still", worker_stands_still),
    *(all_stand_still(step) for step in STEPS),
    Injection("optimise", "SIGSEGV inside MXNet", crash_in_mxnet),
    *(plan_half_written(number) for number in ("SIGKILL", "SIGTERM")),
    *(
        at_point(step, point, number, *patterns)
        for number in ("SIGKILL", "SIGTERM")
        for step, point, patterns in (
            ("prepare", "write:labels.npy", ()),
            ("prepare", "write:prepared_validation.json", ()),
            ("roof", "write:roof.json", ("roof.json",)),
            ("tables", "write:digests.json", ("digests.json",)),
            ("validate", "call:harness.files.durable:keep", (RECORD, ROUND)),
            ("optimise", "write:optimize.json", STEPS["optimise"][1]),
            ("validate", "write:01_mine.json", (RECORD, ROUND)),
            ("rounds", "write:001_mine_1.json", (ROUND,)),
            ("tables", "write:table.md", ("table.md",)),
            ("tables", "call:harness.run.lifecycle:write_tables", ("table.md", "table.csv")),
        )
    ),
    *(
        at_point(step, point, number, *NIGHTLY, *patterns, night=True)
        for number in ("SIGKILL", "SIGTERM")
        for step, point, patterns in (
            ("judging", "call:harness.nightly.measurement:judge_night", ()),
            ("judging", "write:nightly.json", ()),
            ("history", "call:harness.nightly.memory.database:_stored", (f"../{HISTORY}",)),
        )
    ),
    *(no_room(step) for step in ("inspect", "optimise", "validate", "rounds")),
    no_room("prepare", "cache"),
    Injection("tables", "results disk full", no_room_for_tables, mounts=True),
    Injection("history", "results disk full", no_room_for_the_night, night=True, mounts=True),
    *(read_only(where) for where in ("results", "cache")),
    turned_read_only("validate", "records"),
    turned_read_only("rounds", "rounds"),
    *(clock_jumps(step) for step in ("optimise", "rounds")),
    damaged("validate", RECORD),
    damaged("rounds", ROUND),
    damaged("roof", "roof.json"),
    *(
        damaged("validate", f"methods/{ROW}/{name}", harm)
        for name in ("predictions.npz", "model-0000.params", "model-symbol.json")
        for harm in (half, emptied)
    ),
    power_cut("optimise", RECORD, ROUND, f"methods/{ROW}/*"),
    power_cut("validate", RECORD, ROUND, f"methods/{ROW}/predictions.npz"),
    power_cut("rounds", ROUND),
    damaged("prepare", "cache/prepared/*.u8", said="preparing the validation images"),
    damaged("prepare", "cache/prepared/*.json", said="preparing the validation images"),
    damaged("prepare", "labels.npy", said=""),
    made_up("a pipe", os.mkfifo),
    made_up("a link to a device", lambda path: path.symlink_to("/dev/zero")),
    made_up("nested JSON", lambda path: path.write_text("[" * 100_000)),
    made_up("a folder", Path.mkdir),
    Injection("plan", "words that run and look up", hostile_plan),
    *(modules_in(where) for where in ("run", "cache")),
    Injection("start", "a folder left by a killed worker", left_folder),
    Injection("plan", "half-written plan.json", damaged_plan),
    Injection("plan", "lost plan.json", lost_plan),
    Injection("history", "half-written history.sqlite", damaged_history, night=True),
    Injection("history", "empty history.sqlite", empty_history, night=True),
    Injection("start", "parts left by killed writers", left_parts),
    older_schema("plan.json"),
    older_schema(RECORD),
    older_schema(ROUND),
    Injection("start", "two runs of one id", same_id),
    Injection("prepare", "two runs of one second", same_second),
)  # fmt: skip
