"""``./run.sh report``: a run as a page, tables and figures that a paper can take."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Sequence
from pathlib import Path

import yaml

from harness import PROJECT
from harness.errors import HarnessError, InputError
from harness.report import evidence, pareto
from harness.report.batch_times import batches
from harness.report.gain import best_accurate, gains
from harness.report.influence import Influence, influence
from harness.report.latex import breakable, escaped, to_latex
from harness.report.methods_text import methods_text
from harness.report.shares import shares
from harness.report.tuning import Trial, trajectories, trials_of
from harness.run.lifecycle import code_of
from harness.storage import arrays, store
from harness.storage.plan import RunPlan
from harness.storage.record import MethodRecord
from harness.storage.stage_facts import Trial as Recorded
from harness.storage.store import RunFolder
from harness.storage.typed import Mistyped, decode
from harness.table import published
from harness.table.beyond import PUBLISHED as METHODS
from harness.table.csv_table import pairs_to_csv, to_csv
from harness.table.markdown import table
from harness.table.metrics import PUBLISHED, top_k_correct
from harness.table.row_names import named
from harness.table.tables import Tables, read_tables

FOLDER = "report"
REFERENCE = PROJECT / "benchmarks" / "published"
INFLUENCE = "operator_influence.csv"


def write_report(folder: RunFolder, cache: Path, folders: Sequence[Path] = ()) -> list[Path]:
    """Write the report into the run's folder and return what was written, the page first.

    Args:
        cache: where matplotlib may keep what it knows of fonts.
        folders: of ``--conf``, for the command that repeats the run.

    Raises:
        InputError: the run has no finished row yet, or its folder cannot be written.
        HarnessError: a record or a file that it names is damaged.
    """
    records, rounds = folder.load_records(), folder.load_rounds()
    if not records:
        raise InputError(
            f"{folder.path} has no row to report yet: ./run.sh run.id={folder.id} goes on with it"
        )
    tables = read_tables(folder)
    plan = tables.plan
    records = named(plan, records)
    os.environ["MPLCONFIGDIR"] = str(cache / "matplotlib")  # it would be in the user's home
    store.make_folder(cache / "matplotlib", "run.cache")
    # imported here, since matplotlib reads that when it is imported, and no other verb needs it
    from harness.report.figures import Drawable, draw_all
    from harness.report.html_report import Page, to_html

    drawings = draw_all(
        Drawable(
            pareto.pareto(tables.rows),
            gains(plan, tables.rows),
            trajectories(
                plan, records, _trajectories(folder, records), _fp32(folder, plan, records)
            ),
            _influences(folder, plan, records),
            batches(plan, records, rounds),
            shares(tables.named_profiles),
        )
    )
    paths = [store.PLAN, *(each.path for each in records), *(each.path for each in rounds)]
    digests = {path: store.sha256_of(folder.path / path) for path in paths}
    reference = read_reference(REFERENCE / "published_table.csv")
    compared = published.beside(tables.rows, dict(zip(METHODS, reference.values())))
    environment = yaml.safe_load((REFERENCE / "published_environment.yaml").read_text("utf-8"))
    config_digest = evidence.config_digest(plan.config)
    methods = methods_text(plan, records, tables.rows, rounds)
    page = Page(
        plan=plan,
        rows=tables.rows,
        sizes=tables.sizes,
        profiles=tables.named_profiles,
        notes=tables.notes,
        beyond=tables.beyond,
        best=best_accurate(plan, tables.rows),
        compared=compared,
        differences=published.unlike(plan, environment["workload"]),
        published=environment,
        drawings=drawings,
        evidence=evidence.evidence(plan, records, rounds, digests),
        methods=methods,
        command=evidence.command(plan, [str(each) for each in folders]),
        command_notes=_repeats(plan, folders),
        config_digest=config_digest,
        plan_digest=digests[store.PLAN],
    )
    files: dict[str, str | bytes] = {
        "report.html": to_html(page),
        **_tables(tables, config_digest),
        "published.csv": pairs_to_csv(compared),
        "methods.txt": methods + "\n",
        "methods.tex": breakable(escaped(methods)) + "\n",
    }
    for drawing in drawings:
        if not drawing.absent:
            files[f"figures/{drawing.words.name}.svg"] = drawing.svg
            files[f"figures/{drawing.words.name}.pdf"] = drawing.pdf
    for name, content in files.items():
        store.write_atomically(folder.path / FOLDER / name, content)
    return [folder.path / FOLDER / name for name in files]


def _tables(tables: Tables, config_digest: str) -> dict[str, str | bytes]:
    plan = tables.plan
    intervals = bool(plan.config["protocol"]["rounds"])
    caption = (
        f"{plan.workload['name']}: accuracy, one-time cost and speed of each method on "
        f"{plan.machine['cpu_model']}, {plan.machine['cores']} cores"
        + (", with 95 % intervals." if intervals and any(r.intervals for r in tables.rows) else ".")
    )
    source = [
        f"run {plan.run}, measured {plan.created}, configuration SHA-256 {config_digest}",
        f"./run.sh report run={plan.run}",
    ]
    return {
        "table.csv": to_csv(tables.rows, exact=True),
        "table.md": table(tables.rows, intervals, PUBLISHED) + "\n",
        "table.tex": to_latex(tables.rows, caption, source, intervals),
    }


def read_reference(path: Path) -> dict[str, dict[str, float | None]]:
    """Return a published table: by label, the metrics' values.

    Raises:
        HarnessError: the file is missing or damaged.
    """
    try:
        with path.open(encoding="utf-8", newline="") as handle:
            rows = list(csv.DictReader(handle, strict=True))
        found = {
            row.pop("method"): {
                name: float(value) if value else None for name, value in row.items()
            }
            for row in rows
        }
        values = [value for row in found.values() for value in row.values()]
        if not found or not all(value is None or math.isfinite(value) for value in values):
            raise ValueError("it has no rows, or a number is none")
    except (csv.Error, AttributeError, KeyError, OSError, TypeError, ValueError) as error:
        raise HarnessError(
            f"{path} is damaged ({type(error).__name__}: {error}): restore it"
        ) from None
    return found


def _trajectories(
    folder: RunFolder, records: Sequence[MethodRecord]
) -> dict[str, tuple[Trial, ...]]:
    """Return the trials of rows whose record has none, those without a model, from their files."""
    paths = {
        record.method: folder.method(record.method) / "trajectory.json"
        for record in records
        if not (record.optimize and record.optimize.trajectory)
    }
    found = {}
    for method, path in paths.items():
        if path.is_file():
            try:
                found[method] = trials_of(decode(store.load_json(path), list[Recorded]))
            except Mistyped as error:
                raise HarnessError(
                    f"{path} is no trajectory ({error}): restore or delete it"
                ) from None
    return found


def _fp32(folder: RunFolder, plan: RunPlan, records: Sequence[MethodRecord]) -> float | None:
    """Return fp32's accuracy on the tuning batches from the predictions that a search kept."""
    labels = folder.labels if plan.tuning_overlap else folder.path / "labels_tuning.npy"
    for record in records:
        path = folder.method(record.method) / "trials.npz"
        if path.is_file() and labels.is_file():
            try:
                fp32 = arrays.read_npz(path, "top1", "<u2", (None, None))[0]
                right = arrays.read_npy(labels, "<i8", (None,))[: len(fp32)]
                return float(top_k_correct(fp32[:, None], right, 1).mean())
            except (arrays.BadArray, IndexError, ValueError) as error:
                raise HarnessError(
                    f"{path} or {labels} is damaged ({error}): restore or delete it"
                ) from None
    return None


def _influences(
    folder: RunFolder, plan: RunPlan, records: Sequence[MethodRecord]
) -> list[Influence]:
    found = []
    for record in records:
        path = folder.method(record.method) / INFLUENCE
        if path.is_file():
            threshold = plan.error_threshold(record.method)
            try:
                with path.open(encoding="utf-8", newline="") as handle:
                    rows = list(csv.DictReader(handle))
                found.append(influence(record.label, rows, threshold))
            except (csv.Error, KeyError, OSError, TypeError, ValueError) as error:
                raise HarnessError(
                    f"{path} is damaged ({type(error).__name__}: {error}): restore or delete it"
                ) from None
    return [each for each in found if each is not None]


def _repeats(plan: RunPlan, folders: Sequence[Path]) -> list[str]:
    """Say whether the command would measure the same, without composing words that a plan keeps."""
    if plan.foreign:
        return ["The run was imported: read what it says before you type it."]
    if plan.code == code_of(folders):
        return [
            "This checkout has exactly the code and the configuration files that were measured."
        ]
    return [
        "This checkout's code or configuration files are not those that were measured: check out the "
        "same version, and add the --conf folder of the run, if it had one."
    ]
