"""What a pack for review says of itself: its README, and the metadata of a deposit."""

from __future__ import annotations

import html
import shlex
from typing import Any

from harness.render.escape import markdown_cell, one_line
from harness.report.evidence import RunDigests
from harness.storage.plan import RunPlan
from harness.table.loaded_run import LoadedRun
from harness.table.plan_words import machine_text

FILL_IN = "FILL IN"  # begins what only a person can say
README = """\
# Run {run}, for review

{about}

## Check it

These two commands need inc-bench {harness}{code}, and no network once its packages are installed:

```bash
./run.sh import file={pack}
./run.sh verify run={run}
```

`import` refuses the file if one byte of it has changed, and takes the run in. `verify` compares every
file of the run with the digest in its record, ends with exit code 0, and prints the digest of the
results:

```text
{digest}
```

If a run of this name is there already, give both commands `run.results=DIR` with an empty folder.

## Run it again

```bash
{command}
```

It starts a new run.{caution} `./run.sh verify run={run} with=NEW` compares the two runs in all but
times. Times are those of the machine, so compare speedups and intervals, not seconds.

## What is here

| path | content |
|---|---|
| `pack.json` | every file with its bytes and its SHA-256 |
| `plan.json`, `records/`, `rounds/` | the configuration, and the raw facts of each row and round |
| `methods/` | predictions of every image, trials of each search, logs{models} |
| `table.md`, `table.csv`, `kernels.csv` | the tables |
| `review/report/` | the report: open `report.html`; figures, LaTeX and `references.bib` are beside it |
| `review/report/checklist.md` | the reproducibility checklist; what is open in it, the authors answer |
| `review/requirements/` | the locks: every package with the SHA-256 of its files, and their licences |
| `review/conf/` | the configuration files{own} |
| `review/zenodo.json` | metadata of a deposit, see below |
| `review/CITATION.cff`, `LICENSE`, `NOTICE` | how to cite inc-bench, its licence, third-party material |

## Deposit it

`zenodo.json` has the keys of Zenodo's `.zenodo.json`. Replace what begins with `{fill_in}`, and enter
it with this file in an archive that gives a DOI. Nothing was uploaded.
"""


def to_readme(run: LoadedRun, digests: RunDigests, command: str, pack: str) -> str:
    """Return the README, in Markdown.

    Args:
        command: the one that repeats the run.
        pack: the name of the file.
    """
    plan = run.plan
    models = any((run.folder.path / "methods").glob("*/*.params"))
    return README.format(
        run=plan.run,
        about=markdown_cell(_about(run)),
        harness=markdown_cell(plan.harness),
        code=f" with the code digest {markdown_cell(plan.code)}" if plan.code else "",
        pack=_in_fence(shlex.quote(pack)),
        digest=digests.results,
        command=_in_fence(command),
        caution=" Read it before you type it: the run was imported." if plan.foreign else "",
        models=", models" if models else "; the models are not here, the command above makes them",
        own="; `review/own/` has those of the authors" if "--conf" in command else "",
        fill_in=FILL_IN,
    )


def _in_fence(words: str) -> str:
    """Return quoted words for a fenced block, with nothing between the backticks that would end it."""
    return one_line(words).replace("``", "`''`")  # two quotes in a quoted word are nothing


def _about(run: LoadedRun) -> str:
    plan = run.plan
    versions = plan.versions
    software = [
        f"Apache MXNet {versions.mxnet}",
        f"Intel Neural Compressor {versions.neural_compressor}",
        *versions.engine_texts,
    ]
    return (
        f"Accuracy, one-time cost and speed of {len(run.rows)} methods for the workload "
        f"{plan.workload.name} on {machine_text(plan.machine)}, "
        f"measured {plan.created} by inc-bench {plan.harness} with {' and '.join(software)}."
    )


def to_zenodo(run: LoadedRun, digests: RunDigests) -> dict[str, Any]:
    """Return the metadata of a deposit, with the keys of ``.zenodo.json``."""
    plan = run.plan
    return {
        "title": one_line(f"inc-bench run {plan.run}: quantisation of {_network(plan)}"),
        "upload_type": "dataset",
        "description": f"<p>{html.escape(one_line(_about(run)))}</p>"
        "<p>The file is a pack of inc-bench: review/README.md in it says how to check it.</p>",
        "creators": [
            {
                "name": f"{FILL_IN}: family name, given names",
                "affiliation": f"{FILL_IN}, or remove",
                "orcid": f"{FILL_IN}, or remove",
            }
        ],
        "license": f"{FILL_IN}: the licence of the results, such as cc-by-4.0",
        "access_right": "open",
        "version": digests.results,
        "keywords": ["quantization", "int8", "benchmark", "MXNet", "Intel Neural Compressor"],
        "notes": f"Plan, SHA-256 {digests.plan}; configuration, SHA-256 {digests.config}.",
    }


def _network(plan: RunPlan) -> str:
    return plan.workload.model.network or f"the workload {plan.workload.name}"
