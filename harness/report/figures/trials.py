"""What each search tried: the accuracy of every trial and the least that it had to reach."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from harness.errors import HarnessError
from harness.facts.typed import Mistyped, decode
from harness.files import reading, whole_files
from harness.render.drawing import (
    BLUE,
    MUTED,
    PAGE,
    VERMILION,
    Drawing,
    Words,
    is_narrow,
    missing,
    render_figure,
    titled_panels,
)
from harness.storage import stage_facts, store
from harness.storage.plan import RunPlan
from harness.storage.record import MethodRecord
from harness.table.loaded_run import LoadedRun
from harness.table.metrics import top_k_correct
from harness.table.searches import least_accepted

NAME, TITLE = "tuning", "Tuning trajectory"
LONGEST = 100  # characters of what a trial changed


@dataclass(frozen=True)
class Trial:
    """One evaluated model; ``changed`` says what differs from the trial before."""

    number: int
    accuracy: float
    best: float
    seconds: float
    changed: str


@dataclass(frozen=True)
class Trajectory:
    """The search of a row, accuracies on the tuning batches.

    Attributes:
        baseline: fp32's accuracy, None where no row of the run kept it.
        target: the least that was accepted, None without a baseline.
        outcome: how the row ended.
    """

    method: str
    label: str
    trials: tuple[Trial, ...]
    baseline: float | None
    target: float | None
    outcome: str


def figure(run: LoadedRun) -> Drawing:
    """Return the figure of a run."""
    return draw(trajectories(run.plan, run.records, stored_trials(run), fp32_accuracy(run)))


def stored_trials(run: LoadedRun) -> dict[str, tuple[Trial, ...]]:
    """Return, by method, the trials of rows without a model from their files: no record has them.

    Raises:
        HarnessError: a file of them is damaged.
    """
    paths = {
        record.method: run.folder.method(record.method) / store.TRAJECTORY
        for record in run.records
        if not (record.optimize and record.optimize.trajectory)
    }
    trials = {}
    for method, path in paths.items():
        if path.is_file():
            try:
                stored = decode(whole_files.load_json(path), list[stage_facts.Trial])
            except Mistyped as error:
                raise HarnessError(
                    f"{path} is no trajectory ({error}): restore or delete it"
                ) from None
            trials[method] = read_trials(stored)
    return trials


def fp32_accuracy(run: LoadedRun) -> float | None:
    """Return the top-1 of fp32 on the tuning batches, 0 .. 1, by the predictions that a search kept.

    Raises:
        HarnessError: the predictions or the labels are damaged.
    """
    folder = run.folder
    labels = folder.labels if run.plan.tuning_overlap else folder.path / "labels_tuning.npy"
    for record in run.records:
        path = folder.method(record.method) / store.TRIALS
        if path.is_file() and labels.is_file():
            try:
                fp32 = reading.read_npz(path, "top1", "<u2", (None, None))[0]
                right = (
                    run.labels
                    if run.plan.tuning_overlap
                    else reading.read_npy(labels, "<i8", (None,))
                )[: len(fp32)]
                return float(top_k_correct(fp32[:, None], right, 1).mean())
            except (reading.BadArray, IndexError, ValueError) as error:
                raise HarnessError(
                    f"{path} or {labels} is damaged ({error}): restore or delete it"
                ) from None
    return None


def trajectories(
    plan: RunPlan,
    records: Sequence[MethodRecord],
    stored: Mapping[str, tuple[Trial, ...]],
    fp32: float | None = None,
) -> list[Trajectory]:
    """Return the searches of a run, in the table's order.

    Args:
        stored: by method, the trials of a row whose record holds none, since it ended without a
            model.
        fp32: its accuracy on the tuning batches, for a run of which no record has it.
    """
    baselines = [
        record.optimize.quantization.baseline_accuracy
        for record in records
        if record.optimize and record.optimize.quantization
    ]  # of one network on the same batches, so the same for all
    baseline = next((value for value in baselines if value is not None), fp32)
    searches = []
    for record in records:
        trials = read_trials((record.optimize.trajectory or ()) if record.optimize else ())
        trials = trials or stored.get(record.method, ())
        if trials:
            options = plan.search_options(record.method)
            target = None
            if baseline is not None and options is not None:
                target = least_accepted(baseline, options.criterion, options.tolerance)
            outcome = str(record.outcome)
            searches.append(
                Trajectory(record.method, record.label, trials, baseline, target, outcome)
            )
    return searches


def read_trials(stored: Sequence[stage_facts.Trial]) -> tuple[Trial, ...]:
    """Return the trials of a trajectory as it is stored."""
    best = accumulate((trial.accuracy for trial in stored), max)
    return tuple(
        Trial(trial.trial, trial.accuracy, top, trial.seconds, _changed(trial.changed))
        for trial, top in zip(stored, best)
    )


def _changed(changed: Mapping[str, str]) -> str:
    text = "; ".join(f"{name}: {to}" for name, to in changed.items()) or "nothing"
    if len(text) <= LONGEST:
        return text
    first = next(iter(changed.items()))
    return f"{len(changed)} operators, first {first[0]}: {first[1]}"[:LONGEST]


def draw(searches: Sequence[Trajectory]) -> Drawing:
    """Return the figure: one panel a search."""
    if not searches:
        return missing(NAME, TITLE, "This run has no row that a strategy tuned.")
    known = any(search.target is not None for search in searches)
    line = (
        "Solid line: the least that was accepted. Dashed: fp32."
        if known
        else "fp32's accuracy on these batches is not in the records, so no line of the criterion."
    )
    words = Words(
        NAME,
        TITLE,
        "Top-1 accuracy on the tuning batches of every model that a search evaluated, by trial. "
        f"Filled: it met the criterion. Stepped line: the best so far. {line}",
        " ".join(_described(search) for search in searches),
        ("Method", "Trial", "Top-1", "Best so far", "Seconds", "Changed from the trial before"),
        [
            (
                search.label,
                str(t.number),
                f"{t.accuracy:.4f}",
                f"{t.best:.4f}",
                f"{t.seconds:.2f}",
                t.changed,
            )
            for search in searches
            for t in search.trials
        ],
    )
    wide_in, narrow_in = 0.5 + 1.75 * -(-len(searches) // 2), 0.5 + 1.35 * len(searches)
    return render_figure(words, wide_in, lambda figure: _fill(figure, searches), narrow_in)


def _described(search: Trajectory) -> str:
    met = [t for t in search.trials if search.target is not None and t.accuracy >= search.target]
    best = search.trials[-1].best
    ending = (
        f"first met the criterion in trial {met[0].number}" if met else "never met the criterion"
    )
    if search.target is None:
        ending = "has no known criterion"
    return f"{search.label}: {len(search.trials)} trials, best {best:.4f}, {ending} ({search.outcome})."


def _fill(figure: Figure, searches: Sequence[Trajectory]) -> None:
    labels, across = [search.label for search in searches], 1 if is_narrow(figure) else 2
    drawn = titled_panels(figure, labels, across, "Trial", "Top-1, tuning batches", sharey=True)
    for axes, search in zip(drawn, searches):
        _panel(axes, search)


def _panel(axes: Axes, search: Trajectory) -> None:
    numbers = [trial.number for trial in search.trials]
    axes.step(
        numbers, [t.best for t in search.trials], where="post", color=BLUE, linewidth=0.9, alpha=0.6
    )
    for met, face in ((False, PAGE), (True, BLUE)):
        some = [
            t
            for t in search.trials
            if (search.target is not None and t.accuracy >= search.target) is met
        ]
        axes.plot(
            [t.number for t in some],
            [t.accuracy for t in some],
            linestyle="none",
            marker="o",
            markersize=5.5 if met else 3.6,
            markerfacecolor=face,
            markeredgecolor=BLUE,
            markeredgewidth=0.8,
            zorder=3,
        )
    if search.target is not None and search.baseline is not None:
        axes.axhline(search.target, color=VERMILION, linewidth=1)
        axes.axhline(search.baseline, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    last = max(numbers[-1], 3)
    axes.set_xlim(1 - 0.03 * last, 1.03 * last)
