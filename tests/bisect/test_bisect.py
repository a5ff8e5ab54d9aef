"""A search over commits and over packages, in a scratch repository whose versions run at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from harness.bisect import bisection
from harness.bisect.asides import Asides, State
from harness.bisect.bisection import METRICS, Request, bisect, check_row, endpoint, report_path
from harness.bisect.pairs import Unmeasured, Version
from harness.bisect.run_changes import package_changes, with_changes, with_digests
from harness.bisect.search_result import Result, to_markdown
from harness.bisect.turns import Turns, turn_places, turn_words
from harness.checkout.git import git_environment
from harness.errors import InputError
from harness.facts.override_key import key_of
from harness.facts.typed import changed
from harness.render.progress import Lines
from harness.run.context import Context
from helpers import sample_records
from helpers.sample_run import UNSOLVED, made_run
from helpers.scratch_repository import ScratchRepository, lock_text, run_git
from helpers.small_project import SmallProject

ROW = "int8_smart"


@pytest.mark.slow
def test_each_lock_file_gets_an_environment_of_its_own(tmp_path: Path) -> None:
    small = SmallProject.written(tmp_path / "small")
    (small.root / ".gitignore").write_text(".venv*\nwheels\n")
    run_git(tmp_path, "init", "-q", str(small.root))
    run_git(small.root, "add", ".")
    run_git(small.root, "commit", "-qm", "first")
    asides = Asides(small.root, tmp_path / "asides")
    commit = run_git(small.root, "rev-parse", "HEAD")
    small.lock("run", "2.0")
    newer = {"requirements/run.lock": (small.root / "requirements/run.lock").read_text()}
    versions = {
        "1.0": asides.add(Version("packages-0", "before"), State(commit)),
        "2.0": asides.add(Version("packages-1", "after"), State(commit, newer)),
    }
    for expected, version in versions.items():
        aside = SmallProject(asides.place(version, is_reference=expected == "1.0"))
        aside.variables = {**small.variables, "HOME": str(tmp_path)}
        assert aside.facts()["packages"]["smallrun"] == expected
    assert small.environments == set()  # the checkout itself stays as it was
    asides.remove()
    assert not (tmp_path / "asides").exists()


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ScratchRepository:
    repository = ScratchRepository(tmp_path)
    monkeypatch.setattr(bisection, "PROJECT", repository.root)
    return repository


def context_of(scratch: ScratchRepository) -> Context:
    words = [f"run.results={scratch.results}", f"run.cache={scratch.results.parent / 'cache'}"]
    return Context.of(words, [], Lines())


def search(
    scratch: ScratchRepository, metric: str = "batch_s", over: str = "", rounds: int = 5, **own: Any
) -> Result:
    context = context_of(scratch)
    good, bad = (endpoint(context, run) for run in ("good", "bad"))
    request = Request(good, bad, METRICS[metric], ROW, over, rounds)
    check_row(request)
    return bisect(context, request, **own)


def nights(scratch: ScratchRepository, commits: list[str]) -> None:
    scratch.night("good", commits[0])
    scratch.night("bad", commits[-1])


class Simulated:
    """Measures versions by what their commits say, with noise.

    The noise is that of the commit's number and of how often it was measured, never of its id or of the
    order of turns: ids differ each time, and a test of the search must not depend on luck.
    """

    def __init__(self, scratch: ScratchRepository, noise: float = 0.01) -> None:
        self.scratch, self.noise = scratch, noise
        self.turns: list[str] = []

    def __call__(self, version: Version, anew: bool) -> npt.NDArray[Any]:
        self.turns.append(version.name)
        factor = float(run_git(self.scratch.root, "show", f"{version.name}:conf/slowness"))
        if factor < 0:
            raise Unmeasured("it does not start")
        number = int(run_git(self.scratch.root, "rev-list", "--count", version.name))
        random = np.random.default_rng([number, self.turns.count(version.name)])
        return np.full(4, factor * np.exp(self.noise * random.standard_normal()))


@pytest.mark.slow
def test_one_of_eight_commits_is_found_with_its_confirmation(scratch: ScratchRepository) -> None:
    commits = [scratch.commit(1.06 if number >= 5 else 1.0) for number in range(9)]
    nights(scratch, commits)
    result = search(scratch)
    assert result.outcome == "found" and result.became_worse
    assert result.suspects == (f"commit {commits[5][:12]} (Change 6)",)
    confirmation = result.confirmation
    assert confirmation is not None and confirmation.pairs >= 15
    assert (confirmation.before, confirmation.now) == (commits[4], commits[5])
    assert confirmation.ratio == pytest.approx(1.06, abs=0.02)
    assert len(result.comparisons) <= 5 and result.error == pytest.approx(0.01)
    text = to_markdown(result)
    assert (f"found: commit {commits[5][:12]}" in text and "bad: 6." in text) or "bad: 5." in text
    kept = scratch.stored("bad")
    assert kept["finished"] and kept["outcome"] == "found"
    turns = list(scratch.results.glob("bisect/*/runs/machine/*"))
    assert len(turns) == 2 * sum(one.pairs for one in result.comparisons)
    assert not list((scratch.results.parent / "cache/bisect").glob("*"))


@pytest.mark.slow
def test_one_of_two_changed_packages_is_found(scratch: ScratchRepository) -> None:
    before, now = {"other": "1", "slow": "1"}, {"other": "2", "slow": "2"}
    nights(scratch, [scratch.commit(packages=before), scratch.commit(packages=now)])
    result = search(scratch, over="lock")
    assert (result.outcome, result.suspects) == ("found", ("slow 1 -> 2",))
    assert result.confirmation is not None and result.confirmation.ratio is not None
    assert result.confirmation.ratio == pytest.approx(1.06, abs=0.02)


@pytest.mark.slow
def test_packages_that_only_go_together_are_not_separated(scratch: ScratchRepository) -> None:
    before, now = {"odd": "1", "slow": "1"}, {"odd": "2", "slow": "2"}
    nights(scratch, [scratch.commit(packages=before), scratch.commit(packages=now)])
    result = search(scratch, over="lock")
    assert (result.outcome, result.suspects) == ("several", ("odd 1 -> 2", "slow 1 -> 2"))
    assert "not separable: one of 2" in result.headline
    assert "odd 2 does not go with slow 1" in result.comparisons[-1].why


def test_nothing_to_find_is_said(scratch: ScratchRepository) -> None:
    nights(scratch, [scratch.commit() for _ in range(9)])
    result = search(scratch, measure=Simulated(scratch))
    assert (result.outcome, len(result.comparisons)) == ("nothing to find", 1)
    assert not result.became_worse
    context = context_of(scratch)
    good, bad = (endpoint(context, run) for run in ("good", "bad"))
    request = Request(good, bad, METRICS["batch_s"], ROW, "", 5)
    assert "nothing to find: commit" in report_path(context, request).read_text()


def test_noise_is_not_separable(scratch: ScratchRepository) -> None:
    nights(scratch, [scratch.commit(), scratch.commit(), scratch.commit(1.03)])
    result = search(scratch, measure=Simulated(scratch, noise=0.3))
    assert result.outcome == "not separable" and len(result.comparisons) == 1


def test_ends_that_cannot_be_measured_are_a_failure(scratch: ScratchRepository) -> None:
    nights(scratch, [scratch.commit(), scratch.commit(-1.0)])
    result = search(scratch, measure=Simulated(scratch))
    assert (result.outcome, result.became_worse) == ("not measured", False)
    assert result.headline.startswith("not measured: commit")
    assert result.headline.endswith(": it does not start")
    assert not scratch.stored("bad")["finished"]


def test_a_change_that_is_not_confirmed_leaves_the_row_worse(scratch: ScratchRepository) -> None:
    commits = [scratch.commit(factor) for factor in (1.0, 1.0, 1.06, 1.06)]
    nights(scratch, commits)
    simulated = Simulated(scratch)

    def measure(version: Version, anew: bool) -> npt.NDArray[Any]:
        if commits[0] not in simulated.turns[-2:] and version.name == commits[1]:
            simulated.turns.append(version.name)
            raise Unmeasured("it does not start any more")
        return simulated(version, anew)

    result = search(scratch, measure=measure)
    assert result.outcome == "not separable" and result.became_worse


def test_commits_that_do_not_start_leave_a_range(scratch: ScratchRepository) -> None:
    slowness = [1.0, 1.0, -1.0, -1.0, 1.2, 1.2]
    commits = [scratch.commit(factor) for factor in slowness]
    nights(scratch, commits)
    result = search(scratch, measure=Simulated(scratch))
    assert result.outcome == "several" and result.became_worse
    named = {said.split()[1] for said in result.suspects}
    assert named == {commit[:12] for commit in commits[2:5]}


def test_commits_that_measure_nothing_are_no_suspects(scratch: ScratchRepository) -> None:
    """The one that does not start, and what follows it; commits of texts lie between."""
    commits = []
    for factor in (1.0, 1.0, -1.0, 1.2):
        commits += [scratch.commit(factor), scratch.note()]
    nights(scratch, commits)
    result = search(scratch, measure=Simulated(scratch))
    assert result.outcome == "several"
    named = {said.split()[1] for said in result.suspects}
    assert named == {commit[:12] for commit in (commits[4], commits[6])}


def test_a_bad_run_of_a_commit_that_measures_nothing_ends_at_the_last_that_does(
    scratch: ScratchRepository,
) -> None:
    """That one is never measured, and no luck with it can leave git without a commit to find."""
    commits = [scratch.commit(), scratch.commit(1.2), scratch.note(), scratch.note()]
    nights(scratch, commits)
    simulated = Simulated(scratch)
    result = search(scratch, measure=simulated)
    assert (result.outcome, len(result.suspects)) == ("found", 1)
    assert result.suspects[0].startswith(f"commit {commits[1][:12]}")
    assert commits[2] not in simulated.turns


def test_a_turn_finds_the_users_own_files(
    scratch: ScratchRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its checkout lies elsewhere; what is not there, and what is no path, stays as it was typed."""
    monkeypatch.setattr("harness.config.PROJECT", tmp_path)
    (tmp_path / "my own.rec").write_text("")
    typed = ("workload.rec=my own.rec", "workload.params=gone", "workload.name=my own.rec")
    words = words_of(scratch, *typed)
    assert f"workload.rec='{tmp_path}/my own.rec'" in words
    assert {"workload.params='gone'", "workload.name='my own.rec'"} <= set(words)


def test_a_search_that_was_stopped_goes_on(scratch: ScratchRepository) -> None:
    commits = [scratch.commit(1.06 if number >= 3 else 1.0) for number in range(9)]
    nights(scratch, commits)
    simulated = Simulated(scratch)

    def stopping(version: Version, anew: bool) -> npt.NDArray[Any]:
        if len(simulated.turns) > 40:
            raise KeyboardInterrupt
        return simulated(version, anew)

    with pytest.raises(KeyboardInterrupt):
        search(scratch, measure=stopping)
    kept = scratch.stored("bad")
    assert not kept["finished"] and "the search was stopped" in str(kept["headline"])
    again = Simulated(scratch)
    result = search(scratch, measure=again)
    assert result.suspects == (f"commit {commits[3][:12]} (Change 4)",)
    assert commits[-1] not in again.turns  # the ends are known


def test_a_cost_is_made_anew_each_time(scratch: ScratchRepository) -> None:
    nights(scratch, [scratch.commit(), scratch.commit(1.5)])
    simulated = Simulated(scratch)
    asked: set[bool] = set()

    def measure(version: Version, anew: bool) -> npt.NDArray[Any]:
        asked.add(anew)
        return simulated(version, anew)[:1]

    result = search(scratch, metric="cost_s", measure=measure)
    assert result.outcome == "found" and asked == {True}


def test_an_accuracy_is_judged_by_images_and_made_anew_once(scratch: ScratchRepository) -> None:
    commits = [scratch.commit(factor) for factor in (1.0, 1.0, 0.9, 0.9)]
    nights(scratch, commits)

    def measure(version: Version, anew: bool) -> npt.NDArray[Any]:
        share = float(run_git(scratch.root, "show", f"{version.name}:conf/slowness")) * 0.8
        return np.arange(10_000) < 10_000 * share

    result = search(scratch, metric="top1", measure=measure)
    assert result.outcome == "found"
    assert result.suspects == (f"commit {commits[2][:12]} (Change 3)",)
    assert "points less" in result.headline


def test_a_harmless_change_of_images_is_good(scratch: ScratchRepository) -> None:
    """A loss that is significant, and far from half of that of the ends, is one of no suspects."""
    lost = {0: 0, 1: 14, 2: 14, 3: 174, 4: 174}  # of 10,000 images
    commits = [scratch.commit() for _ in lost]
    nights(scratch, commits)

    def measure(version: Version, anew: bool) -> npt.NDArray[Any]:
        return np.arange(10_000) >= lost[commits.index(version.name)]

    result = search(scratch, metric="top1", measure=measure)
    assert result.outcome == "found"
    assert result.suspects == (f"commit {commits[3][:12]} (Change 4)",)
    harmless = next(one for one in result.comparisons if one.now == commits[2])
    assert harmless.answer == "good" and harmless.said.startswith("good: 0.14 points less")


def test_a_lost_solution_has_no_image_right(tmp_path: Path) -> None:
    asked = SimpleNamespace(method=UNSOLVED, metric=METRICS["top1"])
    figures = Turns._figures(asked, made_run(tmp_path))  # type: ignore[arg-type]
    assert figures.dtype == bool and figures.size and not figures.any()


def words_of(scratch: ScratchRepository, *overrides: str, **sections: Any) -> list[str]:
    """Return the words of a turn for a run that began with some words."""
    folder = scratch.night("bad", scratch.commit(), overrides=overrides)
    plan = folder.load_plan()
    assert plan is not None
    config = changed(plan.config, **sections)
    return turn_words(replace(plan, config=config), ROW, METRICS["batch_s"], context_of(scratch))


def test_a_turn_keeps_the_settings_of_its_row_alone(scratch: ScratchRepository) -> None:
    own = f"method.{ROW}.decimals=3"
    words = words_of(
        scratch, "method=[fp32,int8_smart]", own, "method.fp32.decimals=2", "~method.x"
    )
    assert [word for word in words if key_of(word).startswith("method")] == [own, f"method=[{ROW}]"]


def test_a_turn_measures_no_splits_and_no_other_thread_counts(scratch: ScratchRepository) -> None:
    began = ("protocol=throughput", "protocol.instances=[1,2]", "protocol.server.batch=2")
    instances = changed(sample_records.plan().config.protocol, instances=[1, 2])
    words = words_of(scratch, *began, protocol=instances.stored)
    assert "protocol.instances=null" in words and "protocol=throughput" in words
    assert not [word for word in words if "server" in word or "sweep=null" in word]
    assert not set(began[1:]) & set(words)


def test_a_protocol_without_rounds_is_refused_until_another_is_typed(
    scratch: ScratchRepository,
) -> None:
    untimed = changed(sample_records.plan().config.protocol, name="published", batches=0)
    with pytest.raises(InputError, match="protocol=published, which times no rounds"):
        words_of(scratch, "protocol=published", protocol=untimed.stored)
    plan = replace(
        sample_records.plan(), config=changed(sample_records.plan().config, protocol=untimed.stored)
    )
    for words, refused in (
        (["protocol=careful"], None),
        (["protocol.batches=5"], None),
        (["protocol.seed=2"], "run .* protocol=published, which times no rounds"),
        (["protocol=published"], "^protocol=published, which times no rounds"),
    ):
        typed = Context.of(words, [], Lines())
        if refused is None:
            assert set(words) <= set(turn_words(plan, ROW, METRICS["batch_s"], typed))
            continue
        with pytest.raises(InputError, match=refused):
            turn_words(plan, ROW, METRICS["batch_s"], typed)


def test_models_that_no_turn_measures_again_are_deleted(scratch: ScratchRepository) -> None:
    version = Version(scratch.commit(), "it")
    asides = Asides(scratch.root, scratch.results.parent / "asides")
    asides.add(version, State(version.name))
    turns = Turns(asides, ROW, METRICS["batch_s"], scratch.results / "runs", (), (), version)
    turns.places = turn_places(turns.results, "machine", context_of(scratch))

    def models() -> set[str]:
        return {
            path.parents[2].name[:4] for path in turns.results.glob(f"*/*/methods/{ROW}/model*")
        }

    for anew in (True, False, False, True):
        turns(version, anew)
    assert models() == {"0002"}  # later turns measure that again
    (folder,) = turns.results.glob(f"machine/0002*/methods/{ROW}")
    (folder / "model-scores.npy").touch()  # of an engine's row: no record has it
    turns.drop_models()
    assert models() == set()


def test_checkouts_share_the_environments_of_engines(scratch: ScratchRepository) -> None:
    made = scratch.root / ".venvs-openvino/made"
    made.mkdir(parents=True)
    (made / "environment.json").write_text("{}")
    (scratch.root / ".venv-openvino").symlink_to(made)
    (scratch.root / ".venv-openvino.lock").write_text("")
    (scratch.root / ".gitignore").write_text(".venv*\n")
    engines = scratch.root / "requirements/engines"
    engines.mkdir()
    places = []
    asides = Asides(scratch.root, scratch.results.parent / "asides")
    for text in ("a==1\n", "a==2\n"):  # a lock that does not count for the row
        (engines / "pytorch.lock").write_text(text)
        commit = scratch.commit()
        version = asides.add(Version(commit, "it"), State(commit))
        places.append(asides.place(version, is_reference=False))
        assert (places[-1] / ".venv-openvino").resolve() == made.resolve()
        assert not (places[-1] / ".venv-openvino.lock").exists()
    assert places[0] == places[1]


@pytest.mark.parametrize(
    ("clean", "commit", "message"),
    [
        (False, None, "run bad was measured with changes that were not committed"),
        (True, "0" * 40, "has no commit 000000000000: fetch it"),
    ],
)
def test_a_run_that_no_commit_is_of_is_refused(
    scratch: ScratchRepository, clean: bool, commit: str | None, message: str
) -> None:
    first, second = scratch.commit(), scratch.commit()
    scratch.night("good", first)
    scratch.night("bad", commit or second, clean=clean)
    with pytest.raises(InputError, match=message):
        search(scratch, measure=Simulated(scratch))


def test_a_repository_of_another_user_is_not_said_to_lack_commits(
    scratch: ScratchRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where root searches in the checkout of a service's user."""
    nights(scratch, [scratch.commit(), scratch.commit()])
    others = {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1", "GIT_CONFIG_NOSYSTEM": "1"}
    environment = {**git_environment(), **others, "HOME": str(tmp_path)}
    monkeypatch.setattr("harness.checkout.git.git_environment", lambda: environment)
    owner = scratch.root.owner()
    with pytest.raises(InputError, match=f"dubious ownership .* sudo -u {owner}") as refused:
        search(scratch, measure=Simulated(scratch))
    assert "has no commit" not in str(refused.value)


def test_a_kernel_that_changed_is_only_said(scratch: ScratchRepository) -> None:
    commit = scratch.commit()
    scratch.night("good", commit)
    bad = scratch.night("bad", commit)
    path = bad.path / "plan.json"
    path.write_text(path.read_text().replace('"kernel": "6"', '"kernel": "7"'))
    result = search(scratch, measure=Simulated(scratch))
    assert result.outcome == "nothing changed" and not result.comparisons
    assert "only machine.kernel: was '6', is '7', which no search separates" in result.headline


@pytest.mark.parametrize(
    ("over", "change", "outcome", "key"),
    [
        ("", {"code": "f" * 64}, "not searchable", "code"),
        ("", {"packages": {"own": "1"}}, "not searchable", "packages.own"),
        ("lock", {"packages": {"own": "1"}}, "not searchable", "packages.own"),
        ("lock", {"code": "f" * 64}, "nothing changed", ""),
    ],
)
def test_what_changed_without_a_commit_is_not_called_nothing(
    scratch: ScratchRepository, over: str, change: dict[str, Any], outcome: str, key: str
) -> None:
    commit = scratch.commit()
    scratch.night("good", commit)
    scratch.night("bad", commit, **change)
    result = search(scratch, over=over, measure=Simulated(scratch))
    assert result.outcome == outcome and not result.comparisons and key in result.headline


def test_a_change_that_was_taken_back_is_no_hand_installed_package(
    scratch: ScratchRepository,
) -> None:
    """No commit leads from the good run to the bad one, but many lead back."""
    older, _, newer = scratch.commit(1.2), scratch.commit(), scratch.commit()
    scratch.night("good", newer)
    scratch.night("bad", older)
    result = search(scratch, measure=Simulated(scratch))
    assert result.outcome == "not searchable" and not result.comparisons
    assert (
        f"commit {older[:12]} (Change 1) of run bad has no change that commit {newer[:12]}"
        in result.why
    )
    assert "taken back" in result.why and f"git log {older[:12]}..{newer[:12]}" in result.why
    assert "--conf" not in result.headline and "touches" not in result.headline


def test_commits_that_touch_nothing_measured_were_not_taken_back(
    scratch: ScratchRepository,
) -> None:
    """The bad run's commit is older, and only documents changed since: the kernel did, or --conf."""
    older = scratch.commit()
    (scratch.root / "README.md").write_text("read on\n")
    run_git(scratch.root, "add", ".")
    run_git(scratch.root, "commit", "-qm", "Documents")
    (newer,) = run_git(scratch.root, "rev-parse", "HEAD").splitlines()
    scratch.night("good", newer)
    scratch.night("bad", older, code="f" * 64)
    result = search(scratch, measure=Simulated(scratch))
    assert result.outcome == "not searchable" and "taken back" not in result.why


def test_commits_of_two_branches_are_told_before_the_ends_are_measured(
    scratch: ScratchRepository, capsys: pytest.CaptureFixture[str]
) -> None:
    scratch.commit()
    (own,) = run_git(scratch.root, "branch", "--show-current").splitlines()
    run_git(scratch.root, "checkout", "-q", "-b", "other")
    good = scratch.commit()
    run_git(scratch.root, "checkout", "-q", own)
    bad = scratch.commit(1.2)
    run_git(scratch.root, "merge", "-q", "-s", "ours", "-m", "Merge", "other")
    scratch.night("good", good)
    scratch.night("bad", bad)
    result = search(scratch, measure=Simulated(scratch))
    said = capsys.readouterr().err
    assert said.index(f"commit {good[:12]} (Change 2) is no ancestor of") < said.index("measuring")
    assert result.outcome == "found" and f"commit {bad[:12]}" in result.suspects[0]


def test_a_row_that_is_not_there_is_refused(scratch: ScratchRepository) -> None:
    nights(scratch, [scratch.commit(), scratch.commit()])
    context = context_of(scratch)
    good, bad = (endpoint(context, run) for run in ("good", "bad"))
    with pytest.raises(InputError, match="method=int8: run good has fp32, "):
        check_row(Request(good, bad, METRICS["batch_s"], "int8", "", 5))


def test_a_lock_file_that_only_the_bad_commit_has() -> None:
    now = {"requirements/engines/own.lock": lock_text({"a": "1", "b": "2"})}
    assert with_changes({}, package_changes({}, now)) == now


def test_other_digests_of_the_same_version_are_no_step() -> None:
    """They would cost an environment and turns, and nothing of what is measured differs."""
    name = "requirements/run.lock"
    before = {name: lock_text({"aa": "1", "b": "1"})}
    more = lock_text({"aa": "1"}).replace("1" * 64, "f" * 64)
    now = {name: more + lock_text({"b": "2"})}
    (change,) = package_changes(before, now)
    assert change.said == "b 1 -> 2"
    locked = with_digests(before, now)
    assert locked[name] == more + lock_text({"b": "1"})
    assert with_changes(locked, [change]) == now
    assert with_digests({}, now) == {} and with_digests(now, now) == now


@pytest.mark.parametrize("is_slower", [True, False])
def test_every_version_of_a_search_over_packages_has_the_bad_runs_digests(
    scratch: ScratchRepository, monkeypatch: pytest.MonkeyPatch, is_slower: bool
) -> None:
    """The good one's may be gone from the index; where only they differ, there is no step."""
    lock = scratch.root / "requirements/run.lock"
    first = scratch.commit()
    changed_packages = {"odd": "1", "other": "1", "slow": "2" if is_slower else "1"}
    lock.write_text(lock_text(changed_packages).replace("1" * 64, "f" * 64))
    nights(scratch, [first, scratch.commit()])
    states: dict[str, State] = {}
    add = Asides.add

    def recorded(asides: Asides, version: Version, state: State) -> Version:
        states[version.name] = state
        return add(asides, version, state)

    def measure(version: Version, anew: bool) -> npt.NDArray[Any]:
        noise = 1e-3 * np.random.default_rng(len(states)).standard_normal(4)
        is_slow = "slow==2" in states[version.name].locks["requirements/run.lock"]
        return np.exp(noise) * (1.2 if is_slow else 1.0)

    monkeypatch.setattr(Asides, "add", recorded)
    result = search(scratch, over="lock", measure=measure)
    if is_slower:
        assert (result.outcome, result.suspects) == ("found", ("slow 1 -> 2",))
        texts = [state.locks["requirements/run.lock"] for state in states.values()]
        assert texts and all(text.count("f" * 64) >= 2 for text in texts)
    else:
        assert result.outcome == "nothing changed" and not result.comparisons
        assert "have the same versions" in result.headline


def test_changed_new_and_removed_packages() -> None:
    name = "requirements/run.lock"
    before = {name: lock_text({"a": "1", "b": "1", "c": "1"})}
    now = {name: lock_text({"a": "1", "b": "2", "d": "1"})}
    changes = package_changes(before, now)
    assert [change.said for change in changes] == [
        "b 1 -> 2",
        "c 1 -> not there",
        "d not there -> 1",
    ]
    assert with_changes(before, changes[:1])[name] == lock_text({"a": "1", "b": "2", "c": "1"})
    assert with_changes(before, changes)[name] == now[name]
