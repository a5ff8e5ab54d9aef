"""Everything that a report of a run shows, derived before anything is written.

Importing this imports matplotlib: set MPLCONFIGDIR before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.compare.pricing.prices import Prices
from harness.errors import HarnessError
from harness.render.drawing import Drawing
from harness.report.all_figures import draw_all
from harness.report.artifact.checklist import Checklist, checklists
from harness.report.choice.which_engine import WhichEngine, which_engine
from harness.report.evidence import Evidence, RunDigests, command, evidence, run_digests
from harness.report.headline import Headline, headline
from harness.report.methods_text import methods_text
from harness.report.published import Published, beside_published
from harness.storage import store
from harness.storage.plan import RunPlan
from harness.table.loaded_run import LoadedRun
from harness.table.plan_words import checkout_text


@dataclass(frozen=True)
class Report:
    """The contents of a report.

    Attributes:
        headline: the fastest row that is accurate enough, None where there is none.
        engines: the comparison of engines, None where all rows are MXNet's.
        methods: the paragraph on methods, as plain text.
        command: the command that repeats the run; ``command_notes`` say what to know of it.
    """

    run: LoadedRun
    headline: Headline | None
    engines: WhichEngine | None
    published: Published
    drawings: Sequence[Drawing]
    evidence: Sequence[Evidence]
    methods: str
    command: str
    command_notes: Sequence[str]
    digests: RunDigests
    checklists: Sequence[Checklist]


def collect(
    run: LoadedRun, folders: Sequence[str], code: str, prices: Prices | None = None
) -> Report:
    """Derive and draw the report of a run.

    Args:
        folders: of ``--conf``, for the command that repeats the run.
        code: digest of this checkout's code and of these folders, as ``RunPlan.code``.
        prices: for the comparison of engines; None: nothing has a cost.

    Raises:
        HarnessError: a file that a figure is drawn from, or the published table, is damaged.
    """
    plan = run.plan
    for path in (*(row.path for row in run.records), *(timing.path for timing in run.rounds)):
        if path not in run.digests:
            raise HarnessError(
                f"{run.folder.path / path} is missing, and another file holds its record: rename that "
                "file back"
            )

    def is_kept(name: str) -> bool:
        return (run.folder.path / name).is_file()

    digests = run_digests(plan, run.digests[store.PLAN], run.records)
    repeating = command(plan, folders)
    return Report(
        run=run,
        drawings=draw_all(run),
        headline=headline(run),
        engines=which_engine(run, prices),
        published=beside_published(plan, run.rows),
        evidence=evidence(plan, run.records, run.rounds, run.digests, is_kept),
        methods=methods_text(plan, run.records, run.rows, run.rounds, run.splits, run.served),
        command=repeating,
        command_notes=command_notes(plan, code),
        digests=digests,
        checklists=checklists(run, digests, repeating),
    )


def command_notes(plan: RunPlan, code: str) -> list[str]:
    """Say whether the command would measure the same, without composing words that a plan keeps."""
    if plan.foreign:
        return ["The run was imported: read what it says before you type it."]
    new_run = f"It starts a new run: run.id={plan.run} is left out."
    if plan.code == code:
        return [
            "This checkout has exactly the code and the configuration files that were measured.",
            new_run,
        ]
    digest = f"code digest {plan.code}" if plan.code else "no code digest in its plan"
    return [
        "This checkout's code or configuration files are not those that were measured, which were "
        f"harness {plan.harness}, {digest}; {checkout_text(plan)}. Results may differ. Add the --conf "
        "folder of the run, if it had one.",
        new_run,
    ]
