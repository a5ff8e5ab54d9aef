"""The settings of searches as sentences: of INC's in MXNet together, of each other engine's by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from harness.storage.method_options import EngineSearch
from harness.storage.plan import RunPlan
from harness.storage.record import MethodRecord
from harness.table.searches import SearchSettings, engine_searches, searches, shared_calibration


def searches_text(plan: RunPlan, records: Sequence[MethodRecord]) -> Iterator[str]:
    """Yield the sentences on the searches of a run; none where it has none."""
    settings = searches(plan, records)
    if settings:
        losses = {_tolerated(search.criterion, search.tolerance) for search in settings}
        limits = sorted({search.timeout_s for search in settings} - {0})
        within = f" and {' or '.join(f'{limit:g}' for limit in limits)} s" if limits else ""
        yield (
            "Intel Neural Compressor's strategies accepted a loss of top-1 of "
            f"{_either(losses)} on these images, calibrated on "
            f"{_calibrated(settings, plan)} of them (objective "
            f"{_either({search.objective for search in settings})}, at most "
            f"{_trials(settings, plan)}{within}, "
            f"seed {_either({str(search.seed) for search in settings})})."
        )
    if shared_calibration(plan, records):
        yield "They shared one calibration cache, as in the tutorial."
    for record, search in engine_searches(plan, records):
        words = _limits(search)
        yield (
            f"{record.label} accepted a loss of top-1 of "
            f"{_tolerated(search.criterion, float(search.tolerance))} on these images"
            + (f" ({', '.join(words)})." if words else ".")
        )


def _tolerated(criterion: str, tolerance: float) -> str:
    if criterion == "relative":
        return f"{100 * tolerance:g} % relative"
    return f"{tolerance:g} absolute"


def _limits(search: EngineSearch) -> list[str]:
    """Return the limits of an engine's search in words; none where the engine has no such option."""
    within = f" and {search.timeout_s:g} s" if search.timeout_s else ""
    words = (
        (search.max_trials, f"at most {search.max_trials} trials{within}"),
        (search.sampling_size, f"calibrated on at most {search.sampling_size} images"),
        (search.seed, f"seed {search.seed}"),
    )
    return [text for value, text in words if value is not None]


def _trials(settings: Sequence[SearchSettings], plan: RunPlan) -> str:
    """Return the limit of most searches' trials, and in brackets those with another one."""
    limits = Counter(search.max_trials for search in settings)
    usual = max(limits, key=lambda limit: (limits[limit], limit))
    others = [
        f"{plan.methods[search.method].label}: {search.max_trials}"
        for search in settings
        if search.max_trials != usual
    ]
    return f"{usual} trials" + (f" ({', '.join(others)})" if others else "")


def _either(values: set[str]) -> str:
    return " or ".join(sorted(values))


def _calibrated(settings: Sequence[SearchSettings], plan: RunPlan) -> str:
    """Return how many images the searches calibrated on, as far as that is known."""
    size = plan.workload.batch_size
    known: set[int] = set()
    unknown: set[int] = set()
    for search in settings:
        if search.calibration_images is not None:
            known.add(search.calibration_images)
        else:
            whole = search.sampling_size % size == 0  # INC takes whole batches
            is_sure = whole and search.sampling_size <= plan.tuning_images
            most = min(-(-search.sampling_size // size) * size, plan.tuning_images)
            (known if is_sure else unknown).add(most)
    parts = [*map(str, sorted(known)), *(f"at most {most}" for most in sorted(unknown - known))]
    return " or ".join(parts)
