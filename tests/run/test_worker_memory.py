"""A file of a kilobyte that wants gigabytes is refused, with the key that allows more."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.config import compose_config
from harness.run.worker_setup import inspection_memory_limit, memory_limit
from harness.storage.plan import InputFile
from helpers.bundled_images import BUNDLED
from helpers.command_line import CommandLine


@pytest.mark.slow
def test_a_small_symbol_that_wants_much_memory(cli: CommandLine, tmp_path: Path) -> None:
    import mxnet as mx

    zeros = mx.sym.reshape(mx.sym.sum(mx.sym.zeros(shape=(40_000, 40_000))), shape=(1, 1))
    pooled = mx.sym.Pooling(mx.sym.var("data"), global_pool=True, pool_type="avg", kernel=(1, 1))
    dense = mx.sym.FullyConnected(pooled, num_hidden=10, name="fc")
    symbol, params = tmp_path / "bomb-symbol.json", tmp_path / "bomb-0000.params"
    mx.sym.broadcast_add(dense, zeros).save(str(symbol))
    weights = {"arg:fc_weight": mx.nd.zeros((10, 3)), "arg:fc_bias": mx.nd.zeros((10,))}
    mx.nd.save(str(params), weights)
    assert symbol.stat().st_size < 4096
    words = (f"workload.symbol={symbol}", f"workload.params={params}", "workload.classes=10")
    record = f"workload.rec={BUNDLED / 'fashion_mnist_test.rec'}"
    ended = cli("workload=custom", record, *words, "method=[fp32]", "run.memory_gb=3")
    assert (ended.code, ended.out) == (2, "")
    assert "memory is short (this process may hold 3.0 GB)" in ended.err
    assert "raise run.memory_gb" in ended.err
    assert "Traceback" not in ended.err


def test_looking_at_a_model_has_a_limit_of_its_own_unless_one_is_given() -> None:
    given = compose_config(["run.memory_gb=3"], ()).config
    assert inspection_memory_limit(given, {}) == memory_limit(given) == 3 * 10**9
    usual = compose_config([], ()).config
    small, large = (
        inspection_memory_limit(
            usual, {"params": InputFile(path="x.params", bytes=size, sha256="0" * 64)}
        )
        for size in (10**6, 10**8)
    )
    assert 0 < small <= memory_limit(usual)
    assert small <= large
