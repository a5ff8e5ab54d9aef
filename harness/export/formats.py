"""The formats of ``./run.sh export``, in one table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness.errors import InputError, proposal
from harness.export import asv, bencher, conbench, github_action, openmetrics, otava
from harness.export.exported_run import ExportedRun

LIST = "list"


@dataclass(frozen=True)
class Format:
    """A format that runs are exported in.

    Attributes:
        reader: the program that reads it, and how.
        to_files: returns files by their paths in the folder of the export.
        takes_several: whether an export may have several runs.
    """

    reader: str
    to_files: Callable[[Sequence[ExportedRun]], dict[str, bytes]]
    takes_several: bool = False


FORMATS = {
    "bencher": Format(
        f"Bencher: bencher run --adapter json --file {bencher.FILE}", bencher.to_files
    ),
    "github-action": Format(
        f"github-action-benchmark: {github_action.SMALLER} and {github_action.BIGGER}",
        github_action.to_files,
    ),
    "otava": Format(
        f"Apache Otava: otava analyze METHOD --config-file {otava.CONFIGURATION}",
        otava.to_files,
        True,
    ),
    "conbench": Format(
        f"Conbench: {conbench.FILE}, a result of its API a line", conbench.to_files, True
    ),
    "openmetrics": Format(
        f"Prometheus: {openmetrics.FILE} for node_exporter's textfile collector",
        openmetrics.to_files,
    ),
    "asv": Format("airspeed velocity: asv publish", asv.to_files, True),
}


def export_files(name: str, runs: Sequence[ExportedRun]) -> dict[str, bytes]:
    """Return the files of runs in a format, by their paths in the folder of the export.

    Raises:
        InputError: there is no such format, it has one run a folder and several are given, or as the
            format's module says.
    """
    if name not in FORMATS:
        raise InputError(f"format={name}: use one of {', '.join(FORMATS)}{proposal(name, FORMATS)}")
    if len(runs) > 1 and not FORMATS[name].takes_several:
        several = ", ".join(key for key, one in FORMATS.items() if one.takes_several)
        raise InputError(
            f"format={name} has one run, and {len(runs)} are named: name one, or use one of {several}"
        )
    return FORMATS[name].to_files(runs)
