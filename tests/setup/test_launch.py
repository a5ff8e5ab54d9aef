"""run.sh and the environments behind it, with real processes, locks and pip on tiny packages."""

from __future__ import annotations

import errno
import json
import mmap
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from harness import __version__
from harness.command_line.verbs import all_verbs
from harness.config import compose_config
from harness.errors import InputError
from harness.process.variables import TO_WORKERS, cache_home, passed_on, passed_to_workers
from harness.run.context import Context
from harness.run.other_checkout import measure_pinned
from harness.setup import environments
from harness.setup.environments import Place
from harness.storage.store import RunFolder
from helpers.refused_calls import refuse
from helpers.small_project import LOCKED, PYTHON, SmallProject

HAS_ENSUREPIP = not subprocess.run(
    [PYTHON, "-I", "-c", "import ensurepip"], capture_output=True, check=False
).returncode
has_ensurepip = pytest.mark.skipif(
    not HAS_ENSUREPIP, reason="this Python has no ensurepip: its pip would come from the network"
)


def real(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that makes an environment, which takes seconds."""
    return pytest.mark.slow(has_ensurepip(test))


FORKS = (56, 57, 58, 435)  # clone, fork, vfork, clone3
FLOCK = 73


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SmallProject:
    """A project with an environment; tests work on copies."""
    project = SmallProject.written(tmp_path_factory.mktemp("made") / "a project, (1)")
    done = project("benchmark", "facts")
    assert done.returncode == 0, done.stderr
    return project


@pytest.fixture
def project(made: SmallProject, tmp_path: Path) -> SmallProject:
    return made.copied(tmp_path / "a project, (1)")


# --- what an environment is ---------------------------------------------------------------------


@real
def test_an_interpreter_is_the_same_however_it_is_spelled(
    project: SmallProject, tmp_path: Path
) -> None:
    before = project.published
    shims = tmp_path / "shims"
    shims.mkdir()
    (shims / "python3.11").write_text(
        f'#!/bin/bash\nexport PATH={Path(PYTHON).parent}:$PATH\nexec {shlex.quote(PYTHON)} "$@"\n'
    )
    (shims / "python3.11").chmod(0o755)
    (tmp_path / "link").symlink_to(PYTHON)
    inside = project.root / ".venv" / "bin" / "python"  # an environment of this very Python
    for named in ("python3.11", "../shims/python3.11", str(tmp_path / "link"), str(inside)):
        path = f"{shims}:{os.environ['PATH']}"
        if named.startswith(".."):
            named = os.path.relpath(shims / "python3.11", project.root.parent)
        done = project("benchmark", "facts", variables={"HARNESS_PYTHON": named, "PATH": path})
        assert (done.returncode, done.stderr) == (0, ""), named
    for file in project.root.glob("requirements/*"):
        os.utime(file, (1, 1))
    assert project.facts()["prefix"].endswith(f".venvs/{before}")
    assert project.environments == {before}


@real
def test_other_contents_are_another_environment(project: SmallProject) -> None:
    before = project.published
    for changed in ("requirements/build.lock", "harness/setup/setup_env.py"):
        kept = (project.root / changed).read_text()
        assert project("table", "--set-up").stderr == ""
        (project.root / changed).write_text(f"{kept}# changed\n")
        assert "made for other lock files" in project("table", "--set-up").stderr, changed
        assert project.environments == {before}
        if changed.startswith("requirements"):
            (project.root / changed).write_text(kept)
    done = project("benchmark", "facts")
    assert "the environment is ready" in done.stderr
    assert project.environments == {project.published} != {before}


@real
@pytest.mark.parametrize("refused", ["fork", "lock", "stamp"])
def test_an_identity_that_cannot_be_told_stops_and_changes_nothing(
    project: SmallProject, refused: str
) -> None:
    before = project.environments
    path = {
        "lock": project.root / "requirements" / "run.lock",
        "stamp": project.root / ".venv" / "environment.json",
    }.get(refused)
    if path is not None:  # a folder cannot be read, not by root either
        path.unlink()
        path.mkdir()
    limits = partial(refuse, errno.ENOMEM, *FORKS) if refused == "fork" else None
    for verb in ("table", "nightly"):
        done = project(verb, "--set-up", before=limits)
        assert done.returncode == 3, done.stderr
        assert done.stderr
    assert project.environments == before


@real
def test_python_that_cannot_fork_stops_and_changes_nothing(project: SmallProject) -> None:
    before = project.environments
    with (project.root / "requirements" / "run.lock").open("a") as file:
        file.write("# changed\n")
    entry = project.root / "harness" / "__main__.py"
    for verb in ("table", "nightly"):
        done = subprocess.run(
            [PYTHON, "-I", entry, "set-up", verb],
            env=project.variables,
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=partial(refuse, errno.EAGAIN, *FORKS),
        )
        assert done.returncode == 3
        assert "temporarily unavailable" in done.stderr
        assert project.environments == before


@real
def test_a_file_system_without_locks_is_lived_with(project: SmallProject) -> None:
    before = project.environments
    without = partial(refuse, errno.ENOLCK, FLOCK)
    assert project("table", "--set-up", before=without).returncode == 0
    project.lock("run", "2.0")
    done = project("benchmark", "facts", before=without)
    assert done.returncode == 0 and "has no locks" in done.stderr
    assert project.environments > before  # nobody can tell whether they are in use


# --- who uses them ------------------------------------------------------------------------------


@real
@pytest.mark.parametrize("cause", ["run.lock", "test"])
def test_no_environment_is_made_while_something_measures(project: SmallProject, cause: str) -> None:
    before = project.published
    with project.start("benchmark", "wait") as run:
        assert run.stdin and run.stdout
        assert json.loads(run.stdout.readline())["prefix"].endswith(before)
        if cause == "run.lock":
            project.lock("run", "2.0")
        words = ["test"] if cause == "test" else ["benchmark", "facts"]
        refused = project(*words)
        assert refused.returncode == 3
        assert "measures now" in refused.stderr and "start this again" in refused.stderr
        assert project.environments == {before}
        assert project("table", "--set-up").returncode == 0  # which takes the one there is
        run.stdin.write("\n")
        run.stdin.flush()
        assert json.loads(run.stdout.readline()) == ["1.0", "1.0"]
    assert project(*words).returncode == (1 if cause == "test" else 0)
    assert project.environments == {project.published} != {before}


@real
def test_two_may_measure_in_one_environment(project: SmallProject) -> None:
    with project.start("benchmark", "wait") as run:
        assert run.stdin and run.stdout and run.stdout.readline()
        assert project.facts()["prefix"].endswith(project.published)
        run.stdin.write("\n")
        run.stdin.flush()


@real
def test_first_starts_at_once_make_one(tmp_path: Path) -> None:
    project = SmallProject.written(tmp_path / "fresh")
    started = [project.start("benchmark", "facts") for _ in range(2)]
    told = [process.communicate() for process in started]
    assert [process.returncode for process in started] == [0, 0], told
    assert sum("the environment is ready" in err for _, err in told) == 1
    assert len({json.loads(out)["prefix"] for out, _ in told}) == 1
    assert project.environments == {project.published}


@real
@pytest.mark.parametrize("step", ["build.lock", "run.lock"])
def test_a_killed_set_up_leaves_the_old_environment_and_is_cleaned_by_the_next(
    project: SmallProject, step: str
) -> None:
    before = project.published
    project.lock("run", "2.0")
    with project.start("nightly") as killed:
        assert killed.stderr
        for line in killed.stderr:
            if f"installing requirements/{step}" in line:
                break
        killed.kill()
    assert killed.returncode == -signal.SIGKILL
    assert project.published == before
    done = project("table", "--set-up")
    assert (done.returncode, len(done.stderr.splitlines())) == (0, 1)
    assert project.facts()["packages"]["smallrun"] == "2.0"
    assert project.environments == {project.published}


@real
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_set_up_ends_with_3_and_leaves_nothing(
    project: SmallProject, number: signal.Signals
) -> None:
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("the signal is ignored here, as under nohup, and so by what is started")
    before = project.environments
    project.lock("run", "2.0")
    with project.start("nightly") as stopped:
        assert stopped.stderr
        for line in stopped.stderr:
            if "installing" in line:
                break
        stopped.send_signal(number)
        stopped.communicate()
    assert stopped.returncode == 3
    assert project.environments == before


@real
def test_a_set_up_that_fails_leaves_the_old_environment(project: SmallProject) -> None:
    before = project.environments
    project.lock("run", "2.0")
    project.offline()
    for words in (["nightly"], ["test"]):
        done = project(*words)
        assert done.returncode == 3
        assert "PIP_INDEX_URL" in done.stderr
        assert project.environments == before
    nowhere = {"PIP_CERT": "/nowhere"}  # which fails before anything is installed
    for words in (["run"], [], ["run.id=x"], ["benchmark", "facts"]):
        done = project(*words, variables=nowhere)
        assert done.returncode == 3
        assert "PIP_CERT=/nowhere" in done.stderr
        assert project.environments == before
    done = project("history", "--set-up")
    assert done.returncode == 0
    assert len(done.stderr.splitlines()) == 1 and "only reads" in done.stderr


@real
def test_a_verb_that_only_reads_makes_an_environment_only_if_told_to(
    project: SmallProject,
) -> None:
    python = project.root / ".venv" / "bin" / "python"
    python.unlink()
    python.write_text("#!/bin/sh\nexit 1\n")
    python.chmod(0o755)
    before = project.environments
    for verb in ("table", "report", "doctor", "history"):
        done = project(verb, "published")
        assert done.returncode == 3 and "type ./run.sh run --set-up" in done.stderr
        assert project.environments == before
    done = project("table", "--set-up")
    assert done.returncode == 0 and "a new one is needed" in done.stderr
    (project.root / ".venv").unlink()
    done = project("table", "--set-up")
    assert done.returncode == 0 and "the environment is ready" in done.stderr
    assert project.environments == {project.published}


@real
def test_an_environment_for_the_tests_serves_every_verb(project: SmallProject) -> None:
    assert "the environment is ready" in project("test").stderr
    for words in (["benchmark", "facts"], ["fleet", "--set-up"], ["table", "--set-up"], ["test"]):
        assert not project(*words).stderr
    assert set(LOCKED.values()) <= project.facts()["packages"].keys()
    assert project.environments == {project.published}


def test_every_verb_either_measures_or_reads() -> None:
    reads = {"table", "report", "compare", "doctor", "cache", "pack", "import", "verify",
             "history", "acknowledge", "completion", "list", "export"}  # fmt: skip
    verbs = all_verbs()
    assert {verb.name for verb in verbs if not verb.measures} == reads
    assert all(verb.measures for verb in verbs if verb.level != "run")


# --- links and folders --------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(os, "sync", lambda: None)  # it may take long on a busy machine
    return Place(tmp_path)


def finished(place: Place) -> Path:
    path = place.new("0123456789abcdef0123")
    (path / environments.STAMP).write_text("{}")
    return path


def test_there_is_an_environment_at_every_moment(place: Place) -> None:
    earlier = place.link
    (earlier / "bin").mkdir(parents=True)  # as an earlier version made it
    (earlier / "bin" / "python").touch()
    seen, missing = threading.Event(), []
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            if not place.link.exists():
                missing.append(place.link)
            seen.set()

    watcher = threading.Thread(target=look)
    watcher.start()
    seen.wait()
    for _ in range(100):
        path = finished(place)
        (path / "bin").mkdir()
        place.publish(path)
        place.clear()
    ended.set()
    watcher.join()
    assert not missing
    assert [each.name for each in place.folder.iterdir()] == [path.name]


def test_what_is_held_stays_and_goes_when_it_is_not(place: Place) -> None:
    place.publish(finished(place))
    held = place.published()
    assert held and held.lock is not None
    place.publish(finished(place))
    place.clear()
    assert held.path.is_dir()
    held.release()
    place.clear()
    assert not held.path.exists()


def test_what_an_earlier_version_made_stays_while_a_process_uses_it(place: Place) -> None:
    place.link.mkdir()
    library = place.link / "library.so"
    library.write_bytes(b"x" * mmap.PAGESIZE)
    with library.open("rb") as file:
        used = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    place.publish(finished(place))
    place.clear()
    assert len(list(place.folder.glob("*/library.so"))) == 1
    used.close()
    place.clear()
    assert not list(place.folder.glob("*/library.so"))


KILLED = """
import os, signal, sys
from pathlib import Path
from harness.setup.environments import Place
place = Place(Path(sys.argv[1]))
at = sys.argv[2]
os.sync = lambda: None
def dies(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
if at == "sync":
    os.sync = dies
elif at == "replace":
    Path.replace = dies
elif at == "clear":
    place.clear = dies
path = place.new("f" * 64)
(path / "environment.json").write_text("{}")
place.publish(path)
place.clear()
"""


@pytest.mark.parametrize("step", ["sync", "replace", "clear"])
def test_a_kill_while_it_is_published_leaves_one_that_is_whole(place: Place, step: str) -> None:
    place.publish(finished(place))
    code = subprocess.run([sys.executable, "-c", KILLED, place.link.parent, step], check=False)
    assert code.returncode == -signal.SIGKILL
    found = place.published()
    assert found and (found.path / environments.STAMP).exists()
    found.release()
    place.clear(unfinished=True)
    place.publish(finished(place))
    place.clear()
    assert len(list(place.folder.iterdir())) == 1


# --- variables ----------------------------------------------------------------------------------

LEAKS = {
    "PYTHONSAFEPATH": "1",
    "PYTHONPATH": "/somewhere",
    "PYTHONHOME": "/nowhere",
    "PYTHONINSPECT": "1",
    "PYTHONSTARTUP": "/nowhere",
    "PYTHONWARNINGS": "error",
    "PYTHONOPTIMIZE": "2",
    "PYTHONPLATLIBDIR": "nolib",
    "PYTHONUSERBASE": "/nowhere",
    "PYTHONEXECUTABLE": "/nowhere/python",
    "PYTHONIOENCODING": "ascii",
    "PIP_USER": "1",
    "PIP_TARGET": "/nowhere",
    "PIP_PREFIX": "/nowhere",
    "PIP_ROOT": "/nowhere",
    "PIP_REQUIRE_VIRTUALENV": "1",
    "PIP_ONLY_BINARY": "nothing",
    "PIP_NO_BINARY": ":all:",
    "PIP_CONSTRAINT": "/nowhere.txt",
    "PIP_REQUIREMENT": "/nowhere.txt",
    "PIP_DRY_RUN": "1",
    "PIP_PYTHON": "/nowhere/python",
    "PIP_VERBOSE": "3",
    "PIP_FORMAT": "json",
    "VIRTUAL_ENV": "/nowhere",
    "CONDA_PREFIX": "/nowhere",
    "SETUPTOOLS_USE_DISTUTILS": "stdlib",
    "HYDRA_FULL_ERROR": "1",
    "HYDRA_MAIN_MODULE": "x",
    "OMP_NUM_THREADS": "1",
    "OMP_PLACES": "{0}",
    "KMP_AFFINITY": "compact",
    "MKL_NUM_THREADS": "1",
    "GOMP_CPU_AFFINITY": "0",
    "OPENBLAS_NUM_THREADS": "1",
    "MXNET_CPU_WORKER_NTHREADS": "1",
    "MXNET_SUBGRAPH_BACKEND": "NONE",
    "ONEDNN_VERBOSE": "1",
    "DNNL_MAX_CPU_ISA": "SSE41",
    "FORCE_BF16": "1",
    "MPLBACKEND": "nonsense",
    "MATPLOTLIBRC": "/nowhere",
    "GIT_DIR": "/nowhere",
    "CDPATH": "/tmp",
    "GREP_OPTIONS": "-v",
    "POSIXLY_CORRECT": "1",
    "GLOBIGNORE": "*",
    "SHELLOPTS": "errexit:nounset",
    "BASHOPTS": "nullglob",
    "LD_PRELOAD": "",
    "LD_BIND_NOW": "1",
    "MALLOC_ARENA_MAX": "1",
    "GLIBC_TUNABLES": "glibc.malloc.arena_max=1",
    "PYTEST_ADDOPTS": "--no-such-option",
    "AWS_SECRET_ACCESS_KEY": "a secret",
}
PASSED = {
    "AWS_EC2_METADATA_DISABLED": "true",
    "CI": "true",
    "COLUMNS": "77",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "INC_BENCH_MINE": "a word",
    "LANG": "C.UTF-8",
    "LC_TIME": "C",
    "LD_LIBRARY_PATH": "/some/libraries",
    "MXNET_GLUON_REPO": "https://localhost/",
    "NO_COLOR": "1",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "RAY_ADDRESS": "10.0.0.1:6379",
    "TERM": "xterm",
    "XDG_CACHE_HOME": "/some/cache",
    "http_proxy": "",
    "no_proxy": "localhost",
}


@real
def test_no_variable_of_the_shell_leaks_into_set_up_or_harness(tmp_path: Path) -> None:
    project = SmallProject.written(tmp_path / "fresh")
    configuration = tmp_path / "pip.conf"
    configuration.write_text("[global]\nuser = true\ntarget = /nowhere\nno-index = false\n")
    theirs = project.root / ".config" / "pip"  # the user's own, which says where the index is, too
    theirs.mkdir(parents=True)
    wheels = project.variables.pop("PIP_FIND_LINKS")
    (theirs / "pip.conf").write_text(f"[install]\nprefix = /nowhere\nfind-links = {wheels}\n")
    shell = tmp_path / "shell"
    shell.write_text("exit 1\n")
    files = {"BASH_ENV": str(shell), "ENV": str(shell), "PIP_CONFIG_FILE": str(configuration)}
    functions = {"BASH_FUNC_realpath%%": "() { exit 1; }", "BASH_FUNC_type%%": "() { exit 1; }"}
    found = project.facts(**LEAKS, **files, **functions, **PASSED)
    assert found["packages"]["smallrun"] == "1.0"
    seen = found["variables"]
    assert not {*LEAKS, *files, *functions} & seen.keys()
    libraries = seen.pop("LD_LIBRARY_PATH")
    assert libraries.split(":")[-1] == PASSED["LD_LIBRARY_PATH"]
    assert {name: seen[name] for name in PASSED if name != "LD_LIBRARY_PATH"} == {
        name: value for name, value in PASSED.items() if name != "LD_LIBRARY_PATH"
    }
    assert seen.keys() <= {*PASSED, *project.variables, "LC_CTYPE"}


def test_a_workers_variables_are_some_of_the_harness() -> None:
    dirty = {**LEAKS, **PASSED, "HOME": "/root", "PATH": "/bin", "RAY_AUTH_TOKEN": "a secret"}
    harness, workers = passed_on(dirty), passed_to_workers(dirty)
    assert workers.items() <= harness.items()
    assert {*workers} <= {*TO_WORKERS}
    assert "RAY_AUTH_TOKEN" in harness and "RAY_AUTH_TOKEN" not in workers


@pytest.mark.parametrize("value", [None, "", ".", "a/b", "~/cache"])
@pytest.mark.parametrize("home", [None, "", "relative", "/home/user"])
def test_a_folder_that_is_empty_or_relative_counts_as_unset(
    value: str | None, home: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, given in {"XDG_CACHE_HOME": value, "HOME": home, "TMPDIR": value}.items():
        if given is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, given)
    import pwd

    own = pwd.getpwuid(os.getuid()).pw_dir
    expected = "/home/user" if home == "/home/user" else own
    assert cache_home() == f"{expected}/.cache"
    assert compose_config([]).config.stored["run"]["cache"] == f"{expected}/.cache/inc-bench"
    assert not {"TMPDIR", "XDG_CACHE_HOME"} & passed_on(os.environ).keys()
    assert ("HOME" in passed_to_workers(os.environ)) == (home == "/home/user")


def test_a_users_variable_that_is_not_passed_on_is_explained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("INC_BENCH_IMAGES", "64")
    found = compose_config(["+workload.images=${oc.env:INC_BENCH_IMAGES}"]).config.stored
    assert found["workload"]["images"] in (64, "64")
    monkeypatch.delenv("SOME_IMAGES", raising=False)
    with pytest.raises(InputError, match=r"begin with INC_BENCH_: use .*INC_BENCH_SOME_IMAGES"):
        compose_config(["+workload.images=${oc.env:SOME_IMAGES}"])


SEEN = '#!/bin/sh\nenv >"$INC_BENCH_SEEN"\nexit 1\n'


@pytest.mark.parametrize(
    ("script", "mode", "message"),
    [
        (SEEN, 0o755, "ended with exit code 1"),
        ("#!/no/such/shell\n", 0o755, "cannot be started"),
        (SEEN, 0o644, "cannot be started"),
    ],
)
def test_another_checkout_gets_the_same_variables_and_its_exit_code_is_no_verdict(
    script: str, mode: int, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.render.progress import display

    seen = tmp_path / "seen"
    for name, value in {**LEAKS, "INC_BENCH_SEEN": str(seen)}.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "run.sh").write_text(script)
    (tmp_path / "run.sh").chmod(mode)
    words = [f"nightly.pinned={tmp_path}", f"run.results={tmp_path}"]
    context = Context.of(words, [], display())
    with pytest.raises((InputError, Exception), match=message):
        measure_pinned(context, [], RunFolder(tmp_path / "m" / "r"), "./run.sh nightly")
    if mode == 0o755 and script == SEEN:
        assert not LEAKS.keys() & {line.split("=")[0] for line in seen.read_text().splitlines()}


# --- exit codes and signals ---------------------------------------------------------------------


def breaking(path: str, text: str | None) -> partial[None]:
    def do(path: str, text: str | None, project: SmallProject) -> None:
        for file in project.root.glob(path):
            if text is None:
                file.unlink() if file.is_file() else shutil.rmtree(file)
            else:
                file.write_text(text)

    return partial(do, path, text)


@real
@pytest.mark.parametrize("text", [None, "", "def broken(:\n", "raise RuntimeError\n"])
@pytest.mark.parametrize(
    "path",
    ["harness/__main__.py", "harness/setup/launch.py", "harness/setup/setup_env.py", "harness/cli.py",
     "harness/errors.py", "harness/commands/nightly.py", "harness/__init__.py", "harness"],
)  # fmt: skip
def test_what_fails_before_a_verdict_ends_with_3(
    path: str, text: str | None, project: SmallProject
) -> None:
    if path == "harness" and text is not None:
        pytest.skip("a folder has no text")
    if path == "harness/__init__.py" and not text:
        pytest.skip("an empty package is whole")
    breaking(path, text)(project)
    before = project.environments
    done = project("nightly", "run.id=x")
    is_no_verb = path == "harness/commands/nightly.py" and text is None
    assert done.returncode == (2 if is_no_verb else 3), done.stderr
    assert done.stderr
    assert project.environments == before or path == "harness/setup/setup_env.py"


@pytest.mark.parametrize("python", ["/bin/false", "/bin/true", "/bin/echo", "/no/such/python"])
def test_a_python_that_is_none_ends_with_3(python: str, tmp_path: Path) -> None:
    project = SmallProject.written(tmp_path / "fresh")
    done = project("nightly", variables={"HARNESS_PYTHON": python})
    assert done.returncode == 3
    assert "HARNESS_PYTHON=" in done.stderr and python in done.stderr
    assert not (project.root / ".venv").exists()


@real
def test_exit_codes(project: SmallProject) -> None:
    for word, code in [("0", 0), ("1", 1), ("2", 2), ("raise", 3), ("import", 3), ("text", 3)]:
        assert project("benchmark", "ends", word).returncode == code, word
    for words in (["benchmark"], ["benchmark", "no.such"], ["benchmark", "../ends"], ["--nosuch"]):
        done = project(*words)
        assert done.returncode == 2, words
        assert done.stderr.startswith(("run.sh: error: benchmark: name", "error: --nosuch"))
    done = project("test", "-k", "two words")  # pytest's own: tests failed
    assert (done.returncode, done.stdout) == (1, "tests ['-k', 'two words']\n")
    assert project("test", "quick", "-x").stdout == "tests ['-m', 'not slow', '-x']\n"
    done = project("test-faults")  # there are none in this project
    assert done.returncode == 3 and "faults" in done.stderr


@real
def test_run_sh_becomes_what_it_starts(project: SmallProject) -> None:
    with project.start("benchmark", "facts") as run:
        out, _ = run.communicate()
    assert json.loads(out)["pid"] == run.pid
    for number in (signal.SIGINT, signal.SIGTERM):
        with project.start("benchmark", "signals", number.name) as run:
            assert run.stdout and run.stdout.readline() == "ready\n"
            run.send_signal(number)
            assert run.stdout.readline() == "interrupted\n"
        assert run.returncode == 7


@real
def test_a_link_to_run_sh_serves(project: SmallProject, tmp_path: Path) -> None:
    (tmp_path / "bench").symlink_to(project.root / "run.sh")
    done = subprocess.run(
        [tmp_path / "bench", "table", "--help"],
        env=project.variables, cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith("usage:")


def test_help_needs_no_environment(tmp_path: Path) -> None:
    project = SmallProject.written(tmp_path / "fresh")
    for words in (["--help"], ["-h"], ["help"], ["fleet", "--help"], ["test", "--help"]):
        done = project(*words)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("usage:")
    assert project("--version").stdout == f"inc-bench {__version__}\n"
    for words, says in (
        (["reprot"], "did you mean report?"),
        (["--protocol", "quick"], "type protocol=quick"),
    ):
        done = project(*words)
        assert done.returncode == 2 and says in done.stderr
    assert not (project.root / ".venv").exists() and not (project.root / ".venvs").exists()
