"""Parsers of a user's data and models: good inputs, and what feeds one."""

from __future__ import annotations

import hashlib
import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np

from harness.errors import InputError
from helpers.bundled_images import BUNDLED
from helpers.record_files import packed

SYMBOL = {
    "nodes": [
        {"op": "null", "name": "data", "inputs": []},
        {"op": "null", "name": "weight", "inputs": []},
        {
            "op": "FullyConnected",
            "name": "fc",
            "attrs": {"num_hidden": "10", "no_bias": "True"},
            "inputs": [[0, 0, 0], [1, 0, 0]],
        },
        {"op": "Activation", "name": "relu", "attrs": {"act_type": "relu"}, "inputs": [[2, 0, 0]]},
    ],
    "arg_nodes": [0, 1],
    "node_row_ptr": [0, 1, 2, 3, 4],
    "heads": [[3, 0, 0]],
    "attrs": {"mxnet_version": ["int", 20000]},
}


def records(folder: Path) -> list[bytes]:
    from harness.images.record_file import MAGIC, RecordFile

    with RecordFile(BUNDLED / "fashion_mnist_test.rec") as source:
        offsets = source.index(10).offsets[:5]
        images = [source.image(int(at)) for at in offsets]
    plain = b"".join(packed(n, image, n) for n, image in enumerate(images))
    data = struct.pack("<IfQQ", 0, 3.0, 7, 0) + images[0] + b"\0" * (-len(images[0]) % 4)
    split = b"".join(
        struct.pack("<II", MAGIC, kind << 29 | len(part)) + part
        for kind, part in ((1, data[:200]), (2, data[200:400]), (3, data[400:]))
    )
    vector = packed(2.0, struct.pack("<2f", 1, 2) + images[1], 0, flag=2)
    return [plain, plain + split + plain, split, vector, packed(1, b"", 0)]


def feed_record(data: bytes, folder: Path) -> None:
    from harness.images.record_file import RecordFile

    path = folder / "a b ü.rec"
    path.write_bytes(data)
    with RecordFile(path) as record:
        index = record.index(10)
        assert ((index.labels >= 0) & (index.labels < 10)).all()
        assert sum(len(record.image(int(at))) for at in index.offsets) <= len(data)


def idx_lines(folder: Path) -> list[bytes]:
    (folder / "x.rec").write_bytes(records(folder)[0])
    from harness.images.record_file import RecordFile

    with RecordFile(folder / "x.rec") as record:
        offsets = record.index(10).offsets.tolist()
    lines = [f"{n}\t{at}\n" for n, at in enumerate(offsets)]
    return ["".join(lines).encode(), "".join(reversed(lines)).encode()]


def feed_idx(data: bytes, folder: Path) -> None:
    from harness.images.record_file import RecordFile

    (folder / "x.idx").write_bytes(data)
    try:
        with RecordFile(folder / "x.rec") as record:
            labels = record.index(10).labels.tolist()
            assert labels, "an index of nothing"
            assert len(set(labels)) == len(labels), "a record is read twice"
            assert set(labels) <= {0, 1, 2, 3, 4}
    finally:
        (folder / "x.idx").unlink()


def images(folder: Path) -> list[bytes]:
    import cv2

    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (30, 40, 3), dtype=np.uint8)
    made = [
        bytes(cv2.imencode(kind, pixels)[1])
        for kind in (".jpg", ".png", ".bmp", ".webp", ".ppm", ".tiff")
    ]
    progressive = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1]
    return [*made, bytes(progressive)]


def feed_image_size(data: bytes, folder: Path) -> None:
    from harness.images.image_size import MOST_PIXELS, check_size, read_size

    size = read_size(data)
    try:
        if size is not None:
            check_size(*size, 64)
            assert 0 < size[0] * size[1] <= MOST_PIXELS
    except ValueError as error:
        raise InputError(str(error)) from None  # as decode_range does


_OPERATORS: list[object] = []


def feed_decode(data: bytes, folder: Path) -> None:
    from harness.images.decode import _center
    from harness.images.operators import Operators

    if not _OPERATORS:
        _OPERATORS.append(Operators(32, keep_ratio=True))
    try:
        pixels = _OPERATORS[0].resized(data)  # type: ignore[attr-defined]
    except ValueError as error:
        raise InputError(str(error)) from None  # as decode_range does
    assert _center(pixels, 28).shape == (28, 28, 3)


def weights(folder: Path) -> list[bytes]:
    rng = np.random.default_rng(0)
    arrays = {
        "weight": rng.normal(size=(10, 4)).astype("f4"),
        "bias": np.zeros(10, "f4"),
        "count": np.arange(3),
        "int8": np.ones((2, 2), "i1"),
    }
    zipped = io.BytesIO()
    np.savez(zipped, **arrays)
    other_order = io.BytesIO()
    np.savez(other_order, weight=arrays["weight"].astype(">f4"))
    infinite = io.BytesIO()
    np.savez(infinite, weight=np.full((10, 4), np.nan, "f4"))
    kinds = {"float32": 0, "int64": 6, "int8": 5}
    listed = struct.pack("<QQQ", 0x112, 0, len(arrays))
    for array in arrays.values():
        listed += struct.pack("<IiI", 0xF993FAC9, 0, array.ndim)
        listed += struct.pack(f"<{array.ndim}q", *array.shape)
        listed += struct.pack("<iii", 1, 0, kinds[array.dtype.name]) + array.tobytes()
    listed += struct.pack("<Q", len(arrays))
    for name in arrays:
        listed += struct.pack("<Q", len(name)) + name.encode()
    return [zipped.getvalue(), listed, other_order.getvalue(), infinite.getvalue()]


def feed_weights(data: bytes, folder: Path) -> None:
    from harness.workloads.model_files import check_weights

    path = folder / "x.params"
    path.write_bytes(data)
    check_weights(path)


def feed_weights_to_mxnet(data: bytes, folder: Path) -> None:
    import mxnet as mx

    feed_weights(data, folder)
    try:
        for array in mx.npx.load(str(folder / "x.params")).values():
            array.asnumpy()
    except Exception as error:
        raise InputError(str(error)) from None  # as load_exported does


def symbols(folder: Path) -> list[bytes]:
    nested = json.loads(json.dumps(SYMBOL))
    nested["nodes"][2]["subgraphs"] = [SYMBOL]
    return [json.dumps(SYMBOL).encode(), json.dumps(nested).encode()]


def feed_symbol(data: bytes, folder: Path) -> None:
    from harness.workloads.model_files import check_symbol

    path = folder / "x-symbol.json"
    path.write_bytes(data)
    check_symbol(path)


def feed_symbol_to_mxnet(data: bytes, folder: Path) -> None:
    import mxnet as mx

    feed_symbol(data, folder)
    try:
        symbol = mx.sym.load(str(folder / "x-symbol.json"))
        symbol.list_inputs()
        symbol.infer_shape_partial(data=(2, 4))
    except Exception as error:
        raise InputError(str(error)) from None  # as load_exported does


def histories(folder: Path) -> list[bytes]:
    numbers = {
        "node": (0, 10, 18),
        "sg_onednn_conv": (3, 6),
        "sg_onednn_conv_add": (2, 5),
        "sg_onednn_conv_bn_act": (0, 1, 4),
        "sg_onednn_fully_connected": (0,),
    }
    operators = [f"{kind}_{number}" for kind in numbers for number in numbers[kind]]
    configuration = {
        "mxnet_version": "2.0.0",
        "quant_cfg": {
            "excluded_symbols": operators[-1:],
            "quantized_dtype": "auto",
            "quantize_mode": "smart",
            "quantize_granularity": "tensor-wise",
        },
        "calib_cfg": {
            "calib_mode": "naive",
            "quantized_dtype": "auto",
            "batches": 2,
            "calib_kl_nodes": operators[:5],
            "calib_minmax_nodes": operators[5:],
        },
        "th_dict": {f"{name}_output": [0.0, 59.51127243041992] for name in operators},
        "input": {"name": "data", "shape": [2, 3, 28, 28], "dtype": "float32", "layout": "NCHW"},
        "framework_specific_info": {"device": "cpu"},
    }
    made = {"trial": 1, "q_config": configuration, "because": None}
    lost = {"trial": 1, "q_config": None, "because": "it is lost"}
    return [json.dumps(each).encode() for each in (made, lost)]


def feed_history(data: bytes, folder: Path) -> None:
    _entries(data, folder)


def _entries(data: bytes, folder: Path) -> list[dict[str, Any]]:
    from harness.storage.store import HISTORY
    from harness.storage.tuning_history import read_history

    path = folder / HISTORY
    path.write_bytes(data)
    return read_history(path, hashlib.sha256(data).hexdigest())


_BATCH: list[Any] = []


def feed_history_to_inc(data: bytes, folder: Path) -> None:
    from harness.process.compat import import_inc

    import_inc()
    import mxnet as mx

    from harness.methods.recovery import recover
    from helpers.command_line import OWN

    assert OWN  # it is on the path now
    from my_network import network

    if not _BATCH:
        _BATCH.append(mx.np.zeros((2, 3, 28, 28)))
    for entry in _entries(data, folder):
        if entry["q_config"] is not None:
            recover(network(10), entry["q_config"], _BATCH[0])
