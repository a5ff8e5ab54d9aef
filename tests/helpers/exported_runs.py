"""Exports of invented runs: one after another in time, and files in a folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from harness.export.exported_run import ExportedRun


def later(run: ExportedRun, day: int, factor: float = 1.0) -> ExportedRun:
    """Return a run like another, some days later, whose values are larger by a factor."""
    plan = replace(run.plan, run=f"day{day:02d}", created=f"2026-01-{day + 1:02d}T00:00:00Z")
    values = tuple(replace(value, value=factor * value.value) for value in run.values)
    return replace(run, plan=plan, values=values, commit=f"{day:040x}")


def write_files(files: Mapping[str, bytes], folder: Path) -> None:
    """Write an export into a folder, as the verb does."""
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
