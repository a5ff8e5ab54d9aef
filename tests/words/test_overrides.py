"""Names and paths mean what is typed, character by character, wherever Hydra or OmegaConf look first."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.config import compose_config, project_path
from harness.errors import InputError
from harness.facts.faults import NAME
from harness.facts.override_key import key_of
from harness.storage.configuration_checks import takes_text
from harness.storage.plan import RunPlan
from harness.words.overrides import for_hydra, plain, quoted, set_to, unquoted
from helpers.sample_records import plan as made_plan

NAMES = st.from_regex(NAME, fullmatch=True).filter(lambda name: name != "null")
PIECES = st.sampled_from(
    ["a", "1", "é", "ü", "/", " ", "=", "(", ")", ",", "'", '"', "$", "${x}", "${oc.env:HOME}", "[x]",
     "{x}", ":", "#", "%", "\\", "~", "\t", "null", "true", "1e3", "@", "|", "\N{SNOWMAN}", "\n"]
)  # fmt: skip
PATHS = st.lists(PIECES, min_size=1, max_size=8).map("".join)
COSTLY = settings(max_examples=25)


def typed(text: str) -> str:
    """Return what to type for a text; one that is in quotes already needs others around it."""
    return text if unquoted(text) is None and text != "null" else quoted(text)


NAMED = ["run.id", "run.reuse_tuned", "machine", "nightly.baseline", "workload.name"]
PATH_KEYS = ["workload.rec", "workload.params", "workload.symbol", "workload.tuning.source",
             "run.results", "run.cache", "nightly.pinned"]  # fmt: skip


def values_of(words: Sequence[str]) -> dict[str, Any]:
    """Return what a configuration has for the keys of its words."""
    values = compose_config(["workload=custom", "method=[fp32]", *words]).config.stored
    found = {}
    for key in map(key_of, words):
        value: Any = values
        for part in key.split("."):
            value = value[part]
        found[key] = value
    return found


def value_of(word: str) -> Any:
    return values_of([word])[key_of(word)]


@pytest.mark.slow
@given(name=NAMES)
@COSTLY
def test_any_name_is_kept(name: str) -> None:
    assert values_of([f"{key}={name}" for key in NAMED]) == dict.fromkeys(NAMED, name)


@pytest.mark.parametrize(
    "name",
    ["1.10", "2024_01_05", "2024-01-05", "1e3", "true", "007", "5", "0x1F", "1_0", "nan", "NULL"],
)
def test_names_that_look_like_something_else(name: str) -> None:
    keys = [*NAMED, "method.fp32.label"]
    for value in (name, f"'{name}'", f'"{name}"', quoted(name)):
        assert values_of([f"{key}={value}" for key in keys]) == dict.fromkeys(keys, name)


def test_null_is_none() -> None:
    assert value_of("run.id=null") is None
    assert value_of("run.id='null'") == "null"


@pytest.mark.slow
@given(path=PATHS)
@COSTLY
def test_any_path_is_kept(path: str) -> None:
    expected = dict.fromkeys(PATH_KEYS, path)
    assert values_of([f"{key}={typed(path)}" for key in PATH_KEYS]) == expected
    assert values_of([set_to(key, path) for key in PATH_KEYS]) == expected


@given(text=st.text(max_size=20))
@settings(max_examples=100)
def test_quotes_can_be_taken_off_again(text: str) -> None:
    assert plain(typed(text)) == text or "${" in text  # where OmegaConf takes the backslash off
    (once,) = for_hydra([f"run.results={text}"])
    assert for_hydra([once]) == [once]


@pytest.mark.slow
@given(path=PATHS)
@settings(max_examples=15)
def test_what_composes_is_read_back(path: str) -> None:
    words = [
        "workload=custom",
        f"workload.rec={typed(path)}",
        f"+workload.note={typed(path)}",
        "run.id=1.10",
    ]
    plan = replace(made_plan(), config=compose_config(words).config, overrides=tuple(words))
    stored = json.loads(json.dumps(plan.as_dict()))
    read = RunPlan.from_dict(stored, Path("plan.json"))
    assert read.config.stored == plan.config.stored
    again = compose_config(stored["overrides"]).config.stored
    assert again == plan.config.stored  # as when the run is continued


def test_in_quotes_of_its_own_a_path_may_name_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_DATA", "/data")
    assert value_of("workload.rec='${oc.env:MY_DATA}/v.rec'") == "/data/v.rec"
    assert value_of("workload.rec=${oc.env:MY_DATA}") == "${oc.env:MY_DATA}"


def test_places_of_threads_need_no_quotes() -> None:
    for word in ("threads.places={0}:2:1", 'threads.places="{0}:2:1"'):
        assert value_of(word) == "{0}:2:1"


def test_the_keys_are_those_of_the_form() -> None:
    for key in (
        "run.id",
        "workload.rec",
        "workload.model.params",
        "method.my-own.label",
        "baseline",
    ):
        assert takes_text(key), key
    for key in ("workload.images", "method", "method.mine.options", "tuning.seed", "label"):
        assert not takes_text(key), key


def test_key_of_a_word() -> None:
    assert [key_of(w) for w in ("a.b=1", "+a.b=c=d", "++a=1", "~a.b")] == ["a.b", "a.b", "a", "a.b"]


def test_home_folder() -> None:
    assert project_path("~/v.rec") == Path.home() / "v.rec"
    assert project_path("~nobody-of-this-name/v.rec").name == "v.rec"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["+workload.mine=/data/ü.rec"], "+workload.mine='/data/ü.rec'"),
        (["tuning.seed=(1"], "tuning.seed='(1'"),
        (["+workload.mine=a b: c=d"], "+workload.mine='a b: c=d'"),
        (["métier=3"], "a key has letters"),
    ],
)
def test_a_word_that_hydra_cannot_read(words: list[str], said: str) -> None:
    with pytest.raises(InputError) as caught:
        compose_config(words)
    assert f"{words[0]}: this cannot be read" in str(caught.value)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


FOLDERS = ["müller", "a=b", "a(b", "a,b", "it's", 'say "x"', "${oc.env:HOME}", "[x]", "{x}", "a:b",
           "a#b", "a%b", "back\\slash", " blanks ", "~", "\\${x}"]  # fmt: skip


@pytest.mark.parametrize("name", FOLDERS)
def test_own_folder_of_any_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    (folder / "method").mkdir(parents=True)
    (folder / "method" / "mine.yaml").write_text(
        "# @package method.mine\nlabel: mine\n_target_: mine.Mine\noptions: {percentile: 99.9}\n"
    )
    (folder / "mine.py").touch()
    other = tmp_path / "other"
    other.mkdir()
    method = compose_config(["method=[mine]"], [other, folder]).config.stored["method"]["mine"]
    assert method["options"] == {"percentile": 99.9}


@pytest.mark.parametrize("written", ["1.10", "8", "true", "1e3", "0x1F", "null", "[a]"])
def test_label_that_yaml_reads_as_something_else(tmp_path: Path, written: str) -> None:
    (tmp_path / "method").mkdir()
    file = tmp_path / "method" / "odd.yaml"
    file.write_text(f"# @package method.odd\nlabel: {written}\n_target_: mine.Mine\n")
    with pytest.raises(InputError) as caught:
        compose_config(["method=[odd]"], [tmp_path])
    assert "method.odd.label=" in str(caught.value)
    assert "use a text" in str(caught.value)
    if written not in ("null", "[a]"):
        assert f'in {file} write label: "{written}"' in str(caught.value)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("limit: .inf", "method.own.limit=inf"),
        ("limit: !!binary aGVsbG8=", "method.own.limit=b'hello'"),
        ("limits: {5: x}", "a key of method.own.limits=5"),
        ("limits: [1, [.nan]]", "method.own.limits[1][0]=nan"),
        (f"limit: {'9' * 400}", "method.own.limit=999"),
    ],
)
def test_arguments_that_json_does_not_keep(tmp_path: Path, line: str, said: str) -> None:
    (tmp_path / "method").mkdir()
    (tmp_path / "method" / "own.yaml").write_text(
        f"# @package method.own\nlabel: own\n_target_: mine.Mine\n{line}\n"
    )
    with pytest.raises(InputError) as caught:
        compose_config(["method=[own]"], [tmp_path])
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("run.id=" + "a" * 129, "plain name"),
        ("machine=" + "m" * 129, "plain name"),
        ("+method." + "x" * 129 + "={label: x, _target_: y}", "plain name"),
        ("method.fp32.label=null", "method.fp32.label=null: use a text"),
        ("method.fp32._target_=null", "method.fp32._target_=null: use a text"),
        ("workload.name=null", "workload.name=null: use a text"),
        ("workload.model=null", "workload.model=null: the configuration has not the form"),
        ("tuning.objective=null", "tuning.objective=null: use accuracy, footprint or performance"),
        ("tuning.objective=modelsize", "needs TensorFlow"),
        (
            "method.int8_inc_mse.options.objective=modelsize",
            "method.int8_inc_mse.options.objective",
        ),
        ("method.int8_inc_mse.options.tolerance=nan", "use a finite number"),
        ("method.int8_inc_mse.options=5", "method.int8_inc_mse.options=5"),
        ("method.int8_full_naive.calib_mode=custom", "use naive, entropy or none (custom needs"),
        ("method.int8_full_naive.quantize_mode=half", "use full or smart"),
        ("method.int8_full_naive.quantize_granularity=5", "use tensor-wise or channel-wise"),
        ("tuning.seed=99999999999999999999", "tuning.seed=99999999999999999999"),
        ("workload.batch_size=99999999999999999999", "workload.batch_size="),
        ("protocol.warmup_s=1e10", "below 1e9"),
        ("run.timeout_s=1e400", "run.timeout_s=inf"),
        ("protocol.seed=true", "protocol.seed=true"),
        ("protocol.sweep=[1,true]", "protocol.sweep"),
        ("~nightly.runs", "nightly.runs is missing"),
        ("~workload.transform", "workload.transform is missing"),
    ],
)
def test_refused_before_anything_is_measured(word: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        compose_config([word])
    assert said in str(caught.value)
