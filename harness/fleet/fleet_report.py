"""The outcomes of a fleet's runs as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from harness.fleet.schedule import ARRIVED, Job
from harness.render.escape import markdown_cell
from harness.render.markdown_table import markdown_table

HEADERS = ("Machine", "Run", "Outcome", "Tries", "What happened")


def to_markdown(name: str, jobs: Sequence[Job]) -> str:
    """Return one row a run, in the fleet's order: its outcome, and every failed attempt."""
    body = [
        (
            job.type,
            job.run,
            _outcome(job),
            str(len(job.attempts)),
            "; ".join(
                f"{attempt.state} on {attempt.address}: {attempt.reason}"
                for attempt in job.attempts
                if attempt.reason
            )
            or job.reason,
        )
        for job in jobs
    ]
    table = markdown_table(HEADERS, body)
    arrived = sum(job.state == ARRIVED for job in jobs)
    return f"# fleet {markdown_cell(name)}\n\n{arrived} of {len(jobs)} runs arrived.\n\n{table}\n"


def _outcome(job: Job) -> str:
    return f"{job.state}, a row failed" if job.state == ARRIVED and job.code else job.state
