"""``./run.sh report``: a run as a page, tables and figures that a paper can take."""

from __future__ import annotations

from harness.report.report_writer import write_report

__all__ = ["write_report"]
