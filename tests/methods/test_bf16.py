"""bf16 rows: fused, saved whole, and refused with the reason where the CPU has no bf16."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from harness.errors import Refused
from harness.host import isa
from harness.images.batches import Batches
from harness.images.prepared import Prepared
from harness.methods import bf16
from harness.methods.base import Context, Optimized
from harness.storage.configuration import Transform
from harness.workloads.saved import save
from helpers.command_line import OWN, TINY, CommandLine
from helpers.instruction_sets import needs_isa

assert OWN  # it is on the path now
from my_network import network  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture
def context(tmp_path: Path) -> Context:
    rng = np.random.default_rng(0)
    prepared = Prepared(tmp_path / "images.u8", 16, 28)
    prepared.path.write_bytes(rng.integers(0, 256, prepared.bytes, dtype=np.uint8).tobytes())
    transform = Transform(resize=64, crop=56, keep_ratio=False, mean=(0.5,) * 3, std=(0.25,) * 3)
    tuning = Batches(prepared, rng.integers(0, 10, 16), 16, transform, keep=True)
    return Context(network(10), tuning, tmp_path, None, lambda *_: None)


class Smart:
    """int8 but for one residual convolution."""

    def optimize(self, context: Context) -> Optimized:
        from mxnet.contrib.quantization import quantize_net

        return Optimized(
            quantize_net(
                context.net,
                quantize_mode="smart",
                calib_mode="naive",
                calib_data=context.tuning,
                exclude_layers_match=["sg_onednn_conv_add"],
            ),
            warnings=["told"],
        )


def operators(symbol: Path) -> list[str]:
    return [node["op"] for node in json.loads(symbol.read_text())["nodes"]]


def checked(made: Optimized, context: Context) -> tuple[float, list[str]]:
    """Return how far the scores are from fp32's, relative to the largest, and what was saved."""
    data = next(iter(context.tuning))[0]
    expected = network(10)(data).asnumpy()
    found = made.net(data)
    assert found.dtype == np.float32
    symbol, _ = save(made.net, data, context.workspace / "model", lambda: network(10))
    error = np.abs(found.asnumpy() - expected).max() / np.abs(expected).max()
    return float(error), operators(symbol)


@needs_isa("AVX512_CORE")
def test_the_fused_network_in_bf16_computes_what_fp32_does(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bf16, "refuse_without_bf16", lambda: None)  # emulated where it must be
    made = bf16.Bf16().optimize(context)
    error, saved = checked(made, context)
    assert 1e-5 < error < 0.05
    assert made.quantization["bf16_operators"] == saved.count("_sg_onednn_conv") + 1
    assert saved.count("amp_cast") > made.quantization["bf16_operators"]
    assert "Convolution" not in saved


@needs_isa("AVX512_CORE")
def test_what_fell_back_to_fp32_is_in_bf16(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bf16, "refuse_without_bf16", lambda: None)
    made = bf16.Bf16Fallback(Smart()).optimize(context)
    error, saved = checked(made, context)
    assert error < 0.1
    assert made.quantization["bf16_operators"] == 2  # its two residual additions
    assert saved.count("amp_cast") >= 6
    assert made.warnings == ["told"]


def test_a_cpu_without_bf16_is_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(isa.VARIABLE, raising=False)
    cpuinfo = tmp_path / "cpuinfo"
    for flags, said in (
        ("avx512f avx512bw avx512_vnni", "no avx512_bf16: oneDNN would emulate bf16, slower"),
        ("avx avx2", "no avx512_bf16: oneDNN has no kernels for bf16"),
    ):
        cpuinfo.write_text(f"processor: 0\nflags\t\t: fpu {flags}\n")
        with pytest.raises(Refused, match=said):
            bf16.refuse_without_bf16(cpuinfo)
    cpuinfo.write_text("flags\t\t: fpu avx512f avx512bw avx512_bf16 amx_bf16\n")
    bf16.refuse_without_bf16(cpuinfo)
    for limit in isa.NAMES:
        monkeypatch.setenv(isa.VARIABLE, limit)
        if limit in ("AVX512_CORE_BF16", "AVX512_CORE_AMX"):
            bf16.refuse_without_bf16(cpuinfo)
        else:
            instead = "would emulate bf16" if "512" in limit else "has no kernels for bf16"
            with pytest.raises(Refused, match=f"oneDNN is limited to {limit}: it {instead}"):
                bf16.refuse_without_bf16(cpuinfo)


def test_the_rows_in_bf16_are_refused_where_onednn_may_not_use_it(cli: CommandLine) -> None:
    """Of the command line, whatever this machine's CPU is: without bf16 that is the reason."""
    rows = ["bf16", "int8_inc_sensitivity_bf16"]
    ended = cli(f"method=[{','.join(rows)},refusing,mine]", "max_cpu_isa=AVX2", *TINY)
    assert ended.code == 0, ended.err
    assert ended.outcomes["mine"] == "ok"
    for row in rows:
        assert ended.outcomes[row].startswith("refused: ")
        assert "has no kernels for bf16" in ended.outcomes[row]
    # any method may refuse
    assert ended.outcomes["refusing"] == "refused: this CPU has no avx4096"
    assert "refused: this CPU has no avx4096" in ended.out
    assert ended.records["refusing"].outcome.finished, "it would be refused again"
