"""What a report derives: fronts, gains, trajectories, shares, influence, evidence, ratios."""

from __future__ import annotations

import math
import re
import shlex
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex

from harness import PROJECT
from harness.config import compose_config
from harness.facts.typed import changed, decode
from harness.render.drawing import BLUE, INK, MUTED, PAGE
from harness.report.contents import command_notes
from harness.report.evidence import command, config_digest, evidence
from harness.report.figures.batch_times import batches
from harness.report.figures.gain import draw, gains
from harness.report.figures.influence import draw as draw_influence
from harness.report.figures.influence import influence
from harness.report.figures.pareto import pareto
from harness.report.figures.shares import OTHER, shares
from harness.report.figures.shares import draw as draw_shares
from harness.report.figures.trials import read_trials, trajectories
from harness.report.latex import escaped
from harness.report.published import Pair, shared_rows, workload_differences
from harness.stats.intervals import Interval
from harness.storage.plan import RANDOM_WEIGHTS, Checkout
from harness.storage.record import MethodRecord, Outcome
from harness.storage.stage_facts import ProfileFacts, Trial
from harness.table.kernels import Profile, RowProfile
from harness.table.rows import Row
from harness.table.searches import best_accurate, is_accurate, least_accepted
from helpers.sample_records import LOAD, TUNING, configured, measured, plan, timed
from helpers.sample_run import PROFILE

ENVIRONMENT = PROJECT / "benchmarks" / "published" / "published_environment.yaml"


def row(
    label: str, speedup: float, top1: float, base: float = 0.8, method: str = "", **more: object
) -> Row:
    loss = 100 * (base - top1) / base
    return Row(method or label, label, "ok", top1, 0.9, loss, 0.0, 1.0, 1.0, speedup, **more)  # type: ignore[arg-type]


@given(
    st.lists(
        st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=12
    )  # so few values that ties are common
)
def test_no_row_on_the_front_is_beaten_and_every_other_is(points: list[tuple[int, int]]) -> None:
    rows = [row(str(n), x, y / 10) for n, (x, y) in enumerate(points)]
    found = pareto(rows, plan().config.tuning).points
    front = [(p.speedup, p.top1) for p in found if p.on_front]
    assert front
    for point in found:
        better = [
            (x, y)
            for x, y in ((p.speedup, p.top1) for p in found)
            if x >= point.speedup and y >= point.top1 and (x, y) != (point.speedup, point.top1)
        ]
        assert point.on_front is not bool(better)
        assert point.on_front or any(each in front for each in better)


def test_a_front_uses_inference_where_rounds_timed_it_and_leaves_out_what_has_none() -> None:
    ends = Interval(5.0, 4.0, 6.0, 0.95, True)
    loss = Interval(10.0, 8.0, 12.0, 0.95, None)
    fast = row("fast", 2.0, 0.72, inference_speedup=5.0, rounds=3,
               intervals={"inference_speedup": ends, "top1_rel_loss_pct": loss})  # fmt: skip
    rows = [fast, row("untimed", 2.0, 0.7, rounds=0), Row("failed", "failed", "failed")]
    front = pareto(rows, plan().config.tuning)
    (point,) = front.points
    assert front.metric.name == "inference_speedup"
    assert (point.speedup, point.speedup_ends) == (5.0, (4.0, 6.0))
    assert point.top1_ends == pytest.approx((0.8 * 0.88, 0.8 * 0.92))


def test_the_front_knows_the_rows_that_meet_the_criterion() -> None:
    rows = [row("base", 1.0, 0.8), row("near", 2.0, 0.793), row("not", 3.0, 0.787)]
    points = pareto(rows, plan().config.tuning).points  # a relative loss of 1 %
    assert [point.accurate for point in points] == [True, True, False]
    points = pareto(rows, changed(plan().config.tuning, tolerance=0.02)).points
    assert all(point.accurate for point in points)


def planned(**labels: str):  # type: ignore[no-untyped-def]
    methods = {name: {"label": label, "_target_": "x"} for name, label in labels.items()}
    return configured(plan(), method=methods, tuning=TUNING)


def test_a_cost_is_paid_back_by_the_time_saved_on_every_image() -> None:
    rows = [
        row("fp32", 1.0, 0.8, images_per_s=10.0, inference_speedup=1.0),
        row(
            "fused",
            2.0,
            0.8,
            method="fp32_fused",
            images_per_s=100.0,
            speedup_vs_fused=1.0,
            inference_speedup=10.0,
        ),
        replace(row("fast", 4.0, 0.79, images_per_s=400.0, speedup_vs_fused=4.0), cost_s=30.0),
        replace(row("slow", 1.5, 0.80, images_per_s=80.0, speedup_vs_fused=0.8), cost_s=1.0),
    ]
    found = gains(planned(fp32="fp32", fp32_fused="fused"), rows)
    assert found is not None and found.reference == "fused"
    fast, slow = found.rows  # neither the reference nor the baseline
    assert fast.repaid_images == pytest.approx(30.0 / (1 / 100 - 1 / 400))
    assert slow.repaid_images is None
    assert (fast.accurate, slow.accurate) == (False, True)  # 1.25 % against 1 %
    best = best_accurate(planned(fp32="fp32"), rows)
    assert best is not None and best.label == "fused"
    baseline_alone = [replace(rows[0], images_per_s=900.0)]
    assert best_accurate(planned(fp32="fp32"), baseline_alone) is None
    random = replace(planned(fp32="fp32"), warnings=(RANDOM_WEIGHTS,))
    fastest = best_accurate(random, rows)
    assert fastest is not None and fastest.label == "fast"  # its loss means nothing


@pytest.mark.parametrize(("loss", "is_known"), [(0.0, True), (None, False)])
def test_a_row_of_unknown_accuracy_is_neither_filled_nor_called_accurate(
    loss: float | None, is_known: bool
) -> None:
    fast = row("fast", 4.0, 0.8, images_per_s=150.0, speedup_vs_fused=1.5)
    rows = [
        row("fp32_fused", 2.0, 0.8, images_per_s=100.0, speedup_vs_fused=1.0),
        replace(fast, cost_s=30.0, top1_rel_loss_pct=loss),
    ]
    drawing = draw(gains(planned(fp32="fp32", fp32_fused="fused"), rows))
    assert drawing.words.body[0][5] == ("yes" if is_known else "-")
    assert ("No row that is known to be accurate" in drawing.words.description) is not is_known
    for picture in drawing.pictures.values():
        figure, _ = picture._filled
        mark = figure.axes[0].containers[0][0]
        assert to_hex(mark.get_markerfacecolor()) == (BLUE if is_known else PAGE)


@pytest.mark.parametrize(
    ("low", "said"),
    [
        (1.2, "Of the accurate rows fast pays its 30.00 s back soonest"),
        (0.7, "none is known to pay back"),
    ],
)
def test_no_row_pays_back_where_its_interval_reaches_1(low: float, said: str) -> None:
    ends = {"speedup_vs_fused": Interval(1.5, low, 3.4, 0.95, False)}
    fast = row("fast", 4.0, 0.8, images_per_s=150.0, speedup_vs_fused=1.5, intervals=ends)
    rows = [
        row("fp32_fused", 2.0, 0.8, images_per_s=100.0, speedup_vs_fused=1.0),
        replace(fast, cost_s=30.0),
    ]
    words = draw(gains(planned(fp32="fp32", fp32_fused="fused"), rows)).words
    assert said in words.description
    assert (words.body[0][4] == "not known") is (low < 1)


def test_without_fused_the_gain_is_over_the_baseline_and_without_both_there_is_none() -> None:
    rows = [
        row("fp32", 1.0, 0.8, images_per_s=10.0, inference_speedup=1.0),
        row("fast", 4.0, 0.8, images_per_s=40.0, inference_speedup=4.0),
    ]
    found = gains(planned(fp32="fp32", fp32_fused="fused"), rows)
    assert found is not None and found.reference == "fp32"
    assert [each.speedup for each in found.rows] == [4.0]
    assert gains(planned(fp32="fp32"), rows[1:]) is None


@given(st.floats(0.01, 1.0), st.floats(0.0, 0.5))
def test_the_criterion_is_that_of_inc(baseline: float, tolerance: float) -> None:
    assert least_accepted(baseline, "relative", tolerance) == baseline * (1 - tolerance)
    assert least_accepted(baseline, "absolute", tolerance) == baseline - tolerance


@given(
    st.integers(1, 1000),
    st.integers(0, 1000),
    st.sampled_from(["relative", "absolute"]),
    st.floats(0, 0.5),
)
def test_a_row_is_judged_wherever_its_loss_is_known(
    reference: int, right: int, criterion: str, tolerance: float
) -> None:
    tuning = changed(plan().config.tuning, criterion=criterion, tolerance=tolerance)
    one = row("one", 1.0, right / 1000, base=reference / 1000)
    least = least_accepted(reference / 1000, criterion, tolerance)
    if right == 0:
        assert is_accurate(one, tuning) is False  # a loss of 100 %
    elif abs(right / 1000 - least) > 1e-9:
        assert is_accurate(one, tuning) is (right / 1000 > least)
    else:
        assert is_accurate(one, tuning) is not None
    assert is_accurate(replace(one, top1_rel_loss_pct=None), tuning) is None
    assert is_accurate(Row("failed", "failed", "failed"), tuning) is None


def test_a_search_without_a_model_is_held_against_another_rows_baseline() -> None:
    tuned = {"_target_": "x", "options": TUNING}
    methods = {name: {"label": name, **tuned} for name in ("int8_a", "int8_b")}
    made = configured(planned(), method=methods)
    trials = [
        {"trial": n + 1, "accuracy": a, "seconds": 1.0, "changed": {"conv": "fp32"}}
        for n, a in enumerate((0.5, 0.4, 0.7))
    ]
    solved = measured("int8_a", 1.0)
    assert solved.optimize is not None
    kept = {"quantization": {"baseline_accuracy": 0.8}, "trajectory": trials}
    solved = replace(solved, optimize=changed(solved.optimize, **kept))
    unsolved = MethodRecord("r", "int8_b", "int8_b", 1, Outcome("no solution", trials=3))
    stored = {"int8_b": read_trials(decode(trials, list[Trial]))}
    first, second = trajectories(made, [solved, unsolved], stored)
    assert [trial.best for trial in first.trials] == [0.5, 0.5, 0.7]
    assert first.target == second.target == 0.8 * 0.99
    (alone,) = trajectories(made, [unsolved], stored, fp32=0.6)
    assert alone.target == 0.6 * 0.99
    (unknown,) = trajectories(made, [unsolved], stored)
    assert unknown.target is None


def test_batches_are_of_the_attempt_that_counts_or_of_the_pass() -> None:
    rounds = [
        timed("fp32", 1, [0.9] * 4, disturbed=[LOAD]),
        timed("fp32", 1, [0.1, 0.2, 0.3, 0.4], attempt=2),
        timed("fp32", 2, [0.5] * 4, disturbed=[LOAD]),
    ]
    (panel,) = batches(plan(rounds=2), [measured("fp32", 10.0)], rounds).panels
    first, second = panel.rounds
    assert first.ms == pytest.approx((100, 200, 300, 400)) and first.quantiles[2] == 250
    assert (first.disturbed, second.disturbed) == (False, True)
    found = batches(plan(), [measured("fp32", 10.0)], ())
    assert found.of_pass and [r.ms for r in found.panels[0].rounds] == [pytest.approx([900.0] * 10)]


def test_shares_sum_to_one_and_small_parts_are_named_together() -> None:
    rows = [
        {"kind": f"k{n}", "implementation": "jit:avx2", "isa": "avx2", "dtype": "", "count": 1,
         "ms": float(10 - n)} for n in range(9)
    ]  # fmt: skip
    many = {**PROFILE, "rows": rows, "total_ms": 54.0, "wall_ms": 60.0, "batches": 2}
    found = shares(
        [
            RowProfile(name, "a", Profile.recorded(decode(profile, ProfileFacts)))
            for name, profile in (("one", PROFILE), ("other", many))
        ]
    )
    assert found.parts[-2:] == (OTHER, "outside oneDNN") and len(found.parts) == 9
    first, second = found.rows  # of two rows with one label none is lost
    for each in found.rows:
        assert math.fsum(each.shares) == pytest.approx(1.0)
    assert first.shares[found.parts.index("binary, ref")] == pytest.approx(0.2)

    engine = {**PROFILE, "engine": "OpenVINO"}
    beside = shares(
        [
            RowProfile(name, name, Profile.recorded(decode(profile, ProfileFacts)))
            for name, profile in (("one", PROFILE), ("other", engine))
        ]
    )
    assert beside.parts[-1] == "outside the engine"
    assert "Rows of OpenVINO are by their own profiles." in draw_shares(beside).words.caption
    assert first.shares[-1] == pytest.approx(0.2)
    assert (first.milliseconds, second.milliseconds) == (100.0, 30.0)


@pytest.mark.parametrize("engine", [None, "OpenVINO"])
def test_no_number_has_the_colour_of_its_bar(engine: str | None) -> None:
    profile = Profile.recorded(decode({**PROFILE, "engine": engine}, ProfileFacts))
    drawing = draw_shares(shares([RowProfile("one", "one", profile)]))
    assert len(drawing.pictures) == 2
    for picture in drawing.pictures.values():
        figure, _ = picture._filled
        (axes,) = figure.axes
        assert [text.get_text() for text in axes.texts] == ["60", "20", "20"]
        for text in axes.texts:
            box = text.get_bbox_patch()
            assert box is not None
            assert to_hex(text.get_color()) != to_hex(box.get_facecolor())
        assert to_hex(axes.texts[-1].get_color()) == INK  # outside, in the colour of the page
        (bar,) = axes.containers[-1].patches
        assert (to_hex(bar.get_facecolor()), to_hex(bar.get_edgecolor())) == (PAGE, MUTED)


def test_influence_shows_what_was_kept_or_else_what_helped_most() -> None:
    def tried(excluded: str, after: tuple[str, str], kept: bool) -> list[dict[str, str]]:
        return [
            {"excluded": excluded, "operator": name, "error_before": before, "error_after": error,
             "kept": str(kept)}
            for name, before, error in zip(("a", "b"), ("0.5", "inf"), after, strict=True)
        ]  # fmt: skip

    rows = tried("a", ("0.1", "0.2"), False) + tried("b", ("0.4", "inf"), False)
    found = influence("m", "m", rows, 0.06)
    assert found is not None and found.operators == ("a", "b")
    assert [step.excluded for step in found.shown] == ["a"]
    assert found.steps[0].reduction == pytest.approx(0.4)  # an infinite error does not count
    kept = influence("m", "m", rows + tried("c", ("0.4", "1"), True), None)
    assert kept is not None and [step.excluded for step in kept.shown] == ["c"]
    assert influence("m", "m", [], None) is None
    with pytest.raises(KeyError):
        influence("m", "m", [{"excluded": "a"}], None)


def test_influence_says_what_operators_are_where_the_file_does() -> None:
    old = {"excluded": "node_5", "operator": "node_5", "error_before": "0.5", "error_after": "0.1",
           "kept": "True"}  # fmt: skip
    place = {"kind": "BatchNorm", "layer": "features.5.0.bn1", "behind": "a (b); c", "feeds": ""}
    before, now = influence("m", "m", [old], None), influence("m", "m", [{**old, **place}], None)
    assert before is not None and before.described("node_5") == "node_5"
    words = "node_5: BatchNorm in features.5.0.bn1, behind a (b), c"
    assert now is not None and now.described("node_5") == words
    drawn = draw_influence([now])
    assert drawn.words.body == [("m", words, "0.500000", "0.100000")]
    for picture in drawn.pictures.values():
        assert "BatchNorm in" in " ".join(re.findall("<text[^>]*>([^<]*)<", picture.svg))


@pytest.mark.parametrize(
    ("measured_value", "published_value", "shown"),
    [(3.0, 2.5, "1.2"), (1.0, 1.0, "1.0"), (0.061, 10.0, "0.0061"), (612.0, 5.0, "120"),
     (0.996, 1.0, "1.0"), (0.0, 2.0, "0.0"), (-0.06, 0.1, ""), (0.06, -0.1, ""), (None, 1.0, "")],
)  # fmt: skip
def test_a_ratio_has_two_digits_and_none_where_signs_differ(
    measured_value: float | None, published_value: float, shown: str
) -> None:
    assert Pair(measured_value, published_value).ratio_shown == shown


def test_ratios_are_of_the_values_before_rounding_and_none_is_made_up() -> None:
    reference = {"a": {"top1": 0.5, "cost_s": 0.0, "speedup": None}}
    (only,) = shared_rows([row("a", 3.0, 0.6), row("not published", 3.0, 0.6)], reference)
    assert only.pairs["top1"].ratio == 0.6 / 0.5
    assert only.pairs["cost_s"].ratio is None and only.pairs["speedup"].ratio is None
    assert only.pairs["validation_s"].measured == 1.0


def test_the_published_workload_is_told_from_others() -> None:
    published = yaml.safe_load(ENVIRONMENT.read_text())["workload"]
    config = compose_config(["experiment=paper"]).config
    paper = replace(plan(), config=config, images=50000)
    assert workload_differences(paper, published) == []
    assert config.workload.transform is not None
    transform = changed(config.workload.transform, crop=56).stored
    paper = configured(paper, workload=changed(config.workload, transform=transform).stored)
    assert workload_differences(paper, published) == ["transform.crop is 56, there 224"]
    bundled = replace(plan(), config=compose_config([]).config, images=10000)
    said = workload_differences(bundled, published)
    assert "name is bundled, there imagenet" in said and "images is 10000, there 50000" in said


def test_a_digest_is_of_what_is_measured_not_of_where_it_is_kept() -> None:
    def digest(*overrides: str) -> str:
        return config_digest(compose_config(overrides).config)

    assert digest() == digest("run.id=x", "run.results=y", "machine=z", "table.intervals=true")
    assert digest() != digest("tuning.seed=1")
    assert digest("method=[fp32,fp32_fused]") != digest("method=[fp32]")
    assert len(digest()) == 64


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)))
def test_the_command_is_quoted_for_a_shell(words: list[str]) -> None:
    typed = ["run.id=old", *(f"key={word}" for word in words), "run.results=/elsewhere"]
    made = replace(plan(), overrides=tuple(typed))
    assert shlex.split(command(made, ["my conf"])) == [
        "./run.sh", *typed[1:-1], "--conf", "my conf",
    ]  # fmt: skip


def test_a_command_says_which_code_was_measured() -> None:
    measured_by = replace(plan(), run="mine", harness="0.0.9", code="ab" * 32)
    same = command_notes(measured_by, "ab" * 32)
    assert "exactly the code" in same[0] and "run.id=mine is left out" in same[1]
    other = command_notes(measured_by, "cd" * 32)
    assert f"harness 0.0.9, code digest {'ab' * 32}; the commit was not recorded" in other[0]
    assert "no code digest in its plan" in command_notes(replace(measured_by, code=None), "")[0]
    for clean, words in ((True, "as committed"), (False, "with uncommitted changes")):
        known = replace(measured_by, checkout=Checkout(commit="ab" * 20, clean=clean))
        assert f"; commit {'ab' * 20} {words}. Results may differ." in command_notes(known, "")[0]


def test_evidence_has_every_attempt_and_says_which_one_counts() -> None:
    rounds = [
        timed("fp32", 1, [0.1, 0.3], disturbed=[LOAD, LOAD]),
        timed("fp32", 1, [0.1, 0.2, 0.9], attempt=2),
    ]
    record = measured("fp32", 1.0)
    digests = {each.path: f"digest of {each.path}" for each in (record, *rounds)}
    (found,) = evidence(plan(rounds=1), [record], rounds, digests, lambda path: True)
    assert found.record.sha256 == "digest of records/00_fp32.json"
    first, second = found.timings
    assert (first.counts, second.counts) == (False, True)
    assert first.disturbed == ("core_load",) and second.disturbed == ()
    assert second.median_ms == pytest.approx(200) and second.batches == 3
    assert second.file.path == "rounds/001_fp32_2.json"
    assert np.isclose(second.mean_ms, 400)


@given(st.text())
def test_latex_gets_no_command_from_a_text(text: str) -> None:
    safe = escaped(text)
    assert "\n" not in safe and "\r" not in safe
    known = ("textbackslash", "textasciitilde", "textasciicircum", "textless", "textgreater",
             "textbar", "ensuremath", "times", "pm", "char", "mu", "leq", "geq", "textendash",
             "textemdash", "ldots", "textquoteleft", "textquoteright", "textquotedblleft",
             "textquotedblright", "ss", "AE", "ae", "OE", "oe", "O", "o", "L", "l", "i")  # fmt: skip
    assert safe.isascii()
    rest = re.sub(r"\{\\[`'^~=u.\"rHvdc]\{[A-Za-z]\}\}", "", safe)  # a letter with an accent
    rest = rest.replace(r"\ensuremath{^\circ}", "")
    for name in known:
        rest = re.sub(rf"\\{name}(?![A-Za-z])", "", rest)
    for char in "{}&%$#_":
        rest = rest.replace(f"\\{char}", "")
    assert "\\" not in rest and not set(rest) & set("&%$#_~^")


def test_the_search_of_an_engine_has_its_criterion() -> None:
    engine = {"environment": "e", "_target_": "e.E", "criterion": "relative", "tolerance": 0.1}
    made = configured(planned(), method={"own": {"label": "o", "_target_": "x", "engine": engine}})
    row = measured("own", 1.0)
    assert row.optimize is not None
    trial = {"trial": 1, "accuracy": 0.5, "seconds": 1.0, "changed": {}}
    facts = changed(row.optimize, trajectory=[trial], quantization={"baseline_accuracy": 0.8})
    (search,) = trajectories(made, [replace(row, optimize=facts)], {})
    assert search.target == pytest.approx(0.72)


@pytest.mark.parametrize(
    "options", [{"percentile": 99.9}, "mild", [1], None, {"max_trials": "many"}]
)
def test_own_arguments_called_options_are_no_searchs(options: Any) -> None:
    own = {"label": "own", "_target_": "mine.Mine", "options": options, "strategy_options": options}
    made = configured(planned(), method={"own": {**own, "strategy": "own"}})
    assert made.search_options("own") is None
    assert made.error_threshold("own") is None
    row = measured("own", 1.0)
    assert row.optimize is not None
    trial = {"trial": 1, "accuracy": 0.5, "seconds": 1.0, "changed": {"conv": "fp32"}}
    (found,) = trajectories(
        made, [replace(row, optimize=changed(row.optimize, trajectory=[trial]))], {}
    )
    assert found.target is None
