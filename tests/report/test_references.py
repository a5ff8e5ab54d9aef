"""How to cite the project and a run: CITATION.cff, and the BibTeX of a report."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import yaml

from harness import PROJECT, __version__
from harness.config import compose_config
from harness.report.artifact.method_works import SOURCES, sources_of
from harness.report.artifact.references import PREFIX, cited, to_bibtex
from harness.report.artifact.works import WORKS
from harness.report.evidence import RunDigests
from harness.report.latex import paragraph
from harness.report.methods_text import methods_text
from harness.storage.plan import Checkout
from helpers.sample_records import configured, measured, plan

ENTRY = re.compile(r"^@(\w+)\{(\S+),\n((?:  \w+ = \{.*\},\n)+)\}$", re.MULTILINE)
DIGESTS = RunDigests("1" * 64, "2" * 64, "3" * 64)


def entries(bibtex: str) -> dict[str, dict[str, str]]:
    """Return the fields of each entry by its key; every line must belong to one."""
    assert ENTRY.sub("", bibtex).strip() == ""
    return {
        key: dict(re.findall(r"^  (\w+) = \{(.*)\},$", fields, re.MULTILINE))
        for _, key, fields in ENTRY.findall(bibtex)
    }


def test_the_citation_file_is_of_this_version() -> None:
    cff = yaml.safe_load((PROJECT / "CITATION.cff").read_text())
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    assert cff["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "type"} <= set(cff)  # the format's required keys
    assert (cff["title"], cff["version"]) == (project["name"], __version__)
    assert cff["version"] == project["version"] and cff["license"] == project["license"]
    pins = dict(re.findall(r"([\w-]+)==(\S+)", " ".join(project["dependencies"])))
    versions = {each["title"]: each.get("version") for each in cff["references"]}
    assert versions["Apache MXNet"] == pins["mxnet"]
    assert versions["Intel Neural Compressor"] == pins["neural-compressor"]
    assert all(each["authors"] and each["type"] for each in cff["references"])


def test_the_run_is_cited_with_its_versions_and_digests() -> None:
    run = entries(to_bibtex(plan(), DIGESTS))[f"{PREFIX}run"]
    assert "run r of the workload" in run["title"]
    for part in ("Apache MXNet 2 (commit c)", "Intel Neural Compressor 1", "a CPU"):
        assert part in run["note"]
    plain = run["note"].replace(r"\allowbreak{}", "").replace(r"\-", "")
    assert all(digest[:8] in plain for digest in (DIGESTS.plan, DIGESTS.config, DIGESTS.results))


def test_the_run_is_cited_with_the_commit_of_its_code() -> None:
    note = entries(to_bibtex(plan(), DIGESTS))[f"{PREFIX}run"]["note"]
    assert f"inc-bench {plan().harness}, Apache MXNet" in note.replace(r"\allowbreak{}", "")
    known = replace(plan(), checkout=Checkout(commit="ab" * 20, clean=False))
    note = entries(to_bibtex(known, DIGESTS))[f"{PREFIX}run"]["note"]
    said = f"(commit {'ab' * 20} with uncommitted changes)"
    assert said in note.replace(r"\allowbreak{}", "")


@pytest.mark.parametrize(
    ("method", "keys"),
    [
        ("fp32", set()),
        ("fp32_fused", set()),
        ("int8_full_naive", {"jacob"}),
        ("int8_smart_entropy", {"jacob", "migacz"}),
        ("int8_smart_naive_channel", {"jacob", "krishnamoorthi"}),
        ("int8_inc_basic", {"jacob", "migacz"}),
        ("int8_inc_bayesian", {"jacob", "migacz", "snoek"}),
        ("int8_inc_mycustom", {"jacob", "migacz", "snoek"}),
        ("int8_inc_sensitivity", {"jacob", "migacz", "sakr", "lin"}),
        ("int8_equalized_corrected", {"jacob", "nagel"}),
        ("bf16", {"kalamkar"}),
        ("int8_inc_sensitivity_bf16", {"jacob", "migacz", "sakr", "lin", "kalamkar"}),
    ],
)
def test_a_method_brings_its_papers(method: str, keys: set[str]) -> None:
    methods = compose_config([f"method=[{method}]"]).config.method
    assert {source.work.key for source in sources_of(methods)} == keys


def test_every_work_has_a_key_of_its_own_and_balanced_braces() -> None:
    works = [*WORKS, *(source.work for source in SOURCES)]
    assert len({work.key for work in works}) == len(works)
    for work in works:
        assert {"author", "title", "year"} <= set(work.fields) and work.phrases
        for value in work.fields.values():
            assert value.count("{") == value.count("}")


def own(**settings: Any) -> Mapping[str, Any]:
    return {"label": "own", "_target_": "harness.methods.inc.Tuned", **settings}


def test_the_paragraph_cites_the_papers_of_the_rows() -> None:
    planned = configured(plan(), method={"own": own(strategy="random"), "fp32": own()})
    text = methods_text(planned, [measured("fp32", 1.0)], [])
    assert "random search (Bergstra and Bengio, 2012)" in text
    tex = cited(paragraph(text))
    known = entries(to_bibtex(planned, DIGESTS))
    named = set(re.findall(r"\\cite\{(.*?)\}", tex))
    assert {f"{PREFIX}bergstra_random", f"{PREFIX}jacob", f"{PREFIX}mxnet"} <= named <= set(known)
    assert f"{PREFIX}bergstra_tpe" not in known
