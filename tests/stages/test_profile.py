"""oneDNN's verbose output: real lines, damaged lines, and real workers that run small models."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from harness import PROJECT
from harness.facts.typed import decode, plain
from harness.process import executor
from harness.process.executor import Ended, Worker, worker_environment
from harness.process.jobs import ImageSet, Job, OptimizeJob, ProfileJob, SavedModel, WorkerWorkload
from harness.storage.configuration import Method
from harness.storage.recorded_files import digest_of
from harness.storage.stage_facts import ProfileFacts
from harness.table.kernels import (
    ENVIRONMENT,
    Primitive,
    Profile,
    findings,
    instruction_set,
    is_compute,
    is_int8_compute,
    made_by,
    parse,
)

SAMPLE = PROJECT / "tests" / "data" / "onednn_verbose.txt"
LINES = SAMPLE.read_text().splitlines()
EXECUTED = [line for line in LINES if ",exec," in line]
NOT_INT8 = "called int8 but no convolution or inner product ran in int8"


def line_of(implementation: str, ms: float, kind: str = "convolution", source: str = "f32") -> str:
    """Write a line as oneDNN does, of an operator whose destination is of its source's type."""
    types = f"src_{source}::blocked:acdb:f0 dst_{source}::blocked:acdb:f0"
    return f"onednn_verbose,exec,cpu,{kind},{implementation},forward_inference,{types},,,2x3,{ms}"


def profile_of(*lines: str, batches: int = 1, wall_ms: float = 0.0) -> Profile:
    return Profile.of(lines, batches, 4 * batches, wall_ms)


# --- reading lines -----------------------------------------------------------------------------


def test_every_executed_line_of_the_sample_is_read_and_no_other() -> None:
    assert len(EXECUTED) == 21
    assert len(LINES) > len(EXECUTED)  # it has info and create lines too
    assert parse(LINES) == parse(EXECUTED)
    assert len(parse(LINES)) == len(EXECUTED)


def test_lines_of_onednn_3_say_the_same_in_other_words() -> None:
    """PyTorch carries oneDNN 3.12, whose descriptors have colons and whose lines name a version."""
    before = "onednn_verbose,v1,primitive,exec,cpu"
    convolution, activation = parse(
        [
            "onednn_verbose,v1,primitive,info,template:operation,engine,primitive,exec_time",
            f"{before},convolution,brg_conv_fwd:avx10_1_512_amx,forward_inference,"
            "src:u8::blocked:acdb::f0 wei:s8:a:blocked:AcdB16a4b::f8:zpm1 bia:f32:a:blocked:a::f0 "
            "dst:u8::blocked:acdb::f0,attr-scratchpad:user attr-zero-points:src0:0:s32+dst:0:s32,"
            "alg:convolution_direct,mb64_ic16oc16_ih8oh8kh3sh1dh0ph1_iw8ow8kw3sw1dw0pw1,0.052002",
            f"{before},eltwise,jit:avx512_core,forward_training,data:f32::blocked:aBcd16b::f0,"
            "attr-scratchpad:user,alg:eltwise_relu alpha:0 beta:0,64x16x16x16,35.332",
        ]
    )
    assert (convolution.source, convolution.weights, convolution.destination) == ("u8", "s8", "u8")
    assert convolution.macs == 64 * 16 * 16 * 8 * 8 * 3 * 3 and convolution.ms == 0.052002
    assert instruction_set(convolution.implementation) == "avx10_1_512_amx"
    assert (activation.kind, activation.source, activation.ms) == ("eltwise", "f32", 35.332)


@pytest.mark.parametrize(
    ("kind", "implementation", "types", "ms"),
    [
        ("batch_normalization", "ncsp_bnorm:any", ("f32", "", "f32"), 0.710938),
        ("binary", "ref:any", ("f32", "", "f32"), 70.771),
        ("convolution", "brgconv:avx512_core_vnni", ("u8", "s8", "u8"), None),
        ("convolution", "jit_uni_int8:avx2_vnni", ("s8", "s8", "u8"), None),  # padded weights: :p:
        ("inner_product", "x64:gemm_s8s8s32:jit", ("s8", "s8", "f32"), None),
        ("matmul", "brg:avx512_core", ("f32", "f32", "f32"), 0.0141602),
        ("sum", "simple:any", ("f32", "", "f32"), None),
        ("reorder", "jit:uni", ("f32", "", "f32"), 0.211914),
    ],
)
def test_sample(
    kind: str, implementation: str, types: tuple[str, str, str], ms: float | None
) -> None:
    found = next(
        one for one in parse(LINES) if (one.kind, one.implementation) == (kind, implementation)
    )
    assert (found.source, found.weights, found.destination) == types
    assert ms is None or found.ms == ms


def test_older_prefix_and_text_before_it() -> None:
    older = [line.replace("onednn_verbose", "dnnl_verbose") for line in LINES]
    assert parse(older) == parse(LINES)
    assert parse(["printed without newline: " + line for line in LINES]) == parse(LINES)


@pytest.mark.parametrize(
    ("implementation", "isa"),
    [
        ("jit:avx512_core", "avx512_core"),
        ("brgconv:avx512_core_vnni", "avx512_core_vnni"),
        ("brgconv:avx512_core_bf16_amx_int8", "avx512_core_bf16_amx_int8"),
        ("jit_uni_int8:avx2", "avx2"),
        ("jit:sse41", "sse41"),
        ("jit:uni", ""),
        ("ref:any", ""),
        ("x64:gemm_s8s8s32:jit", ""),
        ("", ""),
    ],
)
def test_isa(implementation: str, isa: str) -> None:
    assert instruction_set(implementation) == isa


@pytest.mark.parametrize(
    "line",
    [
        "onednn_verbose,exec,cpu",
        "onednn_verbose,exec,",
        line_of("jit:avx2", math.nan),
        line_of("jit:avx2", math.inf),
        line_of("jit:avx2", -1),
        line_of("jit:avx2", 1).rpartition(",")[0] + ",",
        line_of("", 1),
        line_of("jit:avx2", 1, kind=""),
        line_of("jit:avx2", 1)[:70] + line_of("jit:avx2", 1),  # two lines run together
    ],
)
def test_damaged_lines_are_counted(line: str) -> None:
    assert parse([line]) == []
    profile = profile_of(line, EXECUTED[0])
    assert (profile.malformed, len(profile.rows)) == (1, 1)
    (said,) = findings(profile, False)
    assert said.endswith("could not be read: 1")


@given(st.lists(st.text(), max_size=5))
def test_any_text(lines: list[str]) -> None:
    assert all(isinstance(one, Primitive) for one in parse(lines))


@given(
    line=st.sampled_from(EXECUTED),
    cut=st.tuples(st.integers(0, 300), st.integers(0, 300)),
    put=st.text(max_size=20) | st.sampled_from([",", "nan", "inf", "-1", ",,,,,,,,", "1e400"]),
)
def test_damaged_real_lines(line: str, cut: tuple[int, int], put: str) -> None:
    damaged = line[: min(cut)] + put + line[max(cut) :]
    profile = Profile.of([damaged, *EXECUTED], 1, 1, 1.0)
    read = sum(row.count for row in profile.rows)
    assert read + profile.malformed in (len(EXECUTED), len(EXECUTED) + 1)
    assert math.isfinite(profile.total_ms)
    assert all(row.ms >= 0 and row.kind and row.implementation for row in profile.rows)
    assert Profile.recorded(decode(json.loads(json.dumps(plain(profile))), ProfileFacts)) == profile
    findings(profile, True)


# --- shares ------------------------------------------------------------------------------------


def test_aggregate_of_the_sample() -> None:
    profile = Profile.of(LINES, 1, 64, 200.0)
    assert profile.total_ms == pytest.approx(sum(one.ms for one in parse(LINES)))
    assert sum(row.count for row in profile.rows) == len(EXECUTED)
    assert [row.ms for row in profile.rows] == sorted((r.ms for r in profile.rows), reverse=True)
    assert (profile.count(is_compute), profile.count(is_int8_compute)) == (11, 6)
    assert profile.int8_compute_share == 6 / 11
    assert profile.reference_share == pytest.approx(70.771 / profile.total_ms)
    simple_share = profile.share(made_by("simple"))
    assert 0 < simple_share < profile.reorder_share + 0.363037 / profile.total_ms
    assert profile.outside_share == pytest.approx(1 - profile.total_ms / 200)
    assert sum(profile.isa_path.values()) == pytest.approx(1)
    assert {"avx512_core_vnni", "avx2", "x64:gemm:jit"} < set(profile.isa_path)
    assert list(profile.isa_path.values()) == sorted(profile.isa_path.values(), reverse=True)


def test_same_primitives_are_one_row_and_equal_times_have_an_order() -> None:
    lines = [line_of("jit:avx2", 1), line_of("jit:avx2", 2), line_of("ref:any", 3)]
    profile = profile_of(*lines)
    assert [(row.implementation, row.count, row.ms) for row in profile.rows] == [
        ("jit:avx2", 2, 3.0),
        ("ref:any", 1, 3.0),
    ]
    assert profile == profile_of(*reversed(lines))


def test_int8_is_what_reads_int8_and_computes() -> None:
    profile = profile_of(
        line_of("jit:avx2_vnni", 1, source="u8"),
        line_of("jit:avx2", 2, source="f32"),
        line_of("jit:uni", 3, "reorder", source="s8"),
        line_of("jit_int8:avx2", 4, "eltwise", source="s8"),
    )
    assert profile.int8_share == pytest.approx(0.1)
    assert profile.int8_compute_share == 0.5
    assert profile.isa_path == {"avx2": pytest.approx(2 / 3), "avx2_vnni": pytest.approx(1 / 3)}


def test_families_of_implementations() -> None:
    profile = profile_of(
        line_of("ref:any", 1), line_of("ref_int8:any", 1), line_of("refined:avx2", 1)
    )
    assert profile.count(made_by("ref")) == 2


def test_nothing_was_run() -> None:
    profile = Profile.of([], 0, 0, 0.0)
    assert profile.total_ms == 0
    assert profile.int8_share == profile.int8_compute_share == profile.reference_share == 0
    assert profile.isa_path == {}
    assert profile.outside_share is None
    for expects_int8 in (False, True):
        (said,) = findings(profile, expects_int8)
        assert "no primitive" in said


# --- findings ----------------------------------------------------------------------------------


def test_called_int8_and_is_not() -> None:
    profile = profile_of(line_of("jit:avx2", 1), line_of("jit:uni", 1, "reorder", "s8"))
    assert findings(profile, True) == [NOT_INT8]
    assert findings(profile, False) == []


def test_reference_time() -> None:
    profile = profile_of(
        line_of("ref:any", 83, "binary"), line_of("jit:avx2", 15), line_of("simple:any", 2, "sum")
    )
    (said,) = findings(profile, False)
    assert said == (
        "83 % of oneDNN's time in its reference implementation binary,ref:any (residual additions)"
    )


def test_partly_int8_is_told_per_batch() -> None:
    lines = [line_of("jit:avx512_core_vnni", 3, source="u8"), line_of("jit:avx512_core", 1)]
    assert findings(profile_of(*lines, *lines, batches=2), True) == [
        "1 of 2 convolutions and inner products did not run in int8 (25 % of oneDNN's time)"
    ]


def test_int8_without_instructions_for_it() -> None:
    (said,) = findings(profile_of(line_of("jit_int8:avx512_core", 3, source="u8")), True)
    assert "mostly on avx512_core, without" in said
    for isa in ("avx512_core_vnni", "avx2_vnni", "avx512_core_bf16_amx_int8"):
        assert findings(profile_of(line_of(f"jit_int8:{isa}", 3, source="u8")), True) == []


def test_int8_by_an_implementation_that_names_no_instructions() -> None:
    profile = profile_of(line_of("x64:gemm_s8s8s32:jit", 3, "inner_product", "s8"))
    assert findings(profile, True) == []
    assert profile.isa_path == {"x64:gemm_s8s8s32:jit": 1.0}


# --- real models -------------------------------------------------------------------------------

BATCHES, SIZE, SIDE, IMAGES = 2, 4, 64, 9  # the ninth image would make a batch of another size
CONVOLUTIONS, ADDITIONS = 20, 8  # of ResNet18 v1
WORKLOAD = {
    "name": "random",
    "batch_size": SIZE,
    "classes": 10,
    "transform": {
        "resize": SIDE,
        "crop": SIDE,
        "keep_ratio": False,
        "mean": [0.5, 0.5, 0.5],
        "std": [0.2, 0.2, 0.2],
    },
    "tuning": {"source": "head", "batches": 2},
    "model": {
        "_target_": "harness.workloads.models.custom",
        "network": "resnet18_v1",
        "symbol": None,
        "params": None,
        "classes": 10,
        "random_weights": True,
    },
}
METHODS = {
    "fp32": {"label": "fp32", "_target_": "harness.methods.native.Unoptimized"},
    "fused": {"label": "fused", "_target_": "harness.methods.native.Fused"},
    "int8": {
        "label": "int8",
        "_target_": "harness.methods.native.Quantized",
        "quantize_mode": "smart",
        "calib_mode": "naive",
        "quantize_granularity": "tensor-wise",
    },
}


@dataclass(frozen=True)
class Models:
    """The saved models of one network, one folder each, and the images that they run on."""

    folder: Path

    @property
    def images(self) -> ImageSet:
        return ImageSet(
            prepared=str(self.folder / "pixels.u8"),
            stored=IMAGES,
            labels=str(self.folder / "labels.npy"),
            images=IMAGES,
        )

    def start(self, name: str, job: Job, extra: Mapping[str, str]) -> Ended:
        environment = {"PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1", **extra}
        workspace = self.folder / name
        log = workspace / f"{job.stage}.log"
        worker = Worker(job, worker_environment(environment), log, workspace)
        return worker.wait(lambda *message: None)

    def make(self, name: str) -> None:
        job = OptimizeJob(
            workload=decode(WORKLOAD, WorkerWorkload),
            method=decode(METHODS[name], Method),
            tuning=replace(self.images, images=2 * SIZE),
            cpus=sorted(os.sched_getaffinity(0)),
            workspace=str(self.folder / name),
        )
        ended = self.start(name, job, {})
        assert ended.kind == executor.DONE, ended

    def profile(
        self, name: str, batches: int = BATCHES, extra: Mapping[str, str] = ENVIRONMENT
    ) -> Ended:
        workspace = self.folder / name
        model = SavedModel(
            workload=decode(WORKLOAD, WorkerWorkload),
            images=self.images,
            workspace=str(workspace),
            symbol=digest_of(workspace / "model-symbol.json", workspace),
            params=digest_of(workspace / "model-0000.params", workspace),
        )
        (workspace / "profile.log").unlink(missing_ok=True)
        return self.start(
            name, ProfileJob(model=model, batches=batches, size=model.workload.batch_size), extra
        )

    def profiled(self, name: str, **options: Any) -> Profile:
        ended = self.profile(name, **options)
        assert ended.kind == executor.DONE, ended
        return Profile.recorded(decode(json.loads(json.dumps(ended.value)), ProfileFacts))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    made = Models(tmp_path_factory.mktemp("models"))
    pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, SIDE, SIDE, 3), dtype=np.uint8)
    pixels.tofile(made.images.prepared)
    np.save(made.images.labels, np.arange(IMAGES, dtype=np.int64))
    for name in METHODS:
        made.make(name)
    return made


@pytest.mark.slow
def test_unfused_network(models: Models) -> None:
    profile = models.profiled("fp32")
    assert (profile.batches, profile.images, profile.malformed) == (BATCHES, BATCHES * SIZE, 0)
    assert profile.count(lambda row: row.kind == "convolution") == BATCHES * CONVOLUTIONS
    assert profile.count(lambda row: row.kind == "inner_product") == BATCHES
    assert profile.count(lambda row: row.kind == "binary") == BATCHES * ADDITIONS
    assert profile.count(made_by("ref")) == BATCHES * ADDITIONS  # all of them, and nothing else
    assert profile.int8_share == profile.int8_compute_share == 0
    assert 0 < profile.total_ms < profile.wall_ms
    (said,) = (one for one in findings(profile, False) if "reference" in one)
    assert "binary,ref:any (residual additions)" in said
    assert findings(profile, True)[0] == NOT_INT8


@pytest.mark.slow
def test_the_warm_up_tells_the_instruction_set_and_is_not_in_the_profile(models: Models) -> None:
    profile = models.profiled("fp32")
    assert profile.count(lambda row: row.kind == "convolution") == BATCHES * CONVOLUTIONS
    assert profile.cpu_isa.startswith("Intel ")


@pytest.mark.slow
def test_fused_network(models: Models) -> None:
    profile = models.profiled("fused")
    assert profile.count(lambda row: row.kind == "convolution") == BATCHES * CONVOLUTIONS
    assert profile.count(lambda row: row.kind in ("binary", "sum")) == 0
    assert profile.reference_share == 0
    assert findings(profile, True)[0] == NOT_INT8


@pytest.mark.slow
def test_quantised_network(models: Models) -> None:
    profile = models.profiled("int8")
    assert profile.count(is_compute) == BATCHES * (CONVOLUTIONS + 1)
    assert profile.int8_compute_share > 0.9
    assert 0 < profile.int8_share < 1
    assert profile.reference_share == 0
    assert NOT_INT8 not in findings(profile, True)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fp32", "int8"])
def test_limited_instruction_set_is_reported(models: Models, name: str) -> None:
    free = models.profiled(name).isa_path
    limited = models.profiled(name, extra={**ENVIRONMENT, "ONEDNN_MAX_CPU_ISA": "AVX2"})
    assert "avx2" in limited.isa_path
    assert not any("avx512" in isa or "vnni" in isa for isa in limited.isa_path)
    if any("avx512" in isa for isa in free):  # else the machine has nothing to take away
        assert free != limited.isa_path
    said = [one for one in findings(limited, name == "int8") if "without the instructions" in one]
    assert len(said) == (name == "int8")
    assert all("on avx2," in one for one in said)


@pytest.mark.slow
@pytest.mark.parametrize(("batches", "ran", "images"), [(1, 1, 4), (3, 2, 8), (100, 2, 8)])
def test_batches_of_one_size(models: Models, batches: int, ran: int, images: int) -> None:
    profile = models.profiled("fused", batches=batches)
    assert (profile.batches, profile.images) == (ran, images)
    assert profile.count(lambda row: row.kind == "convolution") == ran * CONVOLUTIONS


@pytest.mark.slow
@pytest.mark.parametrize("extra", [{}, {"ONEDNN_VERBOSE": "0"}])
def test_environment_without_verbose_output(models: Models, extra: dict[str, str]) -> None:
    ended = models.profile("fp32", extra=extra)
    assert ended.kind == executor.ERROR
    assert ended.message == "profiling needs ONEDNN_VERBOSE or DNNL_VERBOSE in the environment"


@pytest.mark.slow
def test_output_of_c_is_captured_and_given_back() -> None:
    program = """
import ctypes, os
from harness.stages.profile import captured_stdout
libc = ctypes.CDLL(None)
libc.puts(b"before")
try:
    with captured_stdout() as kept:
        libc.puts(b"lost")
        raise ValueError
except ValueError:
    libc.puts(b"between")
with captured_stdout() as lines:
    libc.puts(b"C inside")
    print("Python inside")
    os.write(1, b"not UTF-8: \\xff\\n")
print("after", sorted(lines), kept, len(os.listdir("/proc/self/fd")))
with captured_stdout() as lines:
    pass
print(len(os.listdir("/proc/self/fd")))
"""
    environment = worker_environment({"PYTHONPATH": str(PROJECT)})
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, check=True, text=True
    )
    before, between, after, descriptors = done.stdout.splitlines()[-4:]
    assert (before, between) == ("before", "between")
    expected = "after ['C inside', 'Python inside', 'not UTF-8: \ufffd'] []"
    assert after == f"{expected} {descriptors}"
