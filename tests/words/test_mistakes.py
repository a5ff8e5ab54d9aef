"""What is mistyped gets one sentence that says what to type; no library's own message is handed on."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import PROJECT
from harness.cli import main
from harness.config import compose_config
from harness.errors import InputError

RESULTS = f"run.results={PROJECT / 'results'}"
RAW = ("Config group override", "--multirun", "Ambiguous value", "omegaconf", "hydra", "ANTLR",
       "mismatched input", "no viable alternative", "extraneous input", "token recognition",
       "Error merging", "full_key", "object_type", "Traceback", "NoneType")  # fmt: skip
Printed = Callable[..., str]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Printed:
    """Return a function that runs a command line that is refused and gives what it said."""

    def run(*words: str) -> str:
        assert main(words) == 2
        said = capsys.readouterr()
        assert said.out == "" and said.err.startswith("error: ") and said.err.count("\n") == 1
        assert not [raw for raw in RAW if raw in said.err]
        return said.err

    return run


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("reprot", "did you mean report?"),
        ("table run = n5", "type run=n5"),
        ("table run =n5", "type run=n5"),
        ("table run= n5", "type run=n5"),
        ("machine=x doctor", "type ./run.sh doctor machine=x"),
        ("report publishd", "did you mean published?"),
        ("table", "type ./run.sh table latest"),
        ("table run=nope", "./run.sh list shows all"),
        ("--protocol quick", "type protocol=quick"),
        ("--protocol=quick", "type protocol=quick"),
        ("table --run n5", "type run=n5"),
        ("methods=[fp32]", "type method=[fp32]"),
        ("threads=4", "type threads.count=4"),
        ("method=a,b", "type method=[a,b]"),
        ("method=[fp32", "type method=[fp32]"),
        ("method=[int8_naive]", "did you mean int8_full_naive?"),
        ("protocl=quick", "type protocol=quick"),
        ("experiment=null", "leave it out"),
        ("workload=null", "type workload=bundled"),
        ("protocol=quick,careful", "choose one of careful, nightly"),
        ("run.timeout_s=1,2", "one value"),
        ("tuning=5", "type tuning.criterion=VALUE"),
        ("tuning.seed.x=3", "is a value and has no keys"),
        ("++protocol.pauses=1", "careful.yaml"),
        ("+workload.images=${nope}", "names a key that there is not"),
        ("workload.images=${foo:bar}", "use ${oc.env:INC_BENCH_NAME}"),
        ("workload.images='${'", "close it"),
        ("tuning.seed=${tuning.seed}", "leads back to itself"),
        ("=3", "type KEY=VALUE"),
        ("workload..x=3", "a key has letters"),
        ("run.id=published", "leave run.id out"),
        ("pack published to=/no-such-folder/x.zip", "mkdir -p /no-such-folder"),
    ],
)
def test_a_mistake_is_answered_with_what_to_type(words: str, says: str, refused: Printed) -> None:
    results = (
        [RESULTS] if words.split()[0] in ("table", "report", "pack") and "=" not in words else []
    )
    assert says in refused(*words.split(" "), *results)
    assert not Path("/no-such-folder").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: b: c\n", "line 1: this is no YAML"),
        ("\t", "line 1: this is no YAML"),
        ("# @package method.bad\nlabel: ${nope.x}\n_target_: a.b\n", "${nope.x} names a key"),
        ("defaults: [nosuch]\n", "method/nosuch"),
        ("label: '${'\n", "close it"),
        ("- a\n", "type method.KEY=VALUE"),
    ],
)
def test_a_file_of_the_users_own_is_named(text: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "method").mkdir()
    (tmp_path / "method" / "bad.yaml").write_text(text)
    with pytest.raises(InputError) as caught:
        compose_config(["method=[bad]"], [tmp_path])
    assert says in str(caught.value) and "\n" not in str(caught.value)
    assert not [raw for raw in RAW if raw in str(caught.value)]


def test_a_word_of_a_chosen_file_is_no_mistake_before_the_choice() -> None:
    words = ["workload.symbol=x", "workload.nosuch=1", "workload=custom"]
    with pytest.raises(InputError, match=r"workload\.nosuch: there is no such key"):
        compose_config(words)


def test_a_file_of_conf_that_may_not_be_read(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    (tmp_path / "method").mkdir()
    (tmp_path / "method" / "closed.yaml").touch(mode=0)
    with pytest.raises(InputError, match=r"closed\.yaml: Permission denied"):
        compose_config(["method=[closed]"], [tmp_path])
