"""The table as Markdown, under the environment that it was measured in."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from harness.metrics import PUBLISHED
from harness.plan import RunPlan
from harness.table import Row


def to_markdown(plan: RunPlan, rows: Sequence[Row], notes: Sequence[str]) -> str:
    """Return a heading with the environment, the table and its footnotes."""
    parts = [f"# {plan.workload['name']}: run {plan.run}", environment(plan)]
    parts.append(table(rows))
    parts += [f"- {note}" for note in notes]
    return "\n\n".join(parts[:3]) + "\n\n" + "\n".join(parts[3:]) + "\n"


def table(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table; what was not measured is a dash."""
    headers = ["Method", *(metric.title for metric in PUBLISHED), "Images", "Outcome"]
    body = []
    for row in rows:
        values = [getattr(row, metric.name) for metric in PUBLISHED]
        shown = ["-" if v is None else f"{v:.{m.digits}f}" for m, v in zip(PUBLISHED, values)]
        outcome = row.outcome + (f" (log: {row.log})" if row.log else "")
        images = "-" if row.images is None else str(row.images)
        body.append([row.label, *shown, images, outcome.replace("|", "\\|")])
    align = ["left", *["right"] * (len(PUBLISHED) + 1), "left"]
    return str(tabulate(body, headers, tablefmt="pipe", colalign=align, disable_numparse=True))


def environment(plan: RunPlan) -> str:
    """Return what the tutorial prints of its environment, and the digests of the data."""
    machine, versions, threads = plan.machine, plan.versions, plan.threads
    settings = " ".join(f"{k}={v}" for k, v in sorted(threads["environment"].items()))
    lines = [
        ("CPU", f"{machine['cpu_model']}, {machine['cores']} cores"),
        ("OS", f"{machine['os']}, kernel {machine['kernel']}"),
        ("MXNet", f"{versions['mxnet']} (commit {versions['mxnet_commit']})"),
        ("INC", versions["neural-compressor"]),
        ("Threads", f"{threads['policy']}: {settings or 'nothing set'}"),
        (
            "Images",
            f"{plan.images} validated in batches of {plan.workload['batch_size']}; "
            f"{plan.tuning_images} for tuning",
        ),
        ("Protocol", plan.config["protocol"]["name"]),
        *((role, f"{f['path']}, SHA-256 {f['sha256']}") for role, f in sorted(plan.files.items())),
        ("Measured", f"{plan.created}, harness {plan.harness}"),
    ]
    return "\n".join(f"- {name}: {value}" for name, value in lines)
