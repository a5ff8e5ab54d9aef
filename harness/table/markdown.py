"""The tables as Markdown, under the environment in which they were measured."""

from __future__ import annotations

from collections.abc import Sequence

from harness.render.escape import markdown, markdown_cell
from harness.render.markdown_table import markdown_table
from harness.stats.intervals import Interval
from harness.storage.plan import RunPlan
from harness.table.beyond import Against, Beyond
from harness.table.instances.split_tables import split_parts
from harness.table.kernels import RowProfile, common_name
from harness.table.loaded_run import LoadedRun
from harness.table.metrics import ADDED, BY_SIZE, PUBLISHED, Metric
from harness.table.plan_words import machine_text, mxnet_text, system_text
from harness.table.rows import Row, SizeRow

BEYOND = (
    "Rows that it lacks against those that they would replace: the most accurate of INC's on the same "
    "images, the costs of two, and the fastest; with 95 % intervals."
)


def to_markdown(run: LoadedRun, intervals: bool) -> str:
    """Return a heading with the environment, the table, its footnotes and the other tables.

    Args:
        intervals: show 95 % intervals.
    """
    parts = [
        f"# {markdown_cell(run.plan.workload.name)}: run {run.plan.run}",
        environment(run.plan),
        table(run.rows, intervals),
        "\n".join(f"- {markdown(note)}" for note in run.notes),
    ]
    if run.beyond:
        parts += ["## Beyond the published table", BEYOND, beyond_table(run.beyond)]
    if run.profiles:
        parts += ["## How each row ran", kernels(run.profiles)]
    batch_sizes = {row.batch_size for row in run.sizes}
    if len(batch_sizes) > 1 or 1 in batch_sizes:
        parts += ["## By batch size", size_table(run.sizes, intervals)]
    parts += split_parts(run.splits, run.plan.config.protocol.latency_ms)
    return "\n\n".join(parts) + "\n"


def table(
    rows: Sequence[Row],
    intervals: bool = False,
    metrics: Sequence[Metric] = (*PUBLISHED, *ADDED),
) -> str:
    """Return the rows as a Markdown table; what was not measured is a dash."""
    headers = ["Method", *(metric.title for metric in metrics), "Images", "Outcome"]
    body = []
    for row in rows:
        values = [
            with_interval(m, getattr(row, m.name), row.intervals.get(m.name) if intervals else None)
            for m in metrics
        ]
        outcome = row.outcome + (f" (log: {row.log})" if row.log else "")
        images = "-" if row.images is None else str(row.images)
        body.append([row.label, *values, images, outcome])
    return markdown_table(headers, body, ["left", *["right"] * (len(metrics) + 1), "left"])


def kernels(profiles: Sequence[RowProfile]) -> str:
    """Return a table of the shares of each row's time in oneDNN or in its engine."""
    headers, body = kernel_rows(profiles)
    return markdown_table(headers, body, ["left", "right", "left", "right", "right", "right"])


def kernel_rows(profiles: Sequence[RowProfile]) -> tuple[list[str], list[list[str]]]:
    """Return the headers and the cells of that table."""
    headers = [
        "Method",
        "int8 %",
        "Instruction sets of the arithmetic",
        "Reference kernels %",
        "Reorders %",
        f"Outside {common_name(profiles)} % of wall",
    ]
    body = []
    for row in profiles:
        profile = row.profile
        path = ", ".join(
            f"{isa} {100 * share:.0f} %" for isa, share in profile.isa_path.items() if share >= 0.01
        )
        outside = profile.outside_share
        body.append(
            [
                row.label,
                f"{100 * profile.int8_share:.0f}",
                path or "-",
                f"{100 * profile.reference_share:.0f}",
                f"{100 * profile.reorder_share:.0f}",
                "-" if outside is None else f"{100 * outside:.0f}",
            ]
        )
    return headers, body


def size_table(sizes: Sequence[SizeRow], intervals: bool) -> str:
    """Return throughput and the percentiles of a batch's time, by batch size."""
    headers = ["Batch", "Method", *(metric.title for metric in BY_SIZE), "Rounds × batches"]
    body = []
    for row in sizes:
        values = [
            with_interval(m, getattr(row, m.name), row.intervals.get(m.name) if intervals else None)
            for m in BY_SIZE
        ]
        body.append([str(row.batch_size), row.label, *values, f"{row.rounds} × {row.batches}"])
    return markdown_table(headers, body, ["right", "left", *["right"] * (len(BY_SIZE) + 1)])


def beyond_table(beyond: Beyond) -> str:
    """Return the rows that the published table lacks against those that they would replace."""
    headers, body = beyond_rows(beyond)
    return markdown_table(headers, body, ["left", *["right"] * 4])


def beyond_rows(beyond: Beyond) -> tuple[list[str], list[list[str]]]:
    """Return the headers and the cells of that table; intervals are always shown."""
    headers = [
        "Method",
        f"Top-1 % lost vs {beyond.best}",
        "Cost / INC basic's",
        "Cost / INC mse's",
        "Inference speed / int8 full naive's",
    ]
    return headers, [_against(row) for row in beyond.rows]


def _against(row: Against) -> list[str]:
    return [
        row.label,
        _sure(row.loss, 2),
        *("-" if share is None else f"{share:.2f}" for share in (row.of_basic, row.of_mse)),
        "-" if row.speed is None else _sure(row.speed, 3),
    ]


def _sure(interval: Interval, digits: int) -> str:
    estimate, low, high = (
        f"{value:.{digits}f}" for value in (interval.estimate, interval.low, interval.high)
    )
    return f"{estimate} [{low}, {high}]"


def with_interval(metric: Metric, value: float | None, interval: Interval | None) -> str:
    """Return a value as a table shows it, with its interval where there is one."""
    shown = metric.shown(value, "-")
    return shown if interval is None else f"{shown} {ends(metric, interval)}"


def ends(metric: Metric, interval: Interval) -> str:
    """Return the two ends of an interval, in brackets."""
    return f"[{metric.shown(interval.low, '-')}, {metric.shown(interval.high, '-')}]"


def environment(plan: RunPlan) -> str:
    """Return the environment as the tutorial prints it, and the digests of the data."""
    machine, versions, threads = plan.machine, plan.versions, plan.threads
    settings = " ".join(f"{k}={v}" for k, v in sorted(threads.environment.items()))
    lines = [
        ("CPU", machine_text(machine)),
        ("OS", system_text(machine)),
        ("MXNet", mxnet_text(versions)),
        ("INC", versions.neural_compressor),
        *(("Other engine", text) for text in versions.engine_texts),
        ("Threads", f"{threads.policy}: {settings or 'nothing set'}"),
        (
            "Images",
            f"{plan.images} validated in batches of {plan.workload.batch_size}; "
            f"{plan.tuning_images} for tuning",
        ),
        ("Protocol", plan.config.protocol.name),
        *((role, f"{f.path}, SHA-256 {f.sha256}") for role, f in sorted(plan.files.items())),
        ("Measured", f"{plan.created}, harness {plan.harness}"),
    ]
    if plan.config.max_cpu_isa:
        lines.append(("Instruction sets", f"limited to {plan.config.max_cpu_isa} (max_cpu_isa)"))
    if plan.config.mxnet_additions:
        lines.append(("Residual additions", f"{plan.config.mxnet_additions} (mxnet_additions)"))
    return "\n".join(
        f"- {markdown_cell(name)}: {markdown_cell(str(value))}" for name, value in lines
    )
