"""The record reader against MXNet's own, and against everything that can be wrong with a file."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.errors import InputError
from harness.images.record_file import MAGIC, RecordFile
from helpers.bundled_images import BUNDLED
from helpers.record_files import packed


@pytest.mark.slow
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


@pytest.mark.slow
@given(st.lists(st.tuples(st.integers(0, 9), st.binary(max_size=300)), min_size=1, max_size=20))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
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


@pytest.mark.parametrize("labels", [2, 5, 1000])
def test_label_vector_is_refused_with_what_it_is(tmp_path: Path, labels: int) -> None:
    path = tmp_path / "vector.rec"
    values = struct.pack(f"<{labels}f", *range(labels))
    path.write_bytes(packed(0, values + b"jpeg", 0, flag=labels))
    said = pytest.raises(
        InputError, match=rf"has a list of {labels} labels, as records for detection"
    )
    with RecordFile(path) as record, said:
        record.index(10)


def as_mxnet_reads(path: Path) -> list[tuple[int, bytes]]:
    """Return label and image of each record in the order of MXNet's dataset of records."""
    from mxnet import recordio
    from mxnet.gluon.data import RecordFileDataset

    dataset = RecordFileDataset(str(path))
    headers = (recordio.unpack(dataset[number]) for number in range(len(dataset)))
    return [(int(np.ravel(header.label)[0]), bytes(image)) for header, image in headers]


def as_read_here(path: Path) -> list[tuple[int, bytes]]:
    with RecordFile(path) as record:
        index = record.index(10)
        images = [record.image(int(offset)) for offset in index.offsets]
    return list(zip(index.labels.tolist(), images, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("images", [[b"a jpeg", b""], [struct.pack("<I", MAGIC) * 3]])
def test_one_packed_label_is_the_label(tmp_path: Path, images: list[bytes]) -> None:
    """As ``im2rec --pack-label`` writes it; a split record and one without an image too."""
    from mxnet import recordio

    path = tmp_path / "packed.rec"
    writer = recordio.MXIndexedRecordIO(str(path.with_suffix(".idx")), str(path), "w")
    for number, image in enumerate(images):
        header = recordio.IRHeader(0, [7.0 - number], number, 99)
        writer.write_idx(number, recordio.pack(header, image))
    writer.close()
    assert path.read_bytes()[8:12] == struct.pack("<I", 1)
    expected = [(7 - number, image) for number, image in enumerate(images)]
    assert as_read_here(path) == as_mxnet_reads(path) == expected


@pytest.mark.parametrize("data", [b"", struct.pack("<IfQQ", 1, 0, 0, 0), b"short"])
def test_record_without_a_whole_header(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "short.rec"
    path.write_bytes(struct.pack("<II", MAGIC, len(data)) + data + b"\0" * (-len(data) % 4))
    with RecordFile(path) as record, pytest.raises(InputError, match=r"record 0 .* is too short"):
        record.index(10)


@pytest.mark.slow
@pytest.mark.parametrize(
    "lines",
    [
        "0\t{0}\n1\t{1}\n2\t{2}\n",
        "2\t{2}\n1\t{1}\n0\t{0}\n",
        "0\t{0}\r\n1\t{1}\r\n2\t{2}\r\n",
        "0\t{0}\n1\t{1}\n2\t{2}",
        "-5\t{1}\n900\t{0}\n4\t{2}\n",
        "0\t{0}\tmore\n1\t{1}\n2\t{2}\n",
        " 0\t{0} \n1\t {1}\n2\t{2}\n",
        "1\t{1}\n",
        "2\t{2}\n0\t{0}\n",
    ],
)
def test_idx_is_read_as_mxnet_reads_it(make_record, jpegs, lines: str) -> None:
    path = make_record([(n, jpegs[n]) for n in range(3)])
    with RecordFile(path) as record:
        offsets = record.index(10).offsets
    path.with_suffix(".idx").write_bytes(lines.format(*offsets).encode())
    assert as_read_here(path) == as_mxnet_reads(path)


def test_idx_of_some_records_leaves_the_labels_of_others_alone(make_record, jpegs) -> None:
    path = make_record([(3, jpegs[0]), (99, jpegs[1])])
    path.with_suffix(".idx").write_text("0\t0\n")
    with RecordFile(path) as record:
        index = record.index(10)
    assert (index.labels.tolist(), index.stored) == ([3], 2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is empty"),
        ("\n \n", "it is empty"),
        ("0\t0\n1\t0\n", "names a record twice"),
        ("0\t0\n0\t0\n", "has the key 0 twice"),
        ("garbage", "entry 0 is 'garbage', and MXNet reads a whole number, a tab"),
        ("0\t0\n1.0\t0\n", r"entry 1 is '1\.0\\t0'"),
        ("0 0\n", "entry 0 is '0 0'"),
        ("0\t1e3\n", "entry 0 is"),
        ("0\t99999999999999999999\n", "entry 0 is"),
        ("0\t0\n1\t5\n", "no record begins at byte 5"),
        ("0\t-4\n", "no record begins at byte -4"),
        ("0\t99999999\n", "no record begins at byte 99999999"),
        ("0\t0\n1\t5\n2\t6\n", "names more than its 2 records"),
    ],
)
def test_idx_that_does_not_index(make_record, jpegs, text: str, said: str) -> None:
    path = make_record([(0, jpegs[0]), (1, jpegs[1])])
    path.with_suffix(".idx").write_text(text)
    wanted = pytest.raises(InputError, match=rf"made\.idx does not index .*{said}")
    with RecordFile(path) as record, wanted:
        record.index(10)


@given(st.binary(max_size=400))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
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
