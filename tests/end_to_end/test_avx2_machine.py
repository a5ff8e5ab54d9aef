"""What the harness says and measures on a machine whose CPU has AVX2 and nothing above it."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from harness.host.isa import LEVELS, NAMES, allows
from helpers.command_line import TINY, CommandLine, Ended, load
from helpers.instruction_sets import ABOVE_AVX2, LIMIT, has_isa

ROWS = ("fp32_fused", "int8_smart_naive", "int8_full_naive", "bf16")


@pytest.mark.parametrize("limit", [None, "", "ALL", *NAMES, "avx2"])
def test_a_limit_allows_what_is_not_above_it(limit: str | None) -> None:
    allowed = [name for name in NAMES if allows(limit, name)]
    known = (limit or "").upper()
    assert allowed == list(NAMES[: NAMES.index(known) + 1] if known in NAMES else NAMES)


@pytest.mark.slow
def test_what_the_tests_take_for_granted_is_what_onednn_says() -> None:
    """In this process oneDNN has said nothing yet, so it is asked in another."""
    from harness.doctor.software import Software, software_facts
    from harness.process.executor import worker_environment

    facts = software_facts(worker_environment({}))
    assert isinstance(facts, Software), facts
    (told,) = [line for line in facts.onednn if line.startswith("cpu,isa:")]
    best = [level for level in LEVELS if level.by_default and has_isa(level.name)][-1]
    assert told.removeprefix("cpu,isa:").startswith(best.words), (told, LIMIT)


@pytest.fixture
def older(cli: CommandLine, avx2_machine: list[str]) -> CommandLine:
    cli.through = avx2_machine
    return cli


def kernels(ended: Ended, method: str) -> list[dict[str, str]]:
    with (ended.folder.path / "kernels.csv").open() as lines:
        label = ended.records[method].label
        return [row for row in csv.DictReader(lines) if row["method"] == label]


@pytest.mark.slow
def test_rows_on_avx2(older: CommandLine, tmp_path: Path) -> None:
    ended = older(
        f"method=[{','.join(ROWS)}]", "baseline=fp32_fused", *TINY, "protocol.profile_batches=1"
    )
    assert ended.code == 0, ended.err
    flags = load(ended.folder.path / "plan.json")["machine"]["isa"]
    assert flags[-1] == "AVX2"
    refused = "refused: this CPU has no avx512_bf16: oneDNN has no kernels for bf16"
    assert ended.outcomes == {**dict.fromkeys(ROWS, "ok"), "bf16": refused}
    assert refused in ended.out
    for method in ("int8_smart_naive", "int8_full_naive"):
        in_int8 = [row for row in kernels(ended, method) if row["dtype"].startswith("u8:s8")]
        convolved = [row["isa"] for row in in_int8 if row["kind"] == "convolution"]
        assert convolved and set(convolved) == {"avx2"}, "int8 as it is called, by AVX2"
    assert not ABOVE_AVX2.search((ended.folder.path / "kernels.csv").read_text())
    assert ended.out.count("mostly on avx2, without the instructions") >= 1


@pytest.mark.slow
def test_doctor_on_avx2(older: CommandLine) -> None:
    said = older("doctor", *TINY).out
    assert "AVX2 without VNNI" in said
    assert "Intel AVX2, limited to AVX2" in said
    assert not ABOVE_AVX2.search(said.lower())
    assert "AVX512" not in said and "AMX" not in said
