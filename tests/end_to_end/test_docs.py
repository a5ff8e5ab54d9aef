"""The documentation builds strictly and offline; its links, paths, keys and commands are real."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from harness import PROJECT
from harness.command_line.verbs import SET_UP
from harness.config import choices, compose_config
from helpers.command_line import CommandLine
from helpers.pages import (
    DOCS,
    FENCED,
    Command,
    anchors,
    commands,
    markdown_files,
    name_of,
    prose_of,
    text_of,
    write_own_methods,
)

EXAMPLE = PROJECT / "results" / "example" / "published"
PAGES = [pytest.param(path, id=name_of(path)) for path in markdown_files()]

# Verbs that only read: they run on a copy of the committed run, with these exit codes.
READ = {
    "--help": 0,
    "cache": 0,
    "compare": 0,
    "export": 0,
    "history": 0,
    "import": 0,
    "list": 0,
    "pack": 0,
    "report": 0,
    "table": 0,
    "verify": 1,  # the run is committed without its models
}
# Verbs that are composed and not run, with the reason; and their own words, which Hydra does not see.
COMPOSED = {
    "run": "it measures for minutes",
    "demo": "it measures for minutes",
    "nightly": "it measures for hours",
    "aa": "it measures for hours",
    "fleet": "it needs a Ray cluster",
    "doctor": "it names files of the user's; test_doctor.py runs it",
    "recover": "it needs a tuning history, which is not committed; test_recover.py runs it",
    "acknowledge": "it needs a judged night; test_history.py runs it",
    "bisect": "it measures for minutes; test_bisect.py runs it on versions that run at once",
}
OWN_WORDS = {
    "doctor": r"fix=",
    "aa": r"repeats=",
    "fleet": r"machines=|address=|models=|fleet\.",
    "recover": r"run=|method=|trial=",
    "acknowledge": r"run=|method=|metric=|reason=",
    "bisect": r"good=|bad=|method=|metric=|over=|rounds=",
}
# Words after run.sh that start another program, and what shows that it works.
PROGRAMS = {
    "completion": "test_completion.py completes in real shells",
    "benchmark": "the module must exist; test_overhead.py, test_vs_published.py and others run them",
    "test": "these are the tests",
    "test-faults": "it takes minutes; test_faults.py runs a part",
    "test-fuzz": "it takes minutes; test_fuzz.py runs a part",
}
# Programs other than run.sh, and why they are not run here.
OTHERS = {
    ".venv/bin/mkdocs": "test_the_site_builds_strictly_and_offline runs it",
    ".venv/bin/mypy": "it is run on the checkout, not by a test",
    ".venv/bin/python": "licences.py is run by test_licences.py; pip-audit needs the network",
    ".venv-openvino/bin/python": "test_licences.py runs it where that environment is",
    ".venv/bin/ray": "it starts a cluster; test_fleet.py starts its own",
    "docker": "test_container.py builds and runs the image where there is a tool",
    "eval": "test_completion.py completes in real shells",
    ".venv/bin/ruff": "it is run on the checkout, not by a test",
    "grype": "a scanner that is not installed",
    "python3": "sbom.py is run by test_sbom.py",
    "ray": "it starts machines on EC2",
    "requirements/lock.sh": "it needs the network",
    "sed": "test_readme.py runs it",
    "ssh-keygen": "the tests make such a key themselves",
}


def verb_of(command: Command) -> str:
    """Return the verb; ``--help`` where the command asks for help."""
    if "--help" in command.words:
        return "--help"
    first = command.words[0] if command.words else "run"
    return "run" if "=" in first or first.startswith("--") else first


def harness_commands(page: Path) -> list[tuple[str, Command]]:
    return [(verb_of(each), each) for each in commands(page) if each.program == "./run.sh"]


def on_the_example(words: tuple[str, ...], files: Path) -> Iterator[str]:
    """Put the copies' names in place of ID and RUN, and real files in place of the pages'."""
    runs = iter(("example/published", "lab-xeon-16c/autumn"))
    for word in words:
        key, _, value = word.partition("=")
        if word == "RUN":
            yield next(runs)
        elif value == "ID":
            yield f"{key}={'autumn' if key == 'with' else 'published'}"
        elif key == "to" and value != "-":
            yield f"to={files / {'report': 'report', 'export': 'export'}.get(words[0], 'written.zip')}"
        elif value in ("ID.zip", "my.yaml", "runner.key", "keys"):
            yield f"{key}={files / value}"
        else:
            yield word


def shown(verbs: dict[str, Any]) -> list[Any]:
    """Return the commands of these verbs that the pages show and that differ when they run."""
    found = {
        tuple(on_the_example(command.words, Path())): pytest.param(
            command, id=command.line.partition("#")[0].strip()
        )
        for page in markdown_files()
        for verb, command in harness_commands(page)
        if verb in verbs
    }
    return list(found.values())


@pytest.mark.parametrize("page", PAGES)
def test_each_command_is_run_composed_or_listed(page: Path) -> None:
    for command in commands(page):
        if command.program == "./run.sh":
            assert verb_of(command) in {**READ, **COMPOSED, **PROGRAMS}, command.line
        else:
            assert command.program in OTHERS, f"say in OTHERS how this is tested: {command.line}"


def test_no_list_names_what_no_page_shows() -> None:
    shown = [command for page in markdown_files() for command in commands(page)]
    verbs = {verb_of(command) for command in shown if command.program == "./run.sh"}
    assert verbs == {*READ, *COMPOSED, *PROGRAMS}
    assert {command.program for command in shown} - {"./run.sh"} == set(OTHERS)


@pytest.mark.parametrize("page", PAGES)
def test_blocks_of_code_say_their_language(page: Path) -> None:
    languages = {match[1] for match in FENCED.finditer(page.read_text())}
    assert languages <= {"bash", "latex", "python", "yaml", "text"}
    assert page.read_text().count("\n```") == 2 * len(FENCED.findall(page.read_text()))


@pytest.mark.parametrize("page", PAGES)
def test_each_benchmark_exists(page: Path) -> None:
    for verb, command in harness_commands(page):
        if verb == "benchmark":
            place = PROJECT / "benchmarks" / command.words[1]
            assert (place / "__main__.py").is_file() or place.with_suffix(".py").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("command", shown(COMPOSED))
def test_words_for_hydra_are_composed(command: Command, tmp_path: Path) -> None:
    verb, words, folders = verb_of(command), list(command.words), []
    if words[:1] == [verb]:
        del words[0]
    if "--conf" in words:
        at = words.index("--conf")
        assert words[at + 1] == "mine"
        del words[at : at + 2]
        folders.append(write_own_methods(tmp_path / "mine"))
    own = OWN_WORDS.get(verb)
    if SET_UP in words:  # the words without = are environments
        words = [word for word in words if "=" in word]
    overrides = [word for word in words if not (own and re.match(own, word))]
    compose_config(overrides, folders)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[CommandLine, Path]]:
    """Yield a command line with two copies of the committed run, and a folder of files to name."""
    place = tmp_path_factory.mktemp("scene")
    cli = CommandLine(place / "results", place / "cache")
    for folder in (cli.results / "example" / "published", cli.results / "lab-xeon-16c" / "autumn"):
        shutil.copytree(EXAMPLE, folder)
    plan = cli.results / "lab-xeon-16c" / "autumn" / "plan.json"
    plan.write_text(json.dumps({**json.loads(plan.read_text()), "run": "autumn"}))
    files = place / "files"
    files.mkdir()
    shutil.copy(PROJECT / "conf" / "prices.yaml", files / "my.yaml")
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    (files / "runner.key").write_bytes(private)
    (files / "runner.key").chmod(0o600)
    (files / "keys").write_bytes(public + b" runner\n")
    packed = cli("pack", "run=published", f"to={files / 'ID.zip'}", f"sign={files / 'runner.key'}")
    assert packed.code == 0, packed.err
    yield cli, files
    cli.close()


@pytest.mark.slow
@pytest.mark.parametrize("command", shown(READ))
def test_verbs_that_read_run_on_the_committed_run(
    command: Command, scene: tuple[CommandLine, Path]
) -> None:
    cli, files = scene
    ended = cli(*on_the_example(command.words, files))
    verb = verb_of(command)
    assert ended.code == READ[verb], f"{ended.out}{ended.err}"
    if verb == "verify":
        complaints = [line for line in ended.out.splitlines() if "is missing" in line]
        assert f"{len(complaints)} findings" in ended.out
        assert all("model-" in line for line in complaints)


@pytest.mark.parametrize("page", PAGES)
def test_links_and_anchors_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose_of(page)):
        if re.match(r"https://[\w.-]+\.\w+", target):
            continue  # no test asks the network
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), f"{name_of(page)} links {target}"
        assert not anchor or anchor in anchors(file), f"{name_of(page)} links {target}"


@pytest.mark.parametrize("page", PAGES)
def test_files_and_tests_that_a_page_names_exist(page: Path) -> None:
    code = re.findall(r"`([^`\n]+)`", FENCED.sub("", page.read_text()))
    folders = ("harness/", "conf/", "docs/", "tests/", "benchmarks/", "requirements/")
    for name in code:
        if name.startswith(folders) and " " not in name:
            assert list(PROJECT.glob(name.rstrip("/"))), f"{name_of(page)} names {name}"
    sources = {path.name: path.read_text() for path in (PROJECT / "tests").rglob("test_*.py")}
    for name in code:
        if re.fullmatch(r"test_\w+\.py", name):
            assert name in sources, f"{name_of(page)} names {name}"
        elif re.fullmatch(r"test_\w+", name):
            named = (f"def {name}(" in source for source in sources.values())
            assert any(named), f"{name_of(page)} names {name}"


def leaves(values: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


@pytest.mark.slow
def test_every_key_of_the_configuration_is_described() -> None:
    page = text_of(DOCS / "configuration.md")
    groups = ("workload", "protocol", "threads")
    chosen = [f"{group}={choice}" for group in groups for choice in choices(group)]
    methods = f"method=[{','.join(choices('method'))}]"
    for words in ([methods], *([choice] for choice in chosen)):
        for key in leaves(compose_config(words).config.stored):
            name = key.split(".")[2] if key.startswith("method.") else key
            name = "workload.model" if key.startswith("workload.model.") else name
            assert f"`{name}`" in page, f"{key} is not in docs/configuration.md"


def test_every_choice_is_described() -> None:
    page = text_of(DOCS / "configuration.md")
    for group in ("experiment", "workload", "protocol", "threads"):
        (line,) = [line for line in page.splitlines() if line.startswith(f"| `{group}=`")]
        assert set(re.findall(r"`(\w+)`", line)) == set(choices(group))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the site where no proxy answers, and return its folder."""
    into = tmp_path_factory.mktemp("site")
    nowhere = dict.fromkeys(("http_proxy", "https_proxy", "all_proxy"), "http://127.0.0.1:9")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(into)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **nowhere, "NO_MKDOCS_2_WARNING": "1"},
    )
    assert built.returncode == 0, built.stderr
    assert "WARNING" not in built.stderr
    return into


def test_the_site_builds_strictly_and_offline(site: Path) -> None:
    pages = sorted(path.relative_to(DOCS).with_suffix(".html") for path in DOCS.rglob("*.md"))
    assert pages and all((site / page).is_file() for page in pages)
    loading = (
        r'<(?:script|img|iframe)\b[^>]*\bsrc="(?:https?:)?//|<link\b[^>]*\bhref="(?:https?:)?//'
    )
    for page in site.rglob("*.html"):
        assert not re.search(loading, page.read_text()), f"{page.name} loads from the network"
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", sheet.read_text())


def test_included_pages_are_whole(site: Path) -> None:
    for page, heading in (("security", "How to report"), ("files", "plan.json")):
        assert heading in (site / f"{page}.html").read_text()
