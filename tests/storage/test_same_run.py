"""Sameness: every key of conf/ is classified, and every question about two runs goes by that."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from contextlib import suppress
from copy import deepcopy
from dataclasses import fields, replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from harness import PROJECT
from harness.compare.unlike import unlike
from harness.config import compose_config
from harness.facts import typed
from harness.facts.nested import ABSENT, differing, flattened, listed
from harness.report.evidence import config_digest
from harness.storage import same_run
from harness.storage.configuration import Configuration
from harness.storage.plan import RunPlan
from harness.storage.same_run import EFFECTS, Effect, differences, effect_of, effects_in
from harness.storage.store import RunFolder
from helpers.sample_records import configured, plan, with_pair

CONF = PROJECT / "conf"
ONE, OTHER = "1" * 64, "2" * 64
METHODS = sorted(path.stem for path in (CONF / "method").glob("*.yaml"))
SERVER = {
    "latency_ms": 9,
    "duration_s": 9,
    "queries": 999,
    "precision": 0.1,
    "batch": 1,
    "delay_ms": 0,
    "seed": 9,
}


def choices() -> Iterator[list[str]]:
    """Yield words that together compose every file of conf/."""
    yield [f"method=[{','.join(METHODS)}]"]
    for group in ("workload", "threads", "protocol", "experiment"):
        for path in sorted((CONF / group).glob("*.yaml")):
            yield [f"{group}={path.stem}"]


def test_a_key_that_is_new_means_in_older_plans_what_was_so_then() -> None:
    """Each key of LATER is in conf/ with the value that changes nothing."""
    others: dict[str, Any] = {
        "threads.allocator": "other",
        "threads.sweep": [1, 2],
        "protocol.instances": [1, 2],
        "protocol.share_cores": True,
        "protocol.server": SERVER,
    }
    assert others.keys() == same_run.LATER.keys()
    before = plan()
    for key, meaning in same_run.LATER.items():
        section, name = key.split(".")
        assert key in keys()
        old = {**compose_config([]).config.stored[section]}
        old.pop(name, None)
        sections = [old, {**old, name: meaning}, {**old, name: others[key]}]
        one, two, three = (configured(before, **{section: part}) for part in sections)
        assert differences(one, two) == differences(two, one) == []
        assert config_digest(one.config) == config_digest(two.config)
        assert same_run.settings(one) == same_run.settings(two)
        assert same_run.alike(one) == same_run.alike(two)
        assert unlike([one, two]) == []
        assert differences(two, three) == [f"config.{key}: was {meaning!r}, is {others[key]!r}"]
        assert differences(one, three) == [f"config.{key}: was None, is {others[key]!r}"]


@functools.cache  # not when the tests are collected, which each of their processes does
def configurations() -> list[Configuration]:
    return [compose_config(words).config for words in choices()]


@functools.cache
def keys() -> list[str]:
    return sorted({key for config in configurations() for key in flattened(config.stored)})


def test_every_key_of_conf_is_classified() -> None:
    assert [key for key in keys() if effect_of(key) is Effect.OWN] == []
    assert len(keys()) > 100


def test_each_entry_is_of_a_key_of_conf_and_says_what_the_one_above_does_not() -> None:
    for key, effect in EFFECTS.items():
        assert any(each == key or each.startswith(f"{key}.") for each in keys()), key
        assert key.count(".") == 0 or effect_of(key.rpartition(".")[0]) is not effect, key


NOTHING = {
    "run",
    "machine",
    "machine_id",
    "machine_type",
    "table",
    "protocol.roof",
    "protocol.latency_ms",
    "nightly",
}
TIMES = {"baseline", "fused", "protocol", "threads.sweep"}  # but for those of protocol above


def test_a_key_determines_results_or_times_or_nothing() -> None:
    for key in keys():
        top = key.split(".")[0]
        effect = effect_of(key)
        assert (effect is Effect.NOTHING) == bool({top, key} & NOTHING), key
        assert (effect in same_run.TIMES_ONLY) == (
            bool({top, key} & TIMES) and key not in NOTHING
        ), key
        is_of_results = not {top, key} & TIMES and not {top, key} & NOTHING
        assert (effect in same_run.SAME_MODELS) == is_of_results, key


def test_a_key_of_a_users_own_counts() -> None:
    assert effect_of("mine.depth") is Effect.OWN and effect_of("") is Effect.OWN
    assert effect_of("workload.mine") is Effect.INPUT
    assert effect_of("protocol.mine") is Effect.AMOUNT
    assert Effect.OWN in same_run.SAME_MODELS


def test_every_part_of_a_plan_is_classified() -> None:
    assert set(same_run.PART_EFFECTS) == {field.name for field in fields(RunPlan)}


def changed_at(config: Configuration, key: str) -> Configuration:
    """Return a configuration with another value at a dotted key."""
    values = deepcopy(config.stored)
    *above, last = key.split(".")
    level: Any = values
    for part in above:
        level = level[part]
    before = level[last]
    for value in ("another", [7, 8, 9], 7, 0.25, SERVER, not before):
        level[last] = value
        with suppress(typed.Mistyped):
            if value != before:
                return typed.decode(values, Configuration)
    raise AssertionError(key)


@given(st.data())
def test_all_questions_go_by_the_effects(data: st.DataObject) -> None:
    config = data.draw(st.sampled_from(configurations()))
    key = data.draw(st.sampled_from(sorted(flattened(config.stored))))
    effect = effect_of(key, effects_in(config.stored))
    one = replace(plan(), config=config)
    other = replace(one, config=changed_at(config, key))
    assert [line.split(":")[0] for line in differences(one, other)] == (
        [f"config.{key}"] if effect in same_run.SAME_RUN else []
    )
    for question in (same_run.SAME_MODELS, same_run.SAME_TASK, same_run.SOFTWARE):
        assert bool(differences(one, other, question)) == (effect in question)
    assert (config_digest(one.config) != config_digest(other.config)) == (
        effect is not Effect.NOTHING
    )
    named = [each.key for each in unlike([one, other])]
    assert bool(named) == (effect in same_run.SAME_ELSEWHERE)
    assert all(f"{name}.".startswith(f"config.{key}.") for name in named)  # a section's keys, too
    assert (same_run.alike(one) != same_run.alike(other)) == (effect in same_run.SAME_TASK)
    assert (same_run.environment(one) != same_run.environment(other)) == (
        effect in same_run.SOFTWARE
    )
    went_on = same_run.renewed(one.config.stored, other.config.stored)
    is_new = effect is Effect.NOTHING
    assert went_on == (other if is_new else one).config.stored


def test_a_pair_in_another_folder_is_the_same_model_elsewhere() -> None:
    here, there = with_pair("/here", ONE), with_pair("/there", ONE)
    assert unlike([here, there]) == []
    assert same_run.alike(here) == same_run.alike(there)
    assert same_run.environment(here) == same_run.environment(there)
    assert same_run.settings(here) == same_run.settings(there)
    assert differences(here, here) == []
    assert [line.split(":")[0] for line in differences(here, there)] == [
        "config.method.int8_mine.params",
        "config.method.int8_mine.symbol",
    ]


def test_another_pair_is_another_model_and_one_row_that_changed() -> None:
    before, after = with_pair("/here", ONE), with_pair("/here", OTHER)
    keys = [f"files.int8_mine.{key}.sha256" for key in ("symbol", "params")]
    assert [one.key for one in unlike([before, after])] == keys
    assert [line.split(":")[0] for line in differences(before, after)] == sorted(keys)
    assert same_run.alike(before) == same_run.alike(after)
    changes = differing(same_run.environment(before), same_run.environment(after))
    assert [(one.key, one.after) for one in changes] == [
        ("method.int8_mine.symbol_sha256", OTHER),
        ("method.int8_mine.params_sha256", OTHER),
    ]


def test_a_pair_of_a_row_that_a_run_does_not_have_differs_from_nothing() -> None:
    with_row = with_pair("/here", ONE)
    assert unlike([with_row, plan()]) == []


def test_a_path_of_a_users_own_method_counts_as_it_has_no_digest() -> None:
    own = {"label": "mine", "_target_": "my_method.Mine", "symbol": "/here/symbol"}
    one = replace(plan(), config=typed.changed(plan().config, method={"mine": own}))
    other = {"mine": {**own, "symbol": "/there/symbol"}}
    there = replace(one, config=typed.changed(one.config, method=other))
    assert [each.key for each in unlike([one, there])] == ["config.method.mine.symbol"]


def test_the_digest_of_a_configuration_leaves_nested_keys_out_too() -> None:
    published = compose_config([]).config
    assert config_digest(published) == config_digest(compose_config(["protocol.roof=true"]).config)
    assert config_digest(published) != config_digest(compose_config(["protocol.seed=2"]).config)


def test_a_plan_of_before_compares_as_it_did() -> None:
    old = RunFolder(PROJECT / "results" / "example" / "published").load_plan()
    assert old is not None and differences(old, old) == []
    machine = typed.changed(
        old.machine, ec2={"instance_type": "c7i.metal"}, load_1min=9.0, usable_cores=64
    )
    files = {**old.files, "rec": typed.changed(old.files["rec"], path="elsewhere.rec")}
    config = typed.changed(old.config, machine="there", run={}, baseline="bf16")
    new = replace(old, machine=machine, files=files, config=config, code="another")
    assert differences(old, new) == [
        "config.baseline: was 'fp32', is 'bf16'",
        f"machine.usable_cores: was {old.machine.usable_cores}, is 64",
    ]
    reordered = typed.changed(
        old.config, method=dict(reversed(old.config.stored["method"].items()))
    )
    assert differences(old, replace(old, config=reordered)) == [
        "config.method: the order of the rows differs"
    ]


KEY = st.text("ab", min_size=1, max_size=2)
NESTED = st.recursive(
    st.none() | st.integers(0, 2) | st.lists(st.integers(0, 1), max_size=2),
    lambda inner: st.dictionaries(KEY, inner, max_size=3),
)
TREE = st.dictionaries(KEY, NESTED, max_size=4)


@given(TREE, TREE)
def test_the_differences_lead_from_one_to_the_other(before: Any, after: Any) -> None:
    made = deepcopy(before)
    for difference in differing(before, after):
        *above, last = difference.keys
        level = made
        for key in above:
            level = level[key]
        if difference.after is ABSENT:
            del level[last]
        else:
            level[last] = difference.after
    assert made == after
    assert list(differing(before, deepcopy(before))) == []


def test_a_missing_value_and_none_are_listed_as_the_same() -> None:
    before, after = {"a": None, "b": (1, 2), "d": {"e": 1}}, {"b": [1, 2], "c": None, "d": {}}
    assert listed(differing(before, after)) == ["d.e: was 1, is None"]


def compares_nested_dicts(function: ast.FunctionDef) -> bool:
    """Say whether a function calls itself, and compares two values that may both be dicts."""
    nodes = list(ast.walk(function))
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    names = {node.func.id for node in calls if isinstance(node.func, ast.Name)}
    dicts = {
        ast.unparse(node.args[0])
        for node in calls
        if ast.unparse(node.func) == "isinstance"
        and {"Mapping", "dict"} & {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
    }
    compared = [
        {ast.unparse(node.left), ast.unparse(node.comparators[0])}
        for node in nodes
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq)
    ]
    return function.name in names and any(len(pair & dicts) == 2 for pair in compared)


def test_there_is_one_differ() -> None:
    differs = {
        f"{path.stem}.{node.name}"
        for path in (PROJECT / "harness").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef) and compares_nested_dicts(node)
    }
    assert differs == {"nested.differing"}


def test_a_line_for_an_engines_environment_names_the_engine_and_counts_the_rest() -> None:
    packages = {f"package{number}": "1" for number in range(20)}
    engines = {
        "onnxruntime": {**packages, "onnxruntime": "1.32.0"},
        "openvino": {"openvino": "2026"},
    }
    assert listed(differing({}, {"versions": {"engines": engines}})) == [
        "versions: was None, is engines.onnxruntime.onnxruntime=1.32.0, "
        "engines.openvino.openvino=2026 (22 values)"
    ]
    assert listed(differing({"own": packages}, {})) == [
        f"own: was {', '.join(packages)} (20 values), is None"
    ]
    assert listed(differing({"few": {"a": 1}}, {})) == ["few: was {'a': 1}, is None"]
