"""``python -m benchmarks.scale.judging RESULTS RUN``: judge a night as ``./run.sh nightly`` does."""

from __future__ import annotations

import sys

from harness.nightly.measurement import judge_folder
from harness.render.progress import display
from harness.run.context import Context


def main(results: str, run: str) -> None:
    """Judge a measured night; write its report and its entry in the history."""
    context = Context.of(["experiment=nightly", f"run.results={results}"], (), display())
    judge_folder(context.find(run), context, None, lambda night, folder: None, told=None)


if __name__ == "__main__":
    main(*sys.argv[1:])
