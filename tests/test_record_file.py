"""The record reader against MXNet's own, and against everything that can be wrong with a file."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import BUNDLED, packed
from harness.errors import InputError
from harness.workloads.record_file import MAGIC, RecordFile


def test_bundled_record_reads_as_mxnet_reads_it() -> None:
    from mxnet import recordio

    path = BUNDLED / "fashion_mnist_test.rec"
    theirs = recordio.MXIndexedRecordIO(str(path.with_suffix(".idx")), str(path), "r")
    with RecordFile(path) as record:
        index = record.index(10)
        assert len(index) == 10_000
        for number in (0, 1, 4_999, 9_999):
            header, image = recordio.unpack(theirs.read_idx(theirs.keys[number]))
            assert record.image(int(index.offsets[number])) == image
            assert index.labels[number] == header.label


@given(st.lists(st.tuples(st.integers(0, 9), st.binary(max_size=300)), min_size=1, max_size=20))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_what_mxnet_writes_is_read_back(tmp_path: Path, items: list[tuple[int, bytes]]) -> None:
    """Payloads that hold the magic number are split by MXNet's writer; that must not show."""
    from mxnet import recordio

    path = tmp_path / "written.rec"
    magic = struct.pack("<I", MAGIC)
    payloads = [(label, data + magic * (label % 3) + data) for label, data in items]
    writer = recordio.MXRecordIO(str(path), "w")
    for number, (label, data) in enumerate(payloads):
        writer.write(recordio.pack(recordio.IRHeader(0, label, number, 0), data))
    writer.close()
    with RecordFile(path) as record:
        index = record.index(10)
        read = [record.image(int(offset)) for offset in index.offsets]
    assert read == [data for _, data in payloads]
    assert index.labels.tolist() == [label for label, _ in payloads]


def test_idx_gives_the_order(make_record, jpegs) -> None:
    path = make_record([(n, jpegs[n]) for n in range(5)])
    with RecordFile(path) as record:
        plain = record.index(10)
    order = [3, 0, 4, 1, 2]
    path.with_suffix(".idx").write_text(
        "".join(f"{key}\t{plain.offsets[n]}\n" for key, n in enumerate(order))
    )
    with RecordFile(path) as record:
        assert record.index(10).labels.tolist() == order


@pytest.mark.parametrize("cut", [1, 7, 30, 200])
def test_truncated(make_record, jpegs, cut: int) -> None:
    path = make_record([(0, jpegs[0]), (1, jpegs[1])])
    path.write_bytes(path.read_bytes()[:-cut])
    with RecordFile(path) as record, pytest.raises(InputError, match=r"made\.rec is truncated"):
        record.index(10)


def test_not_a_record(tmp_path: Path) -> None:
    path = tmp_path / "notes.rec"
    path.write_text("these are only notes, long enough to look at")
    with RecordFile(path) as record, pytest.raises(InputError, match="is no RecordIO file"):
        record.index(10)


def test_missing_empty_and_damaged(tmp_path: Path, make_record, jpegs) -> None:
    with pytest.raises(InputError, match=r"does not exist.*workload\.rec="):
        RecordFile(tmp_path / "none.rec")
    (tmp_path / "empty.rec").touch()
    with pytest.raises(InputError, match="cannot be read"):
        RecordFile(tmp_path / "empty.rec")
    path = make_record([(0, jpegs[0]), (1, jpegs[1])])
    second = len(packed(0, jpegs[0], 0))
    data = bytearray(path.read_bytes())
    data[second : second + 4] = b"oops"
    path.write_bytes(bytes(data))
    with RecordFile(path) as record, pytest.raises(InputError, match=f"damaged at byte {second}"):
        record.index(10)


@pytest.mark.parametrize("label", [10.0, -1.0, 0.5, float("nan")])
def test_label_outside_the_classes(make_record, jpegs, label: float) -> None:
    path = make_record([(0, jpegs[0]), (label, jpegs[1])])
    with RecordFile(path) as record, pytest.raises(InputError, match=r"record 1 .*has label"):
        record.index(10)


def test_label_vector_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vector.rec"
    path.write_bytes(packed(0, struct.pack("<2f", 1, 2) + b"jpeg", 0, flag=2))
    with RecordFile(path) as record, pytest.raises(InputError, match="has 2 labels"):
        record.index(10)


@pytest.mark.parametrize("text", ["0\t0\n", "0\t0\n1\t0\n", "garbage", "0\t0\n1\t5\n"])
def test_idx_of_another_file(make_record, jpegs, text: str) -> None:
    path = make_record([(0, jpegs[0]), (1, jpegs[1])])
    path.with_suffix(".idx").write_text(text)
    with RecordFile(path) as record, pytest.raises(InputError, match=r"made\.idx does not index"):
        record.index(10)


@given(st.binary(max_size=400))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_bytes_are_read_or_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "any.rec"
    path.write_bytes(struct.pack("<I", MAGIC) + data)
    try:
        with RecordFile(path) as record:
            index = record.index(10)
            images = [record.image(int(offset)) for offset in index.offsets]
    except InputError:
        return
    assert sum(map(len, images)) <= len(data)
    assert np.all(np.diff(np.sort(index.offsets)) > 0)
