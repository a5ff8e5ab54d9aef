"""Engines' environments: made once, made again when broken, never while this checkout measures."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from harness.facts.typed import changed, decode
from harness.run.engine_environments import EngineEnvironment, Engines, engine_environments
from harness.run.session import Session
from harness.setup.environments import Place, SetupError
from harness.storage import outcomes
from harness.storage.configuration import Method
from harness.storage.record import MethodRecord, Outcome
from harness.storage.store import COMMITTED, RunFolder
from helpers.small_project import PYTHON, SmallProject

HAS_ENSUREPIP = not subprocess.run(
    [PYTHON, "-I", "-c", "import ensurepip"], capture_output=True, check=False
).returncode
PACKAGES = ("msgspec", "numpy", "onnx", "psutil")  # that a worker imports


class Silent:
    """A display that shows nothing."""

    def step(self, title: str, *_: object) -> AbstractContextManager[Any]:
        return nullcontext()


def row(engine: str) -> Method:
    described = {"environment": engine, "_target_": "harness.engines.onnxruntime.OnnxRuntime"}
    target = "harness.methods.native.Unoptimized"
    return decode({"label": "a row", "_target_": target, "engine": described}, Method)


def missing(
    engine: str, folders: list[Path], limit: str | None = None, unread: str | None = None
) -> Outcome:
    """Return the outcome of an engine's rows, which have no environment."""
    show = cast(Any, Silent())
    environments = engine_environments({"a": row(engine)}, folders, limit, show, unread)
    outcome = environments[engine].missing
    assert outcome is not None and environments[engine].python is None
    return outcome


@pytest.fixture
def own_lock(tmp_path: Path) -> list[Path]:
    """Return the folders of an engine that is called small, and that no environment was made of."""
    (tmp_path / "engines").mkdir()
    (tmp_path / "engines" / "small.lock").write_text("onnx==1.0\n")
    return [tmp_path]


def test_a_limit_of_onednn_refuses_the_rows_of_engines() -> None:
    outcome = missing("onnxruntime", [], limit="AVX2")
    assert outcome.kind == outcomes.REFUSED and outcome.finished
    assert "max_cpu_isa=AVX2 limits oneDNN" in str(outcome)
    assert "in a run without max_cpu_isa" in str(outcome)


def test_an_affinity_that_libiomp_alone_reads_refuses_the_rows_of_engines() -> None:
    outcome = missing("onnxruntime", [], unread="granularity=fine,compact,1,0")
    assert outcome.kind == outcomes.REFUSED
    assert "threads.affinity=granularity=fine,compact,1,0 is for libiomp5" in str(outcome)
    assert "give threads.affinity=auto, none, or" in str(outcome)


def test_an_old_c_library_is_refused_by_its_version(
    own_lock: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.17"))
    outcome = missing("small", own_lock)
    assert outcome.kind == outcomes.REFUSED
    assert "small need glibc 2.28, and this system has 2.17" in str(outcome)


def test_a_lock_that_is_missing_is_named() -> None:
    outcome = missing("unheard", [])
    assert outcome.kind == outcomes.FAILED and not outcome.finished
    assert "there is no unheard.lock" in str(outcome) and "--conf DIR" in str(outcome)


def test_a_lock_with_the_name_of_a_project_s_is_refused(own_lock: list[Path]) -> None:
    (own_lock[0] / "engines" / "onnxruntime.lock").write_text("onnx==1.0\n")
    outcome = missing("onnxruntime", own_lock)
    assert outcome.kind == outcomes.FAILED
    assert f"{own_lock[0] / 'engines' / 'onnxruntime.lock'} have one name" in str(outcome)
    assert "give yours another one, and name that in your rows" in str(outcome)
    assert missing("onnxruntime", [own_lock[0]] * 2) == outcome


def test_what_this_process_measures_itself_later_is_not_disturbed(tmp_path: Path) -> None:
    place = Place(tmp_path, "small")
    place.require_nothing_measured()
    place.hold_measuring()
    place.require_nothing_measured()
    holds = (
        "import sys; from pathlib import Path; from harness.setup.environments import Place; "
        "Place(Path(sys.argv[1])).hold_measuring(); print('holds', flush=True); input()"
    )
    command = [sys.executable, "-c", holds, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout and other.stdout.readline() == "holds\n"
        with pytest.raises(SetupError, match=r"another run\.sh of this checkout measures now"):
            place.require_nothing_measured()
        other.communicate("\n")
    place.require_nothing_measured()


def test_a_row_whose_environment_is_gone_is_not_measured_in_another(tmp_path: Path) -> None:
    """Its model was made before: a run that goes on asks for the environment again."""
    plan = RunFolder(COMMITTED / "published").load_plan()
    assert plan is not None
    config = changed(plan.config, method={"a": row("small").stored})
    failed = Outcome(outcomes.FAILED, "no network")
    engines = Engines({"small": EngineEnvironment(missing=failed)}, {}, [])
    nothing = cast(Any, None)
    session = Session(
        replace(plan, config=config), RunFolder(tmp_path / "m" / "r"), nothing, {}, engines, {},
        cast(Any, Silent()), nothing,
    )  # fmt: skip
    record = MethodRecord(plan.run, "a", "a row", 0, Outcome(outcomes.OK))
    timed = session.measure(record, 1, 1)
    assert timed.outcome == failed and timed.facts is None
    assert session._optimize(record, None).outcome == failed
    before = RunFolder(COMMITTED / "published").load_records()[1]
    assert before.optimize and before.validate and before.profile
    again = session._optimize(record, before)  # and nothing that was measured before is lost
    assert again.outcome == failed
    assert (again.optimize, again.validate, again.profile, again.history) == (
        before.optimize, before.validate, before.profile, before.history
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(not HAS_ENSUREPIP, reason="this Python's pip would come from the network")
def test_set_up_makes_an_engines_environment_and_makes_a_broken_one_again(tmp_path: Path) -> None:
    project = SmallProject.written(tmp_path / "project")
    project.engine("small", PACKAGES)
    set_up = ("run", "--set-up", "small")
    unknown = project("run", "--set-up", "large")
    assert unknown.returncode == 2 and "there is no large.lock" in unknown.stderr
    assert not project.environments

    first = project(*set_up)
    assert first.returncode == 0 and "the environment of small is ready" in first.stderr
    again = project(*set_up)
    assert (again.returncode, again.stderr) == (0, "")

    (package,) = (project.root / ".venv-small").glob("lib/*/site-packages/psutil.py")
    package.unlink()
    with project.start("benchmark", "wait") as run:
        assert run.stdin and run.stdout and json.loads(run.stdout.readline())
        refused = project(*set_up)
        assert refused.returncode == 3 and "measures now" in refused.stderr
        run.stdin.write("\n")
        run.stdin.flush()
    mended = project(*set_up)
    assert mended.returncode == 0 and "the environment of small is ready" in mended.stderr
    assert len(list((project.root / ".venvs-small").iterdir())) == 1

    shutil.rmtree(project.root / ".venv-small" / "bin")
    project.offline()
    offline = project(*set_up)
    assert offline.returncode == 3
    assert "does not start" in offline.stderr and "so a new one is needed" in offline.stderr
    assert "pip could not install" in offline.stderr and "Check the network" in offline.stderr


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            SetupError("pip could not. What pip said:\n  no match\n  for it"),
            "said: no match for it",
        ),
        (OSError(28, "No space left on device"), "writable, with 1 GB free?"),
    ],
)
def test_what_failed_is_one_line_that_says_what_to_do(
    own_lock: list[Path], monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    def fails(_: Path) -> None:
        raise error

    monkeypatch.setattr("harness.run.engine_environments.ready_engine", fails)
    outcome = missing("small", own_lock)
    assert outcome.kind == outcomes.FAILED and outcome.reason is not None
    assert outcome.reason.endswith(words) and "\n" not in outcome.reason
