"""The verbs: found by their package, each with its help, its words sorted, mistyped ones proposed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import PROJECT
from harness.bisect import bisection
from harness.cli import call, main
from harness.command_line import verbs
from harness.command_line.parsing import parse
from harness.command_line.verb import METRICS, RUN, Argument, Flag, Verb
from harness.command_line.verbs import all_verbs, chosen, find_verb
from harness.config import compose_config
from harness.errors import InputError, proposal
from harness.facts.nested import flattened
from harness.nightly import entry
from helpers.command_line import PATIENCE_S

NAMES = [verb.name for verb in all_verbs()]
EXAMPLE = f"run.results={PROJECT / 'results'}"
Printed = Callable[..., str]


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Printed:
    """Return a function that runs a command line and gives what it printed."""

    def run(*words: str, code: int = 0) -> str:
        assert main(words) == code
        streams = capsys.readouterr()
        return streams.out or streams.err

    return run


def test_a_verb_has_the_name_of_its_module() -> None:
    modules = {path.stem.rstrip("_").replace("_", "-") for path in verbs._modules()}
    assert sorted(modules) == sorted(NAMES)
    for name in NAMES:
        verb = find_verb(name)
        assert verb is not None and verb.name == name
        assert (verb.call is None) != (verb.program is None)
    assert find_verb("../run") is find_verb("no-such") is find_verb("") is None


def test_verbs_name_the_metrics_that_nights_judge_and_searches_take() -> None:
    assert METRICS == entry.METRICS == tuple(bisection.METRICS)


@pytest.mark.parametrize("name", NAMES)
def test_every_verb_has_help(name: str, printed: Printed) -> None:
    verb = find_verb(name)
    assert verb is not None
    for words in ([name, "--help"], [name, "-h"]):
        text = printed(*words)
        assert text.startswith(f"usage: ./run.sh {name}")
        assert max(map(len, text.splitlines())) <= 106
        assert "examples:" in text
        for argument in verb.arguments:
            assert f"{argument.name}={argument.value}" in text
            assert argument.required or argument.repeats or "(default: " in text
        assert ("exit codes:" in text) == (verb.program is None)
    assert f"  {name} " in printed("--help") and verb.summary in printed("--help")


def test_help_of_a_verb_is_asked_for_in_any_place(printed: Printed) -> None:
    text = printed("table", "--help")
    assert text == printed("help", "table") == printed("table", "published", "--help")
    assert printed("--help") == printed("help") == printed("run.id=x", "--help")


@pytest.mark.parametrize("words", [["--help"], ["nightly", "--help"], ["test", "--help"]])
def test_help_needs_the_standard_library_alone(words: list[str]) -> None:
    code = "import sys; sys.path.insert(0, sys.argv.pop(1)); from harness.cli import main\nmain()"
    done = subprocess.run(
        [sys._base_executable, "-I", "-S", "-c", code, str(PROJECT), *words],  # type: ignore[attr-defined]
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("usage: ./run.sh")


def test_a_new_verb_is_one_file(tmp_path: Path) -> None:
    shutil.copytree(
        PROJECT / "harness", tmp_path / "harness", ignore=shutil.ignore_patterns("__pycache__")
    )
    shutil.copytree(PROJECT / "conf", tmp_path / "conf")
    (tmp_path / "harness" / "commands" / "count_runs.py").write_text(
        "from harness.command_line.verb import Verb\n\n\n"
        "def call(words, context):\n"
        "    print(len(list(context.results.glob('*/*/plan.json'))))\n"
        "    return 0\n\n\n"
        "VERB = Verb(name='count-runs', rank=35, summary='how many runs there are', call=call)\n"
    )

    def run(*words: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "harness", *words],
            cwd=tmp_path, capture_output=True, text=True, check=True, timeout=PATIENCE_S,
        ).stdout  # fmt: skip

    runs = len(list((PROJECT / "results").glob("*/*/plan.json")))  # the example, and the user's
    assert run("count-runs", EXAMPLE) == f"{runs}\n"
    assert "  count-runs   how many runs there are\n" in run("--help")
    assert run("count-runs", "--help").startswith("usage: ./run.sh count-runs [KEY=VALUE ...]")


# --- words

VERB = Verb(
    name="some",
    rank=1,
    summary="for tests",
    call=lambda words, context: 0,
    arguments=(
        RUN,
        Argument("to", "FILE", "where to", "here"),
        Argument("price.MACHINE", "N", "a price"),
    ),
    flags=(Flag("--force", "all the same"),),
    first=("experiment=nightly",),
)


def test_a_key_that_is_left_out_needs_no_value() -> None:
    run = find_verb("run")
    assert run is not None and chosen(["~method.fp32_as_released"]) is run
    words = ["~method.fp32_as_released", "protocol=quick"]
    assert parse(run, words).overrides == tuple(words)
    assert "fp32_as_released" not in compose_config(words).config.method


def test_words_are_sorted() -> None:
    typed = [
        "r",
        "a.b=1",
        "--force",
        "+c=2",
        "price.m-1=3",
        "~d",
        "to='x y'",
        "--conf",
        "/f",
        "e=1",
    ]
    with pytest.raises(InputError, match="~d: run=r is given"):
        parse(VERB, typed)  # as every word without =
    typed.remove("~d")
    words = parse(VERB, typed)
    assert (words["run"], words["to"]) == ("r", "x y")
    assert words.beginning("price.") == {"m-1": "3"}
    assert words.flags == {"--force"}
    assert words.overrides == ("experiment=nightly", "a.b=1", "+c=2", "e=1")
    assert words.folders == (Path("/f"),)
    assert words.typed == tuple(word for word in typed if word not in ("--conf", "/f"))
    words = parse(VERB, ["run=m/r", "experiment=smoke"])
    assert (words["run"], words["to"]) == ("m/r", "here")
    assert words.overrides == ("experiment=smoke",)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "give run=...: type ./run.sh some latest, or an id that ./run.sh list shows; see"),
        (["rnu=x"], r"give run=... \(did you mean run=\?\)"),
        (["a", "b"], "b: run=a is given: name one"),
        (["a", "--forse"], r"--forse: there is no such option \(did you mean --force\?\)"),
        (["a", "--forse"], r"see \./run\.sh some --help$"),
        (["a", "-5"], "-5: there is no such option; see"),
        (["a", "--"], "--: there is no such option; see"),
        (["a", "--conf"], "--conf needs a folder"),
    ],
)
def test_words_that_are_wrong(words: list[str], says: str) -> None:
    with pytest.raises(InputError, match=says):
        parse(VERB, words)


@pytest.mark.parametrize("verb", ["table", "verify", "report", "pack"])
def test_the_name_of_a_run_does_without_its_key(verb: str, tmp_path: Path) -> None:
    for word in ("nothing", "run=nothing", "machine/nothing"):
        with pytest.raises(InputError, match=f"no run .*nothing under {tmp_path}: there is none"):
            call([verb, word, f"run.results={tmp_path}"])


def test_runs_are_compared_by_bare_names_and_by_keys(tmp_path: Path) -> None:
    for words in (["one", "two"], ["run=one", "run=two"], ["run=one", "two"]):
        with pytest.raises(InputError, match="no run one"):
            call(["compare", *words, f"run.results={tmp_path}"])
    with pytest.raises(InputError, match="name two runs or more"):
        call(["compare", "one", f"run.results={tmp_path}"])


def test_verify_by_a_bare_name(printed: Printed) -> None:
    text = printed(
        "verify", "published", EXAMPLE
    )  # it is committed without models, which is no fault
    assert text == printed("verify", "run=example/published", EXAMPLE)
    said = "18 model files and 2 workload files are not here, so they were not checked"
    assert said in text.splitlines() and "run published: " in text


def test_words_of_few_values_name_them(printed: Printed) -> None:
    assert "shell=...: one of bash, zsh, fish; see" in printed("completion", code=2)
    assert "type full=true" in printed("table", "latest", "--full", code=2)
    assert "type full=true" in printed("table", "--full", "latest", code=2)
    assert "type rebuild=false" in printed("history", "--rebuild=false", code=2)


def test_a_file_that_is_not_there_is_named_once(printed: Printed, tmp_path: Path) -> None:
    message = printed("import", f"file={tmp_path}/no.zip", f"run.results={tmp_path}", code=2)
    assert message == f"error: file={tmp_path}/no.zip: No such file or directory; check the path\n"


# --- what is mistyped


@pytest.mark.parametrize(
    ("words", "proposes"),
    [
        (["tabel"], "table"),
        (["test-fault"], "test-faults"),
        (["tuning.tolerence=1"], "tuning.tolerance"),
        (["protocl=careful"], "protocol"),
        (["experimnt=nightly"], "experiment"),
        (["protocol=carefull"], "careful"),
        (["method=[fp32,int8_inc_mes]"], "int8_inc_mse"),
        (["baseline=fp23"], "fp32"),
        (["table", "publishd", EXAMPLE], "published"),
        (["completion", "bahs"], "bash"),
        (["table", "run=published", "ful=true", EXAMPLE], "full"),
        (["history", "pages=true", EXAMPLE], "page"),
        (["verify", "published", "wth=published", EXAMPLE], "with"),
        (["report", "latset", EXAMPLE], "latest"),
        (["acknowledge", "published", "reason=x", "metric=bach_s", EXAMPLE], "batch_s"),
    ],
)
def test_the_nearest_is_proposed(words: list[str], proposes: str, printed: Printed) -> None:
    message = printed(*words, code=2)
    assert f"(did you mean {proposes}?)" in message
    assert message.startswith("error: ") and message.count("\n") == 1


def test_no_key_of_the_configuration_is_taken_for_a_mistyped_word() -> None:
    composed = compose_config(["method=[fp32,int8_inc_mse]"]).config
    words = [f"{key}=x" for key in flattened(composed.stored)]
    words += ["+method.mine.bias=x", "~tuning.seed=x", "workload@workload=x"]
    for verb in (verb for verb in all_verbs() if verb.call is not None):
        given = [f"{argument.name}=x" for argument in verb.arguments if argument.required]
        theirs = [word for word in words if verb.argument(word.partition("=")[0]) is None]
        overrides = parse(verb, [*given, *theirs]).overrides
        assert set(theirs) <= set(overrides), verb.name


def test_nothing_is_proposed_that_is_not_near(printed: Printed) -> None:
    assert "did you mean" not in printed("xyzzy", code=2)
    assert proposal("abc", []) == proposal("abc", ["wxyz"]) == ""
