"""The batches against MXNet's own pipeline, bit for bit, on every kind of image it decodes."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from harness.images.prepared import Prepared
from harness.images.record_file import RecordFile
from harness.storage.configuration import Transform
from helpers.bundled_images import BUNDLED
from helpers.record_files import CLASSES, gradient, write_record

pytestmark = pytest.mark.slow

GEOMETRIES = [(64, 56, False), (65, 56, True), (256, 224, False), (40, 40, True), (41, 28, False)]
SIZES = [(301, 199), (57, 300), (64, 64), (3, 5), (1, 40), (40, 1), (1, 1), (999, 17), (250, 251)]
ORIENTATION = 0x0112  # EXIF

Batch = tuple[npt.NDArray[np.float32], npt.NDArray[np.float64]]


def encoded(image: Image.Image, kind: str = "JPEG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def rotated(image: Image.Image, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encoded(image, exif=exif)


def all_kinds() -> dict[str, bytes]:
    """Return one encoded image of every kind that MXNet decodes, by name."""
    pixels = gradient(120, 90)
    image = Image.fromarray(pixels)
    alpha = Image.fromarray(pixels[..., 2])
    wide = pixels.astype(np.uint16) * 257
    whole = encoded(image)
    return {
        **{f"JPEG {w}x{h}": encoded(Image.fromarray(gradient(w, h))) for w, h in SIZES},
        **{f"EXIF orientation {turn}": rotated(image, turn) for turn in (1, 3, 6, 8)},
        "grey JPEG": encoded(image.convert("L")),
        "progressive JPEG": encoded(image, progressive=True),
        "CMYK JPEG": encoded(image.convert("CMYK")),
        "JPEG without subsampling": encoded(image, quality=95, subsampling=0),
        "JPEG cut in its middle": whole[: len(whole) // 2],
        "RGB PNG": encoded(image, "PNG"),
        "grey PNG": encoded(image.convert("L"), "PNG"),
        "palette PNG": encoded(image.convert("P"), "PNG"),
        "RGBA PNG": encoded(Image.merge("RGBA", (*image.split(), alpha)), "PNG"),
        "16-bit RGB PNG": bytes(cv2.imencode(".png", wide)[1]),
        "16-bit grey PNG": bytes(cv2.imencode(".png", wide[..., 0])[1]),
        "BMP": encoded(image, "BMP"),
    }


def transform_of(resize: int, crop: int, keep_ratio: bool) -> Transform:
    return Transform(
        resize=resize,
        keep_ratio=keep_ratio,
        crop=crop,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
    )


def as_arrays(batches: Any) -> list[Batch]:
    return [(data.asnumpy(), label.asnumpy()) for data, label in batches]


def of_mxnet(record: Path, images: int, transform: Transform, size: int) -> list[Batch]:
    """Return the batches of the published pipeline."""
    from mxnet.gluon.data import DataLoader
    from mxnet.gluon.data.vision import ImageRecordDataset, transforms

    steps = transforms.Compose(
        [
            transforms.Resize(transform.resize, keep_ratio=transform.keep_ratio),
            transforms.CenterCrop(transform.crop),
            transforms.ToTensor(),
            transforms.Normalize(transform.mean, transform.std),
        ]
    )
    dataset = ImageRecordDataset(str(record)).take(images).transform_first(steps, lazy=False)
    return as_arrays(DataLoader(dataset, batch_size=size, shuffle=False))


@pytest.fixture
def of_harness(tmp_path: Path) -> Callable[..., Any]:
    """Return a function that prepares a record in two parts and returns its ``Batches``."""
    from harness.images.batches import Batches
    from harness.images.decode import decode_range

    def batches(
        record: Path, images: int, transform: Transform, size: int, keep: bool = False
    ) -> Batches:
        with RecordFile(record) as source:
            index = source.index(CLASSES)
        prepared = Prepared(tmp_path / "prepared.u8", images, transform.crop)
        prepared.path.write_bytes(bytes(prepared.bytes))
        edges = [0, images // 3, images]
        for start, stop in itertools.pairwise(edges):
            decode_range(record, index.offsets, transform, prepared, start, stop)
        return Batches(prepared, index.labels[:images], size, transform, keep)

    return batches


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], Path]:
    images = all_kinds()
    record = write_record(tmp_path_factory.mktemp("kinds") / "kinds.rec", list(images.values()))
    return list(images), record


def assert_same(ours: list[Batch], theirs: list[Batch], names: list[str] | None = None) -> None:
    for part in (0, 1):  # data, labels
        assert [b[part].shape for b in ours] == [b[part].shape for b in theirs]
        assert {b[part].dtype for b in ours} == {b[part].dtype for b in theirs}
    mine, expected = (np.concatenate([data for data, _ in batches]) for batches in (ours, theirs))
    same = (mine == expected).reshape(len(mine), -1).all(axis=1)
    assert [names[n] if names else n for n in np.flatnonzero(~same)] == []
    mine, expected = (np.concatenate([label for _, label in batches]) for batches in (ours, theirs))
    np.testing.assert_array_equal(mine, expected)


@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_every_kind_of_image(kinds, of_harness, geometry: tuple[int, int, bool]) -> None:
    names, record = kinds
    transform = transform_of(*geometry)
    size = 4
    assert len(names) % size  # so that the last batch is smaller
    theirs = of_mxnet(record, len(names), transform, size)
    ours = of_harness(record, len(names), transform, size)
    assert_same(as_arrays(ours), theirs, names)
    assert len({data.tobytes() for batch, _ in theirs for data in batch}) > len(SIZES)


def test_first_images_of_the_bundled_record(of_harness) -> None:
    record, transform = BUNDLED / "fashion_mnist_test.rec", transform_of(64, 56, False)
    theirs = of_mxnet(record, 200, transform, 64)
    ours = of_harness(record, 200, transform, 64)
    assert [len(label) for _, label in theirs] == [64, 64, 64, 8]
    assert len(ours) == 4
    assert_same(as_arrays(ours), theirs)


@pytest.mark.parametrize(("images", "size"), [(1, 64), (5, 1), (6, 3), (5, 5)])
def test_batch_sizes(kinds, of_harness, images: int, size: int) -> None:
    _, record = kinds
    transform = transform_of(64, 56, False)
    ours = of_harness(record, images, transform, size)
    assert_same(as_arrays(ours), of_mxnet(record, images, transform, size))


def test_kept_batches_are_read_many_times(kinds, of_harness) -> None:
    _, record = kinds
    transform = transform_of(64, 56, True)
    theirs = of_mxnet(record, 10, transform, 4)
    for keep in (True, False):
        ours = of_harness(record, 10, transform, 4, keep)
        assert_same(as_arrays(ours), theirs)
        assert_same(as_arrays(ours), theirs)


def test_a_batch_lives_on_when_the_next_is_read(kinds, of_harness) -> None:
    _, record = kinds
    transform = transform_of(64, 56, False)
    ours = list(of_harness(record, 8, transform, 4))
    assert_same(as_arrays(ours), of_mxnet(record, 8, transform, 4))


def test_idx_order_is_that_of_mxnet(kinds, of_harness, tmp_path: Path) -> None:
    _, record = kinds
    copy = tmp_path / "shuffled.rec"
    copy.write_bytes(record.read_bytes())
    lines = record.with_suffix(".idx").read_text().splitlines()[::-1]
    offsets = [line.split("\t")[1] for line in lines]
    text = "".join(f"{key}\t{offset}\n" for key, offset in enumerate(offsets))
    copy.with_suffix(".idx").write_text(text)
    transform = transform_of(64, 56, False)
    ours = of_harness(copy, len(lines), transform, 4)
    assert_same(as_arrays(ours), of_mxnet(copy, len(lines), transform, 4))
    assert ours.labels[0] == 3 * (len(lines) - 1) % CLASSES
