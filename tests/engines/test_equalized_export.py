"""The bundled network's defect costs every engine's plain int8 its accuracy; equalisation does not."""

from __future__ import annotations

import numpy as np
import pytest

from harness.stats import accuracy
from helpers.command_line import ONE_THREAD, CommandLine
from helpers.engine_python import ENGINES, require_rows

pytestmark = pytest.mark.slow

IMAGES = 1024


@pytest.mark.parametrize("engine", ENGINES)
def test_one_equalisation_before_the_export_saves_plain_int8(cli: CommandLine, engine: str) -> None:
    require_rows(engine)
    rows = ("fp32", f"{engine}_int8", f"{engine}_equalized_int8")
    words = (f"workload.images={IMAGES}", "workload.tuning.batches=4", "protocol=quick",
             "protocol.rounds=2", "protocol.batches=1", "protocol.warmup_s=0")  # fmt: skip
    ended = cli(*ONE_THREAD, *words, f"method=[{','.join(rows)}]")
    assert ended.outcomes == dict.fromkeys(rows, "ok"), ended.err
    labels = ended.folder.load_labels(IMAGES)
    fp32, plain, equalized = (
        np.asarray(ended.folder.load_predictions(ended.records[name], IMAGES)[:, 0] == labels)
        for name in rows
    )
    assert accuracy.relative_loss(fp32, plain).estimate > 10  # 17 and more, by instruction set
    assert accuracy.relative_loss(fp32, equalized).estimate <= 1.5
