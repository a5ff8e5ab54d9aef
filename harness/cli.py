"""The command line. Imports only the standard library before it knows that it must do more."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

REPEATS = "10"
HELP = """\
usage: ./run.sh [VERB] [KEY=VALUE ...] [--conf DIR ...]

Regenerates the ResNet50v2 results table of MXNet's tutorial on improving accuracy with Intel Neural
Compressor: tunes every method in its own process, validates the saved models, writes CSV and Markdown.

verbs
  run        measure and print the table (the default verb)
  table      run=ID                           rebuild a run's tables from its records
  report     run=ID                           one page, LaTeX, figures: what a paper or a review needs
  nightly    [KEY=VALUE ...]                  measure experiment=nightly, compare with earlier nights,
                                              measure suspected rows again; exit 1 on a regression
  history    [rebuild=true]                   the nights so far; make their database from the records
  acknowledge run=ID reason=WHY [method=NAME] [metric=batch_s|cost_s|top1|top5]
                                              a known shift: later nights compare from that run on
  compare    RUN RUN ... [name=NAME]          methods by machines: speed, share of the roof, cost,
             [prices=FILE] [price.MACHINE=N]  disagreement, as a page, Markdown and CSV; a run is RUN or
             [--force]                        MACHINE/RUN; --force takes runs not measured alike
  verify     run=ID [with=ID]                 every file as recorded? two runs the same but for times?
  recover    run=ID method=NAME trial=K       bring back the model of a tuning trial and validate it
  aa         [repeats=10] [KEY=VALUE ...]     one code against itself: false alarms, what can be seen
  doctor     [KEY=VALUE ...]                  can this machine measure? one screen
  cache      [clear=all|KEY] [check=all|KEY]  list the prepared images; delete or verify them
  pack       run=ID [to=FILE] [models=true]   a run as one file with digests;
             [sign=KEY]                       signed with an ed25519 key of ssh-keygen
  import     file=FILE [trust=KEYS]           verify such a file and take its run in, with trust= only
                                              if one of these public keys signed it
  fleet      [machines=all|[NAME,...]] [address=HOST:PORT] [KEY=VALUE ...]
                                              the same run on every machine of a Ray cluster
  test       [quick] [pytest arguments]       run the tests; quick: in about a minute, without models
  test-faults [WORD ...]                      kill, starve and damage runs at every step, or where the
                                              name of the fault holds a word; exit 1 on any loss
  test-fuzz  [inputs=N] [target=NAME]         feed every parser more than 100,000 bad inputs
  benchmark  NAME [arguments]                 run benchmarks/NAME

configuration (Hydra; conf/config.yaml shows every key)
  workload=bundled|imagenet|custom            what is measured; workload.rec=, workload.params= name files
  method=[fp32,int8_inc_mse,...]              the rows, in this order; conf/method/ has one file each
  threads=omp|kmp|none  threads.count=N       how threads are pinned
  protocol=published|careful|nightly|quick    one pass as published, or rounds with intervals
  protocol.sweep=[1,8,128]                    more batch sizes, with p50, p90 and p99 of a batch's time
  experiment=paper|nightly|beyond|smoke|...   several choices at once
  run.id=ID                                   continue a stopped run; what is finished stays
  run.reuse_tuned=ID                          measure an earlier run's models again, make none
  nightly.baseline=last|ID  nightly.runs=5    what a night is compared with
  table.intervals=true|false                  with 95 % intervals, or plain as published
  --conf DIR                                  a folder with configuration and modules of your own

examples
  ./run.sh
  ./run.sh workload=imagenet workload.rec=/data/val.rec workload.params=/data/resnet50_v2.params
  ./run.sh method=[fp32,fp32_fused,int8_inc_mse] threads.count=1

exit codes
  0  fine (a search without a solution and a row that the CPU cannot run are results, not failures)
  1  a verdict: a regression was found; cache check= or verify found damage or a difference
  2  the input is at fault: the message says what and what to do
  3  the harness or a method failed, a row is invalid, or the run was interrupted; what was measured
     is kept, and run.id=ID goes on with the rest

Ctrl-C once finishes the record in progress (a row, a timing of a round, the roof) and stops; twice
stops now, as do SIGTERM and the end of the terminal. Whatever is recorded stays.

Progress goes to stderr, the table to stdout; files go to results/MACHINE/RUN/ and the cache folder.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a verb and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if any(word in ("-h", "--help", "help") for word in given):
        print(HELP, end="")
        return 0
    try:
        from harness.errors import HarnessError, InputError, exit_code, of_system
        from harness.process.interrupt import catch_signals
    except Exception:  # a damaged checkout
        traceback.print_exc()
        return 3
    catch_signals()
    try:
        verb, overrides, folders = _parsed(given)
        return VERBS[verb](overrides, folders)
    except (InputError, HarnessError) as error:
        return exit_code(error)
    except KeyboardInterrupt as stop:  # says what goes on, once there is something
        kept = f"what is finished is kept; {stop} goes on with the rest" if stop.args else ""
        print(f"interrupted: {kept or 'no run was begun'}", file=sys.stderr)
        return 3
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        return exit_code(of_system(error))
    except Exception as error:  # 1 is a verdict, and this is none
        traceback.print_exc()
        print(f"failed: {type(error).__name__}: {error}", file=sys.stderr)
        return 3


def _parsed(given: Sequence[str]) -> tuple[str, list[str], list[Path]]:
    """Split the command line into the verb, the overrides and the folders of ``--conf``.

    Among the overrides of a verb in ``OPTIONS`` are also its options, and words without ``=``.
    """
    from harness.errors import InputError

    verb, overrides, folders = "run", [], []
    words = iter(given)
    for number, word in enumerate(words):
        if word == "--conf":
            folder = next(words, None)
            if folder is None:
                raise InputError("--conf needs a folder")
            folders.append(Path(os.path.expanduser(folder)).resolve())
        elif word in OPTIONS.get(verb, ()):
            overrides.append(word)
        elif word.startswith("-"):
            raise InputError(f"{word}: there is no such option; see ./run.sh --help")
        elif "=" in word:
            overrides.append(word)
        elif number == 0 and word in VERBS:
            verb = word
        elif verb in OPTIONS:
            overrides.append(word)
        else:
            known = ", ".join([*VERBS, "test", "test-faults", "test-fuzz", "benchmark"])
            raise InputError(f"{word}: not a verb ({known}) and not KEY=VALUE; see ./run.sh --help")
    return verb, overrides, folders


def _run(overrides: Sequence[str], folders: Sequence[Path]) -> int:
    from harness.render.progress import display
    from harness.run.lifecycle import run
    from harness.table.tables import MARKDOWN

    code, folder = run(overrides, folders, display())
    print((folder.path / MARKDOWN).read_text(encoding="utf-8"), end="")
    return code


def _aa(overrides: Sequence[str], folders: Sequence[Path]) -> int:
    from harness.commands.aa import run_aa
    from harness.render.progress import display

    named = [word for word in overrides if word.startswith("repeats=")]
    rest = [word for word in overrides if word not in named]
    repeats = named[-1].split("=", 1)[1] if named else REPEATS
    code, text = run_aa(repeats, rest, folders, display())
    print(text, end="")
    return code


def _nightly(overrides: Sequence[str], folders: Sequence[Path]) -> int:
    from harness.commands.nightly import nightly
    from harness.nightly.nightly_report import short
    from harness.render.progress import display

    code, text, folder = nightly(overrides, folders, display())
    print(short(text), end="")
    print(f"every row: {folder.path / 'nightly.md'}", file=sys.stderr)
    return code


def _history(overrides: Sequence[str], folders: Sequence[Path]) -> int:
    from harness.commands.history import listing, rebuilt
    from harness.config import compose_config, project_path

    given, rest = _given(overrides, {"rebuild": "false"})
    results = project_path(compose_config(rest, folders).values["run"]["results"])
    if _switch("rebuild", given["rebuild"]):
        for line in rebuilt(results):
            print(line, file=sys.stderr)
    print(listing(results), end="")
    return 0


def _acknowledge(overrides: Sequence[str], folders: Sequence[Path]) -> int:
    from harness.commands.history import acknowledged
    from harness.config import compose_config, project_path

    named, rest = _named(overrides, {"run", "reason"})
    given, rest = _given(rest, {"method": "*", "metric": "*"})
    results = project_path(compose_config(rest, folders).values["run"]["results"])
    folder = _folder(named["run"], rest, folders)
    print(acknowledged(results, folder, given["method"], given["metric"], named["reason"]))
    return 0


def _table(overrides: Sequence[str], folders: Sequence[Path]) -> int:
    from harness.config import compose_config
    from harness.table.tables import write_tables

    named, rest = _named(overrides, {"run"})
    folder = _folder(named["run"], rest, folders)
    intervals = compose_config(rest, folders).values["table"]["intervals"]
    print(write_tables(folder, intervals), end="")
    return 0


def _report(overrides: Sequence[str], folders: Sequence[Path]) -> int:
    from harness.commands.report import write_report
    from harness.config import compose_config, project_path

    named, rest = _named(overrides, {"run"})
    folder = _folder(named["run"], rest, folders)
    cache = project_path(compose_config(rest, folders).values["run"]["cache"])
    page, *others = write_report(folder, cache, folders)
    print(
        f"{page}\nand beside it {', '.join(str(path.relative_to(page.parent)) for path in others)}"
    )
    return 0


def _compare(words: Sequence[str], folders: Sequence[Path]) -> int:
    from harness.commands.compare import compare_runs

    return compare_runs(words, folders)


def _verify(overrides: Sequence[str], folders: Sequence[Path]) -> int:
    from harness.packs.verify import differences, verify

    named, rest = _named(overrides, {"run"})
    given, rest = _given(rest, {"with": ""})
    folder = _folder(named["run"], rest, folders)
    found = verify(folder)
    for line in found.wrong:
        print(line)
    for path in found.absent:
        print(f"{path} is not here, so it was not checked")
    print(f"run {folder.id}: {found.files} files checked, {len(found.wrong)} findings")
    print(f"digest of all but times: {found.digest}")
    differ = differences(folder, _folder(given["with"], rest, folders)) if given["with"] else []
    if given["with"]:
        print(f"run {given['with']}: {'differs in ' + ', '.join(differ) if differ else 'the same'}")
    return 1 if found.wrong or differ else 0


def _recover(overrides: Sequence[str], folders: Sequence[Path]) -> int:
    from harness.commands.recover import recover
    from harness.render.progress import display

    named, rest = _named(overrides, {"run", "method", "trial"})
    folder = _folder(named["run"], rest, folders)
    return recover(folder, named["method"], named["trial"], folders, display())


def _pack(overrides: Sequence[str], folders: Sequence[Path]) -> int:
    from harness.config import project_path
    from harness.packs.pack import write_pack

    given, others = _given(overrides, {"to": "", "models": "false", "sign": ""})
    named, rest = _named(others, {"run"})
    models = _switch("models", given["models"])
    folder = _folder(named["run"], rest, folders)
    to = project_path(given["to"] or str(folder.path.with_name(f"{folder.id}.zip")))
    sign = project_path(given["sign"]) if given["sign"] else None
    manifest, sha256 = write_pack(folder, to, models, sign)
    print(f"packed run {folder.id} of {manifest.machine}: {to}")
    print(f"{len(manifest.members)} files, {manifest.bytes} bytes; SHA-256 {sha256}")
    return 0


def _import(overrides: Sequence[str], folders: Sequence[Path]) -> int:
    from harness.config import compose_config, project_path
    from harness.packs.importing import import_pack
    from harness.render.escape import plain

    named, rest = _named(overrides, {"file"})
    given, rest = _given(rest, {"trust": ""})
    results = project_path(compose_config(rest, folders).values["run"]["results"])
    trust = project_path(given["trust"]) if given["trust"] else None
    taken = import_pack(project_path(named["file"]), results, trust=trust)
    done = "was there already, the same" if taken.known else "is verified and imported"
    print(f"run {taken.folder.id} of {taken.manifest.machine} {done}: {taken.folder.path}")
    by = plain(taken.signed_by) if taken.signed_by else "nobody that trust= names"
    print(f"signed by {by}")
    print(
        f"{len(taken.manifest.members)} files, {taken.manifest.bytes} bytes; SHA-256 {taken.sha256}"
    )
    return 0


def _fleet(overrides: Sequence[str], folders: Sequence[Path]) -> int:
    from harness.commands.compare import compare_runs
    from harness.commands.fleet import DEFAULTS, run_fleet
    from harness.render.progress import display

    given, rest = _given(overrides, dict.fromkeys(DEFAULTS, ""))
    _switch("models", given["models"] or "false")
    code, text, arrived = run_fleet(given, rest, folders, display())
    print(text)
    if len(arrived) > 1:
        results = [word for word in rest if word.startswith("run.results=")]
        compare_runs([*arrived, *results], ())
    return code


def _doctor(overrides: Sequence[str], folders: Sequence[Path]) -> int:
    from harness.commands.doctor import diagnose

    return diagnose(overrides, folders)


def _cache(overrides: Sequence[str], folders: Sequence[Path]) -> int:
    from harness.commands.cache import manage

    return manage(overrides, folders)


def _named(overrides: Sequence[str], names: set[str]) -> tuple[dict[str, str], list[str]]:
    """Return the values of a verb's own arguments, and the overrides that are left."""
    from harness.errors import InputError

    pairs = _pairs(overrides)
    missing = sorted(names - set(pairs))
    if missing:
        raise InputError(f"give {' '.join(f'{name}=...' for name in missing)}; see ./run.sh --help")
    rest = [word for word in overrides if word.split("=", 1)[0] not in names]
    return {name: pairs[name] for name in names}, rest


def _given(overrides: Sequence[str], defaults: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return the values of a verb's optional arguments, and the overrides that are left."""
    pairs = _pairs(overrides)
    rest = [word for word in overrides if word.split("=", 1)[0] not in defaults]
    return {name: pairs.get(name, default) for name, default in defaults.items()}, rest


def _pairs(words: Sequence[str]) -> dict[str, str]:
    from harness.words import plain

    return {key: plain(value) for key, _, value in (word.partition("=") for word in words)}


def _switch(name: str, value: str) -> bool:
    from harness.errors import InputError

    if value not in ("true", "false"):
        raise InputError(f"{name}={value}: use true or false")
    return value == "true"


def _folder(run: str, overrides: Sequence[str], folders: Sequence[Path]):  # type: ignore[no-untyped-def]
    from harness.config import compose_config, project_path
    from harness.storage.store import find_run

    results = compose_config(overrides, folders).values["run"]["results"]
    return find_run(project_path(results), run)


Verb = Callable[[Sequence[str], Sequence[Path]], int]
VERBS: dict[str, Verb] = {
    "run": _run,
    "table": _table,
    "report": _report,
    "compare": _compare,
    "recover": _recover,
    "doctor": _doctor,
    "cache": _cache,
    "pack": _pack,
    "import": _import,
    "fleet": _fleet,
    "aa": _aa,
    "verify": _verify,
    "nightly": _nightly,
    "history": _history,
    "acknowledge": _acknowledge,
}
OPTIONS = {"compare": ("--force",)}  # of the verbs that take words without =, such as names of runs
