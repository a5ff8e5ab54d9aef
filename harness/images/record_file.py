"""Read RecordIO files of images (``.rec``) without MXNet.

The format is dmlc-core's (``include/dmlc/recordio.h``): a record is the magic number, a word whose
upper 3 bits say how it continues and whose lower 29 bits are the length, and the data padded to 4
bytes. Data that holds the magic number at a 4-byte boundary is split there into several parts. An
image record's data begins with ``IRHeader`` (flag, label, id, id2); a flag above 0 is the number of
float32 labels that follow it, and then these count, as in ``im2rec --pack-label``.
"""

from __future__ import annotations

import hashlib
import os
import struct
from array import array
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from harness.errors import InputError

MAGIC = 0xCED7230A
MOST_BYTES = 256 << 20  # of one record, all its parts together
LONGEST_LINE = 64  # of an .idx: two numbers and a tab
_WORD = struct.Struct("<II")
_HEADER = struct.Struct("<IfQQ")
_LABEL = struct.Struct("<f")
_REFUSED = -1  # in place of a label
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)


def image_digest(encoded: bytes) -> bytes:
    """Return the 16 bytes that identify an encoded image: half of its SHA-256."""
    return hashlib.sha256(encoded).digest()[:16]


def _image_in(data: bytes) -> bytes:
    """Return the encoded image in a record's data; empty if the data has no header."""
    if len(data) < _HEADER.size:
        return b""
    (labels, _, _, _) = _HEADER.unpack_from(data)
    return data[_HEADER.size + 4 * labels :]


@dataclass(frozen=True)
class RecordIndex:
    """The offsets of a file's records, in the order in which they are read, and their labels.

    Attributes:
        stored: how many records the file has; more than are read where the ``.idx`` lists a part.
        digests: (n, 2) int64, half of the SHA-256 of each encoded image.
        sha256: of the whole file; all of these come from the same bytes, each read once.
    """

    path: Path
    offsets: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    stored: int
    digests: npt.NDArray[np.int64]
    sha256: str

    def images_digest(self, images: int) -> str:
        """Return the SHA-256 of the digests of the first ``images`` images in their order."""
        return hashlib.sha256(np.ascontiguousarray(self.digests[:images]).tobytes()).hexdigest()

    def __len__(self) -> int:
        return len(self.offsets)


class RecordFile:
    """A ``.rec`` opened for reading; a context manager.

    Raises:
        InputError: the file is missing, empty or unreadable.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.exists() and not path.is_file() and not path.is_dir():
            raise InputError(f"the record {path} is no plain file: check workload.rec")
        try:
            self._file = path.open("rb")
        except FileNotFoundError:
            raise InputError(
                f"the record {path} does not exist: check workload.rec= and workload.tuning.source="
            ) from None
        except OSError as error:
            raise InputError(
                f"the record {path} cannot be read ({error.strerror}): check workload.rec and the "
                "file's permissions"
            ) from None
        self._size = os.fstat(self._file.fileno()).st_size
        if not self._size:
            self._file.close()
            raise InputError(
                f"the record {path} cannot be read: it is empty; make or copy it again"
            )

    def __enter__(self) -> RecordFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def index(self, classes: int) -> RecordIndex:
        """Scan the whole file; return offsets (n,) in bytes and integer labels (n,).

        Records and order are those of the ``.idx`` beside the file where there is one, as MXNet
        reads it, and the file's own otherwise.

        Raises:
            InputError: the file is truncated or is no record of images, a record that is read has
                no single label in 0 .. classes - 1, or the ``.idx`` belongs to another file.
        """
        whole = hashlib.sha256()
        digests = bytearray()
        offsets, labels = array("q"), array("q")  # lists would take megabytes for each 10,000
        at = 0
        while at < self._size:
            data, after = self._read_whole(at, whole)
            digests += image_digest(_image_in(data))
            try:
                labels.append(self._label(data, len(offsets), classes))
            except InputError:
                labels.append(_REFUSED)  # which matters only if it is read
            offsets.append(at)
            at = after
        starts, known = (np.array(numbers, dtype=np.int64) for numbers in (offsets, labels))
        order = self._idx_order(starts)
        for number in order[known[order] == _REFUSED][:1]:
            self._label(self._data(int(starts[number])), int(number), classes)
        image_digests = np.frombuffer(digests, np.int64).reshape(-1, 2)[order]
        return RecordIndex(
            self.path, starts[order], known[order], len(starts), image_digests, whole.hexdigest()
        )

    def image(self, offset: int) -> bytes:
        """Return the encoded image of the record at ``offset`` (bytes)."""
        return _image_in(self._data(offset))

    def _bytes(self, start: int, end: int) -> bytes:
        return os.pread(self._file.fileno(), end - start, start)

    def _part(self, at: int) -> tuple[int, int, int]:
        """Return (how it continues, start, end) of the part at ``at``; InputError if it is damaged."""
        if at + _WORD.size > self._size:
            raise self._truncated(at)
        magic, word = _WORD.unpack(self._bytes(at, at + _WORD.size))
        if magic != MAGIC:
            where = "is no RecordIO file" if at == 0 else f"is damaged at byte {at}"
            raise InputError(
                f"{self.path} {where} (magic number {magic:#010x}, expected {MAGIC:#010x}): "
                "make it again with MXNet's im2rec or recordio, or copy it again"
            )
        start = at + _WORD.size
        end = start + (word & (1 << 29) - 1)
        if end - start > MOST_BYTES:
            raise InputError(
                f"the record {self.path} is damaged at byte {at}: an image there has "
                f"{(end - start) >> 20} MB, and at most {MOST_BYTES >> 20} are read; make it again"
            )
        if end + -end % 4 > self._size:
            raise self._truncated(at)
        return word >> 29, start, end

    def _read_whole(self, at: int, digest: Any) -> tuple[bytes, int]:
        """Read a record once and add its bytes to a digest; return its data and the next offset."""
        kind, _, end = self._part(at)
        first, held = end, end - at
        while kind not in (_WHOLE, _LAST):
            kind, _, end = self._part(end + -end % 4)
            held = end - at
            if held > MOST_BYTES:
                raise self._too_long(at)
        after = end + -end % 4
        raw = self._bytes(at, after)
        if len(raw) < after - at:  # it was cut meanwhile
            raise self._truncated(at)
        digest.update(raw)
        if first == end:
            return raw[_WORD.size : end - at], after
        return self._joined(raw), after

    def _joined(self, raw: bytes) -> bytes:
        """Return the data of a record that consists of several parts."""
        parts, here = [], 0
        while here < len(raw):
            _, word = _WORD.unpack_from(raw, here)
            end = here + _WORD.size + (word & (1 << 29) - 1)
            parts.append(raw[here + _WORD.size : end])
            here = end + -end % 4
        return struct.pack("<I", MAGIC).join(parts)

    def _data(self, at: int) -> bytes:
        kind, start, end = self._part(at)
        parts = [self._bytes(start, end)]
        held = end - start
        while kind not in (_WHOLE, _LAST):
            kind, start, end = self._part(end + -end % 4)
            held += end - start
            if held > MOST_BYTES:
                raise self._too_long(at)
            parts.append(self._bytes(start, end))
        return struct.pack("<I", MAGIC).join(parts)

    def _label(self, head: bytes, number: int, classes: int) -> int:
        short = InputError(
            f"record {number} of {self.path} is too short to be an image record: MXNet's im2rec makes "
            "those; make it again"
        )
        if len(head) < _HEADER.size:
            raise short
        flag, label, _, _ = _HEADER.unpack_from(head)
        if flag > 1:
            raise InputError(
                f"record {number} of {self.path} has a list of {flag} labels, as records for detection "
                "and for several labels an image have; this harness measures classifiers: make a record "
                "with one label an image"
            )
        if flag == 1:
            if len(head) < _HEADER.size + _LABEL.size:
                raise short
            (label,) = _LABEL.unpack_from(head, _HEADER.size)
        if not 0 <= label < classes or label != int(label):
            raise InputError(
                f"record {number} of {self.path} has label {label:g}, outside the classes "
                f"0 .. {classes - 1}: set workload.classes or use the record of this network"
            )
        return int(label)

    def _idx_order(self, offsets: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the positions among ``offsets`` (ascending) in the order of the ``.idx``."""
        idx = self.path.with_suffix(".idx")
        if not idx.is_file():
            return np.arange(len(offsets))
        try:
            with idx.open(encoding="utf-8", errors="replace") as lines:
                listed = self._listed(lines, idx, len(offsets))
        except OSError as error:
            raise InputError(
                f"{idx} cannot be read ({error.strerror}): check its permissions, or delete it (the "
                "order of the file is used then)"
            ) from None
        order = np.searchsorted(offsets, listed)
        wrong = np.flatnonzero(offsets[np.minimum(order, len(offsets) - 1)] != listed)
        if len(wrong):
            raise self._no_index(
                idx, f"no record begins at byte {listed[wrong[0]]}, which it names"
            )
        if len(np.unique(order)) != len(order):
            raise self._no_index(idx, "it names a record twice, which would count twice")
        return order

    def _listed(self, lines: IO[str], idx: Path, records: int) -> npt.NDArray[np.int64]:
        """Return the offsets of an ``.idx`` in its order; its keys are checked and not used."""
        listed, keys = array("q"), array("q")  # a set would take 70 bytes for each
        while line := lines.readline(LONGEST_LINE + 1):
            if not line.strip():
                continue
            try:
                key, offset, *_ = line.strip().split("\t")
                keys.append(int(key))
                listed.append(int(offset))
            except (ValueError, OverflowError):
                raise self._no_index(
                    idx,
                    f"its entry {len(listed)} is {line.strip()[:LONGEST_LINE]!r}, and MXNet reads a "
                    "whole number, a tab and a byte of the record",
                ) from None
            if len(listed) > records:
                raise self._no_index(idx, f"it names more than its {records} records")
        if not listed:
            raise self._no_index(idx, "it is empty")
        unique, times = np.unique(np.array(keys, dtype=np.int64), return_counts=True)
        for key in unique[times > 1][:1]:
            raise self._no_index(idx, f"it has the key {key} twice")
        return np.array(listed, dtype=np.int64)

    def _no_index(self, idx: Path, why: str) -> InputError:
        return InputError(
            f"{idx} does not index {self.path}: {why}. Make it again, or delete it: then all records "
            "are read in the order of the file"
        )

    def _too_long(self, at: int) -> InputError:
        return InputError(
            f"the record {self.path} is damaged at byte {at}: an image there has more than "
            f"{MOST_BYTES >> 20} MB; make it again"
        )

    def _truncated(self, at: int) -> InputError:
        return InputError(
            f"the record {self.path} is truncated: the part at byte {at} runs past the file's end "
            f"at {self._size}; copy or make the file again"
        )
