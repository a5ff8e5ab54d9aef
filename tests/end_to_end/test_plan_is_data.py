"""What is stored, or came in a pack, is data: never composed, looked up or run, and no judge."""

from __future__ import annotations

import functools
import json
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness import PROJECT, targets
from harness.bisect.asides import Asides
from harness.bisect.turns import turn_words
from harness.config import Composed, compose_config
from harness.errors import InputError
from harness.facts.typed import decode
from harness.files.whole_files import write_json
from harness.fleet.fleet_run import _keep
from harness.fleet.ray_cluster import to_event
from harness.fleet.schedule import ARRIVED, LOST, PROGRESS, Job
from harness.fleet.state import Fleet
from harness.nightly.entry import build_entry
from harness.nightly.judgements import acknowledge, is_own, rebuild, with_verdict
from harness.nightly.measurement import _named
from harness.nightly.memory.database import opened
from harness.nightly.verdict import BATCH
from harness.packs.importing import import_pack
from harness.packs.pack import write_pack
from harness.process import executor
from harness.process.own_modules import VARIABLE
from harness.render.progress import Lines, display
from harness.report.contents import command_notes
from harness.run import lifecycle
from harness.run.context import Context
from harness.run.continuing import continued
from harness.run.other_checkout import check_named_now
from harness.storage.configuration import Configuration
from harness.storage.method_options import INC
from harness.storage.plan import RunPlan
from harness.storage.store import RunFolder
from harness.words.overrides import looks_up
from helpers import sample_records
from helpers.command_line import OWN, TINY, CommandLine, load
from helpers.scratch_repository import ScratchRepository, run_git

EXAMPLE = RunFolder(PROJECT / "results" / "example" / "published")
SECRET = "not to be seen"
BEGAN = ("workload=tiny", "method=[fp32,mine]", "workload.images=32", "tuning.tolerance=0.5")


def planned(*words: str, **changed: Any) -> RunPlan:
    """Return the plan of a run that began with some words, as it is read back."""
    config = _composed(words)
    return replace(sample_records.plan(), run="r", config=config, overrides=words, **changed)


@functools.cache  # most plans here begin with the same words
def _composed(words: tuple[str, ...]) -> Configuration:
    return compose_config(words, [OWN]).config


def with_value(plan: RunPlan, at: Sequence[str], value: Any) -> RunPlan:
    """Return a plan with another value at a key of its configuration."""
    values = json.loads(json.dumps(plan.config.stored))
    level = values
    for key in at[:-1]:
        level = level[key]
    level[at[-1]] = value
    return replace(plan, config=decode(values, Configuration))


def goes_on(plan: RunPlan, *words: str) -> Composed:
    return continued(plan, compose_config(words, [OWN]), [OWN])


# --- a run goes on with what its plan has


def test_a_run_goes_on_with_what_its_plan_keeps() -> None:
    plan = with_value(planned(*BEGAN), ("tuning", "seed"), 7)  # whatever conf/ says by now
    now = goes_on(plan, "run.id=r", "run.timeout_s=5")
    run = {**plan.config.run.stored, "id": "r", "timeout_s": 5}
    expected = {**plan.config.stored, "run": run}
    assert now.config.stored == expected
    assert list(now.config.stored["method"]) == ["fp32", "mine"]
    assert now.overrides == (*BEGAN, "run.id=r", "run.timeout_s=5")


def test_no_library_is_loaded_because_a_plan_names_it(tmp_path: Path) -> None:
    library = tmp_path / "libown.so"
    library.write_bytes(b"")
    word = f"threads.allocator={library}"
    plan = with_value(planned(*BEGAN), ("threads", "allocator"), str(library))
    with pytest.raises(InputError, match="repeat that word"):
        goes_on(plan, "run.id=r", "threads.count=1")
    assert goes_on(plan, "run.id=r", word).config.threads.allocator == str(library)
    named = with_value(planned(*BEGAN), ("threads", "allocator"), "jemalloc")
    assert goes_on(named, "run.id=r").config.threads.allocator == "jemalloc"


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        (("workload=tiny",), {}),
        (("workload=tiny", "workload.images=32"), {}),
        (("method=[fp32,mine]", "tuning.tolerance=0.5"), {}),
        (("protocol.roof=true",), {"protocol.roof": True}),
        (("table.intervals=false",), {"table.intervals": False}),
        (("method=[fp32,mine]", "method.mine.decimals=3"), {"method.mine.decimals": 3}),
        (("tuning.max_trials=9",), {"tuning.max_trials": 9}),
        (("++workload.download=true",), {"workload.download": True}),
        (("++workload.note=x",), {"workload.note": "x"}),
        (("protocol=published",), {}),
    ],
)
def test_words_given_now_are_laid_over_it(words: tuple[str, ...], changes: dict[str, Any]) -> None:
    plan = planned(*BEGAN)
    now = goes_on(plan, "run.id=r", *words).config.stored
    expected = json.loads(json.dumps(plan.config.stored))
    for key, value in changes.items():
        *above, last = key.split(".")
        level = expected
        for part in above:
            level = level[part]
        level[last] = value
    assert {**now, "run": None} == {**expected, "run": None}


def test_what_another_value_leads_to_changes_with_it() -> None:
    plan = planned("workload=custom", "workload.network=resnet18_v1", "workload.params=/old")
    now = goes_on(plan, "workload=custom", "workload.params=/new").config.stored["workload"]
    assert (now["params"], now["model"]["params"]) == ("/new", "/new")
    assert now["network"] == now["model"]["network"] == "resnet18_v1"


def test_another_choice_is_seen_and_what_the_run_began_with_stays() -> None:
    now = goes_on(planned(*BEGAN), "protocol=careful", "workload=bundled").config.stored
    assert now["protocol"] == compose_config(["protocol=careful"]).config.stored["protocol"]
    assert (now["workload"]["name"], now["workload"]["images"]) == ("bundled", 32)
    rows = goes_on(planned(*BEGAN), "method=[mine,fp32]").config.stored["method"]
    assert list(rows) == ["mine", "fp32"]  # which differences() refuses


def test_a_value_that_cannot_be_measured_names_its_key() -> None:
    plan = with_value(planned(*BEGAN), ("workload", "transform", "mean"), [])
    with pytest.raises(
        InputError, match=r"run r cannot go on: workload\.transform\.mean=\[\]: use"
    ):
        goes_on(plan)


# --- nothing stored is composed or looked up

LOOKED_UP = "${oc.env:AWS_SECRET_ACCESS_KEY}"


@pytest.mark.parametrize(
    "words",
    [
        (f"workload.note={LOOKED_UP}",),
        ("hydra.searchpath=[file://FOLDER]", "+leak=creds"),
        ("experiment=FOLDER/leak/creds",),
        ("workload.model._target_=os.system", "~workload.model.params"),
        ("workload.images=${oc.decode:1}", "tuning.seed=${oc.create:x}"),
        ("no word at all",),
    ],
)
def test_words_of_a_plan_are_not_read(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    (tmp_path / "leak").mkdir()
    (tmp_path / "leak" / "creds.yaml").write_text(f"# @package _global_\nmachine: {SECRET}\n")
    stored = tuple(word.replace("FOLDER", str(tmp_path)) for word in words)
    plan = replace(planned(*BEGAN), overrides=(*BEGAN, *stored))
    now = goes_on(plan, "run.id=r", "tuning.max_trials=9")
    assert SECRET not in repr(now)
    assert now.config.stored["workload"] == plan.workload.stored
    assert SECRET not in repr(command_notes(plan, lifecycle.code_digest([OWN])))


@pytest.mark.parametrize(
    ("at", "value"),
    [
        (("workload", "note"), LOOKED_UP),
        (("method", "mine", "label"), LOOKED_UP),
        (("workload", "model", "classes"), "${cache_home:}"),
    ],
)
def test_texts_of_a_plan_stay_texts(
    at: tuple[str, ...], value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    plan = with_value(planned(*BEGAN), at, value)
    found: Any = goes_on(plan, "run.id=r").config.stored
    for key in at:
        found = found[key]
    assert found == value


def test_a_worker_looks_up_nothing_in_what_it_makes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", SECRET)
    (tmp_path / "echoes.py").write_text(
        "class Told:\n    def __init__(self, **given):\n        self.given = given\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv(VARIABLE, json.dumps([str(tmp_path)]))
    given = {"a": "${oc.env:HOME}", "b": ["\\${x}", {"c": "$5 \\\\${oc.env:HOME}"}], "d": 1}
    told = targets.made({"_target_": "echoes.Told", **given})
    assert told.given == given


# --- which code may be named


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a folder such as --conf names, with modules, and let this process work as a worker."""
    folder = tmp_path / "own"
    (folder / "own_package").mkdir(parents=True)
    (folder / "own_module.py").write_text(
        "import os, subprocess, functools\nfrom subprocess import Popen\n"
        "from harness.methods.native import Unoptimized\nfrom own_package.inner import Inner\n"
        "run = os.system\nclass Mine:\n    class Nested:\n        pass\n"
    )
    (folder / "own_package" / "__init__.py").write_text("")
    (folder / "own_package" / "inner.py").write_text("class Inner:\n    pass\n")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv(VARIABLE, json.dumps([str(folder)]))
    yield folder
    for name in ("own_module", "own_package", "own_package.inner"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    "target",
    [
        "own_module.Mine", "own_module.Mine.Nested", "own_module.Inner", "own_package.inner.Inner",
        "own_module.Unoptimized", INC,
    ],
)  # fmt: skip
def test_code_that_may_be_named(own: Path, target: str) -> None:
    targets.require_known({"method": {"m": {"_target_": target}}}, [own])
    assert targets.find(target).__name__ == target.rpartition(".")[2]


ELSEWHERE = (
    "distutils.spawn.spawn", "runpy.run_path", "timeit.timeit", "pandas.read_pickle", "ctypes.CDLL",
    "builtins.eval", "harness.process.executor.subprocess.Popen", "harness.setup.setup_env.call",
    "harness.methods.inc.Path.write_text", "harness.methods.native", "benchmarks.bundled.make.main",
    "results.evil.Evil", "antigravity.x", "x", "", ".", "own_module", "own_module.", "..own_module.Mine",
    "own_module.Mine.__class__", "os.path.own_module.Mine", 5, None, ["os.system"],
)  # fmt: skip


@pytest.mark.parametrize("target", ELSEWHERE)
@pytest.mark.parametrize(
    ("place", "key"),
    [
        (lambda named: {"workload": {"model": named}}, "workload.model._target_"),
        (lambda named: {"method": {"m": {"a": [1, {"b": named}]}}}, "method.m.a[1].b._target_"),
    ],
)
def test_code_from_elsewhere_is_refused_where_it_is_named(
    own: Path, target: Any, place: Callable[[Any], Any], key: str
) -> None:
    with pytest.raises(InputError) as caught:
        targets.require_known(place({"_target_": target}), [own])
    assert str(caught.value).startswith(f"{key}=") and "--conf DIR" in str(caught.value)
    with pytest.raises(InputError):
        targets.find(target)


@pytest.mark.parametrize(
    "target",
    ["own_module.os.system", "own_module.Popen", "own_module.run", "own_module.subprocess.run",
     "own_module.functools.partial", "own_module.Mine.mro"],
)  # fmt: skip
def test_a_module_of_ones_own_is_no_way_to_others(own: Path, target: str) -> None:
    with pytest.raises(InputError, match="is defined elsewhere"):
        targets.find(target)
    with pytest.raises(InputError, match="is defined elsewhere"):
        targets.made({"_target_": "own_module.Mine", "deep": [{"_target_": target}]})


def test_a_folder_of_a_standard_modules_name_leads_nowhere(own: Path) -> None:
    (own / "distutils").mkdir()
    with pytest.raises(InputError):
        targets.find("distutils.spawn.spawn")


def test_a_strategy_names_code_as_well(own: Path) -> None:
    for strategy, fine in (("own_module.Mine", True), ("mse", True), ("os.system", False)):
        config = {"method": {"m": {"_target_": INC, "strategy": strategy}}}
        if fine:
            targets.require_known(config, [own])
        else:
            with pytest.raises(InputError, match=r"method\.m\.strategy=os\.system"):
                targets.require_known(config, [own])


def test_the_list_is_what_the_projects_files_name() -> None:
    import yaml

    named = set()
    for path in (PROJECT / "conf").rglob("*.yaml"):
        for _, value in targets._named(yaml.safe_load(path.read_text())):
            named.add(value)
    in_benchmarks = {
        "benchmarks.strategies.calibrating.AllAlikeTuneStrategy",
        "benchmarks.strategies.models.network",
    }
    assert named == targets.KNOWN - in_benchmarks


@pytest.mark.parametrize("where", ["config", "overrides"])
def test_a_plan_that_names_a_program_runs_nothing(
    where: str, cli: CommandLine, tmp_path: Path
) -> None:
    """The whole command, on a plan that somebody copied here."""
    plan = planned("workload=tiny", "method=[fp32]", created="2026-01-01T00:00:00Z")
    evil = {"_target_": "distutils.spawn.spawn", "cmd": ["touch", str(tmp_path / "ran")]}
    if where == "config":
        plan = with_value(plan, ("workload", "model"), evil)
    else:
        words = (
            "workload.model._target_=distutils.spawn.spawn",
            f"+workload.model.cmd={evil['cmd']}",
        )
        plan = replace(plan, overrides=(*plan.overrides, *words, "+workload.download=true"))
    write_json(cli.results / "m" / "r" / "plan.json", plan.as_dict())
    ended = cli("run.id=r", *TINY[-2:])
    assert ended.code == 2
    assert not (tmp_path / "ran").exists()
    said = "workload.model._target_=distutils" if where == "config" else "was planned otherwise"
    assert said in ended.err


# --- the network, other programs and variables


@pytest.mark.parametrize(
    ("words", "network"),
    [
        (("workload=imagenet", "workload.download=true"), True),
        (("++workload.download=true",), True),
        (("workload=imagenet",), False),
        ((), False),
    ],
)
def test_the_network_is_never_opened_by_a_plan(
    words: tuple[str, ...], network: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    plan = planned("workload=imagenet", "workload.download=true", "workload.rec=/v.rec")
    now = goes_on(plan, "run.id=r", *words, f"run.cache={tmp_path}")
    assert now.config.stored["workload"]["download"] is True and now.download is network
    jobs: list[Any] = []

    def started(job: Any, *_: Any) -> Any:
        jobs.append(job)
        raise InputError("started")

    monkeypatch.setattr(executor, "Worker", started)
    monkeypatch.setattr(lifecycle, "check_inputs", lambda workload: SimpleNamespace(files={}))
    with pytest.raises(InputError, match="started"):
        lifecycle.start_session(RunFolder(tmp_path / "r"), now, [OWN], Silent())  # type: ignore[arg-type]
    assert jobs[0].confine is not None and jobs[0].confine.network is network


class Silent:
    """A display that shows nothing."""

    def step(self, what: str, *more: Any) -> Any:
        import contextlib

        return contextlib.nullcontext(lambda *_: None)

    def note(self, text: str) -> None:
        pass


def test_another_checkout_runs_only_if_it_is_named_now(tmp_path: Path) -> None:
    plan = planned("experiment=nightly", f"nightly.pinned={tmp_path}")
    folder = RunFolder(tmp_path / "r")
    for words, refused in (
        ((), True),
        ((f"nightly.pinned={tmp_path}",), False),
        (("nightly.pinned=null",), False),
        (("nightly.pinned=/elsewhere",), False),
    ):
        now = compose_config(["experiment=nightly", *words])
        composed = continued(plan, now, [])
        if refused:
            with pytest.raises(InputError, match="give that again"):
                check_named_now(folder, now, composed)
        else:
            check_named_now(folder, now, composed)
            assert (
                composed.config.stored["nightly"]["pinned"]
                == now.config.stored["nightly"]["pinned"]
            )


@pytest.mark.parametrize(
    "word",
    [
        "--conf",
        "--conf=/tmp/evil",
        "results",
        "threads.allocator=/tmp/evil.so",
        "+threads.allocator='/tmp/evil.so'",
        "workload.download=true",
        "workload.note=${oc.env:X}",
    ],
)
def test_a_search_starts_nothing_more_because_a_plan_says_so(word: str) -> None:
    plan = replace(planned(*BEGAN), overrides=(*BEGAN, word))
    context = Context(compose_config([]), (), Lines())
    with pytest.raises(InputError, match="type it, too"):
        turn_words(plan, "mine", BATCH, context)
    named = with_value(planned(*BEGAN), ("threads", "allocator"), "/tmp/evil.so")
    with pytest.raises(InputError, match="repeat that word"):
        turn_words(named, "mine", BATCH, context)


def test_a_search_runs_only_commits_of_the_checkout(tmp_path: Path) -> None:
    repository = ScratchRepository(tmp_path)
    first = repository.commit()
    elsewhere = repository.commit()
    run_git(repository.root, "reset", "-q", "--hard", first)
    asides = Asides(repository.root, tmp_path / "asides")
    asides.require_commits([first])
    with pytest.raises(InputError, match="is no part of what is checked out"):
        asides.require_commits([first, elsewhere])


@pytest.mark.parametrize(
    ("word", "is_so"),
    [
        ("workload.note=${oc.env:X}", True),
        ("hydra.searchpath=[file:///x]", True),
        ("+experiment=../../x", True),
        ("experiment=/x/y", True),
        ("+experiment@a.b=../x", True),
        ("workload.download=true", True),
        ("workload.rec=/data/v.rec", False),
        ("method=[fp32,mine]", False),
        ("~workload.note", False),
        ("protocol.sweep=[1,8]", False),
    ],
)
def test_words_that_a_fleet_does_not_take_from_its_file(word: str, is_so: bool) -> None:
    assert looks_up(word) is is_so
    fleet = Fleet("f", "now", [word], {"fleet.project": "/p"}, "p", "c", [])
    given = {"fleet.project": ""}
    if is_so:
        with pytest.raises(InputError, match="is not taken from a file"):
            fleet.check_plain(given, [], "/p")
    fleet.check_plain(given, [word], "/p")
    with pytest.raises(InputError, match=r"fleet\.project='/p'"):
        fleet.check_plain(given, [word], "/here")


# --- a run that was imported is marked, and judges nothing


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the pack of a night with a verdict and an acknowledgement, on the machine here."""
    folder = RunFolder(tmp_path_factory.mktemp("measured") / "here" / "published")
    shutil.copytree(EXAMPLE.path, folder.path)
    (folder.path / "pack.json").unlink(missing_ok=True)
    row = {"method": "fp32", "metric": "batch_s", "kind": "none"}
    write_json(folder.path / "nightly.json", {"verdict": "none", "rows": [row], "shifts": []})
    known = {"method": "*", "metric": "*", "reason": "silence"}
    write_json(folder.path / "acknowledged.json", [known])
    to = folder.path.parent.parent / "night.zip"
    write_pack(folder, to)
    return to


def test_the_mark_is_in_the_plan_and_leaves_when_the_run_travels_on(
    packed: Path, tmp_path: Path
) -> None:
    folder = import_pack(packed, tmp_path / "results").folder
    plan = load(folder.path / "plan.json")
    with zipfile.ZipFile(packed) as archive:
        assert plan == {**json.loads(archive.read("plan.json")), "foreign": True}
    (folder.path / "pack.json").unlink()
    assert folder.is_imported
    write_pack(folder, tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == packed.read_bytes()
    assert import_pack(packed, tmp_path / "results").known
    with pytest.raises(InputError, match="was imported: it goes on where it was measured"):
        lifecycle.open_folder(
            compose_config([f"run.results={tmp_path / 'results'}", "run.id=published"]), []
        )


def test_a_mark_that_a_pack_denies_is_made_all_the_same(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "here" / "published")
    shutil.copytree(EXAMPLE.path, folder.path)
    assert not folder.is_imported
    plan = load(folder.path / "plan.json")
    write_json(folder.path / "plan.json", {**plan, "foreign": False})
    write_pack(folder, tmp_path / "pack.zip")
    assert import_pack(tmp_path / "pack.zip", tmp_path / "results").folder.is_imported


def test_an_imported_night_is_no_baseline_and_silences_nothing(
    packed: Path, tmp_path: Path
) -> None:
    folder = import_pack(packed, tmp_path).folder
    (folder.path / "pack.json").unlink()
    with opened(tmp_path) as history:
        assert rebuild(history, tmp_path) == (set(), [])
        entry = with_verdict(build_entry(folder), folder)
        assert entry.acknowledges("fp32", "batch_s")
        history.save(entry)  # as an earlier version did
        assert [each for each in history.load("here") if is_own(each, tmp_path)] == []
    with pytest.raises(InputError, match="was imported"):
        acknowledge(folder, "*", "*", "silence")
    words = [f"run.results={tmp_path}", "nightly.baseline=published"]
    with pytest.raises(InputError, match="was imported"):
        _named(Context.of(words, [], display()), RunFolder(tmp_path / "m" / "n1"))


def test_a_fleet_keeps_only_the_run_that_was_ordered(packed: Path, tmp_path: Path) -> None:
    results, folder = tmp_path, tmp_path / "fleet" / "f"
    folder.mkdir(parents=True)
    before = sorted(results.rglob("*"))
    with pytest.raises(InputError, match="holds run published, and f-01-a was ordered"):
        _keep(folder, results, Job("f-01-a", "a", "n"), packed.read_bytes())
    with pytest.raises(InputError):
        _keep(folder, results, Job("f-01-a", "a", "n"), b"no pack")
    assert sorted(results.rglob("*")) == before
    _keep(folder, results, Job("published", "a", "n"), packed.read_bytes())
    assert RunFolder(results / "here" / "published").is_imported
    assert not list(folder.iterdir())


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        (b'{"kind": "progress", "text": "x"}\n', PROGRESS),
        (b'{"kind": "arrived", "code": 3}\nPK\n\0', ARRIVED),
        (b'{"kind": "arrived", "code": -1}\n', LOST),
        (b'{"kind": "else"}\n', LOST),
        (b'["progress"]\n', LOST),
        (b"[" * 100_000, LOST),
        (b"", LOST),
        ({"kind": "arrived", "pack": b""}, LOST),
        ("text", LOST),
        (None, LOST),
    ],
)
def test_nodes_send_bytes_of_one_form(sent: object, kind: str) -> None:
    event = to_event("r", 0, sent)
    assert event.kind == kind
    assert event.pack == (b"PK\n\0" if kind == ARRIVED else b"")
