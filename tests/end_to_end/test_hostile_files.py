"""Files that are not what they claim: refused at once, by name, without the memory that they ask for."""

from __future__ import annotations

import io
import os
import resource
import struct
from pathlib import Path

import numpy as np
import pytest

from harness.errors import HarnessError, InputError
from harness.files import reading, whole_files
from harness.images.image_size import MOST_PIXELS
from harness.images.prepared import Prepared
from harness.images.record_file import RecordFile
from harness.storage.configuration import Transform
from harness.workloads.model_files import check_symbol, check_weights
from helpers.command_line import TINY, CommandLine
from helpers.mxnet1_weights import old_weights
from helpers.record_files import packed

SPARSE = 40 << 30  # more than the machine's memory; nothing of it is on the disk


def claiming(jpeg: bytes, height: int, width: int) -> bytes:
    """Return a JPEG whose header claims another size."""
    at = jpeg.index(b"\xff\xc0")
    return jpeg[: at + 5] + struct.pack(">HH", height, width) + jpeg[at + 9 :]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("height", "width", "keep_ratio", "said"),
    [
        (10_000, 10_000, False, r"claims 10000 x 10000 pixels, and at most 80 million"),
        (65_535, 65_535, False, r"claims 65535 x 65535 pixels"),
        (0, 100, False, r"claims 0 x 100 pixels"),
        (1, 60_000, True, r"would become more than 80 million"),
    ],
)
def test_image_that_claims_too_much(
    make_record, jpegs, tmp_path: Path, height: int, width: int, keep_ratio: bool, said: str
) -> None:
    from harness.images.decode import decode_range

    record = make_record([(0, jpegs[0]), (1, claiming(jpegs[1], height, width))])
    with RecordFile(record) as source:
        offsets = source.index(10).offsets
    prepared = Prepared(tmp_path / "prepared", 2, 28)
    prepared.path.write_bytes(bytes(prepared.bytes))
    transform = Transform(resize=64, crop=28, keep_ratio=keep_ratio)
    decode_range(record, offsets, transform, prepared, 0, 1)  # loads MXNet, which takes as much
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match=rf"image 1 of .*made\.rec \(at byte \d+\).*{said}"):
        decode_range(record, offsets, transform, prepared, 0, 2)
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    assert grown < MOST_PIXELS  # bytes; the image would take three a pixel


@pytest.mark.slow
def test_image_without_a_byte(make_record, jpegs, tmp_path: Path) -> None:
    from harness.images.decode import decode_range

    record = make_record([(0, jpegs[0]), (1, b"")])
    prepared = Prepared(tmp_path / "prepared", 2, 28)
    prepared.path.write_bytes(bytes(prepared.bytes))
    with RecordFile(record) as source:
        offsets = source.index(10).offsets
    transform = Transform(resize=64, crop=28, keep_ratio=False)
    with pytest.raises(InputError, match=r"image 1 of .* does not decode"):
        decode_range(record, offsets, transform, prepared, 0, 2)


def sparse(path: Path, start: bytes = b"") -> Path:
    path.write_bytes(start)
    os.truncate(path, SPARSE)
    return path


def test_huge_files_that_hold_nothing(make_record, jpegs, tmp_path: Path) -> None:
    no_record = pytest.raises(InputError, match="is no RecordIO file")
    with RecordFile(sparse(tmp_path / "x.rec")) as record, no_record:
        record.index(10)
    record_path = make_record([(0, jpegs[0])])
    sparse(record_path.with_suffix(".idx"))
    with RecordFile(record_path) as record, pytest.raises(InputError, match="does not index"):
        record.index(10)
    with pytest.raises(InputError, match="damaged or no file that MXNet wrote"):
        check_weights(sparse(tmp_path / "x.params", struct.pack("<QQQ", 0x112, 0, 1 << 40)))
    with pytest.raises(InputError, match="more than 64 MB"):
        check_symbol(sparse(tmp_path / "x-symbol.json"))
    with pytest.raises(HarnessError, match="more than 64 MB"):
        whole_files.load_json(sparse(tmp_path / "x.json"))
    with pytest.raises(reading.BadArray, match="claims"):
        header = b"{'descr': '<i8', 'fortran_order': False, 'shape': (5000000000,), }"
        start = b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + header.ljust(117) + b"\n"
        reading.read_npy(sparse(tmp_path / "x.npy", start), "<i8", (None,))


def test_files_that_are_no_files(make_record, jpegs, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.rec")
    with pytest.raises(InputError, match="is no plain file"):
        RecordFile(tmp_path / "pipe.rec")
    record = make_record([(3, jpegs[0])])
    link = tmp_path / "a link, ü 漢.rec"
    link.symlink_to(record)
    with RecordFile(link) as source:
        assert source.index(10).labels.tolist() == [3]
    (tmp_path / "lost.rec").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InputError, match="does not exist"):
        RecordFile(tmp_path / "lost.rec")
    record.with_suffix(".idx").mkdir()
    with RecordFile(record) as source:
        assert len(source.index(10)) == 1  # a folder is no index


def test_record_in_the_other_byte_order(tmp_path: Path, jpegs) -> None:
    words = np.frombuffer(packed(1, jpegs[0], 0), "<u4")
    (tmp_path / "big.rec").write_bytes(words.astype(">u4").tobytes())
    no_record = pytest.raises(InputError, match="is no RecordIO file")
    with RecordFile(tmp_path / "big.rec") as source, no_record:
        source.index(10)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.zeros((2, 3), ">f4"), "the other byte order"),
        (np.zeros((2, 3), "c8"), "no type for <c8"),
        (np.array([{}], dtype=object), "which is no number"),
        (np.array(["a"]), "no type for <U1"),
    ],
)
def test_weights_of_types_that_mxnet_misreads(
    tmp_path: Path, values: np.ndarray, said: str
) -> None:
    np.savez(tmp_path / "x.npz", weight=values)
    with pytest.raises(InputError, match=rf"weight\.npy': .*{said}"):
        check_weights(tmp_path / "x.npz")


@pytest.mark.slow
def test_weights_as_mxnet_writes_them_pass(tmp_path: Path) -> None:
    import mxnet as mx

    arrays_ = {"a": mx.np.ones((2, 3)), "b": mx.np.zeros((4,), dtype="int8"), "c": mx.np.array(1.0)}
    mx.npx.savez(str(tmp_path / "new.params"), **arrays_)
    check_weights(tmp_path / "new.params")
    data = old_weights({"a": np.ones((2, 3), "f4"), "b": np.zeros(4, "f4")})
    (tmp_path / "old.params").write_bytes(data)
    check_weights(tmp_path / "old.params")
    for cut in (8, 24, 30, len(data) - 1):
        (tmp_path / "cut.params").write_bytes(data[:cut])
        with pytest.raises(InputError, match="damaged or no file that MXNet wrote"):
            check_weights(tmp_path / "cut.params")


def test_array_that_would_unpickle(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, top=np.array([{}], dtype=object))
    (tmp_path / "x.npz").write_bytes(buffer.getvalue())
    with pytest.raises(reading.BadArray, match="no number"):
        reading.read_npz(tmp_path / "x.npz", "top", "<u2", (None, None))


@pytest.mark.slow
def test_crash_in_native_code_is_told(cli: CommandLine) -> None:
    ended = cli("method=[fp32]", *TINY, "workload.model._target_=my_network.crashing")
    assert (ended.code, ended.out) == (3, "")
    assert "failed: looking at the model failed: killed by SIGSEGV; start it again" in ended.err
    (log,) = cli.results.glob("*/*/inspect.log")
    assert "Fatal Python error: Segmentation fault" in log.read_text()
    assert "my_network.py" in log.read_text(), "the place in Python from which it was called"
    assert "Traceback" not in ended.err
