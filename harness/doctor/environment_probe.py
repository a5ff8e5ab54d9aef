"""What a worker would get: MXNet and INC, imported as it imports them, as JSON on stdout.

The parent starts this module in a process of its own (``harness/process/bootstrap.py``) and never
imports it.
"""

from __future__ import annotations

import json
import os
import sys

from harness.doctor.software import Software
from harness.facts.typed import plain
from harness.host import threads
from harness.host.libraries.allocator import serving_allocator
from harness.process import compat


def probe() -> Software:
    """Import what a worker imports, run one oneDNN operator, and return what there is."""
    compat.import_inc()
    import mxnet as mx

    mx.npx.fully_connected(
        mx.np.ones((4, 8)), mx.np.ones((2, 8)), mx.np.ones(2), num_hidden=2
    ).wait_to_read()
    names = ("LD_PRELOAD", "OMP_NUM_THREADS", "OMP_PLACES", "ONEDNN_MAX_CPU_ISA")
    return Software(
        python=".".join(map(str, sys.version_info[:3])),
        versions=compat.true_versions(),
        openmp=threads.loaded_openmp(),
        allocator=serving_allocator(),
        environment={name: os.environ[name] for name in names if name in os.environ},
    )


if __name__ == "__main__":
    print(json.dumps(plain(probe())), flush=True)
