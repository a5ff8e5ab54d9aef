"""Read RecordIO files of images (``.rec``) without MXNet.

The format is dmlc-core's (``include/dmlc/recordio.h``): a record is the magic number, a word whose
upper 3 bits say how it continues and whose lower 29 bits are the length, and the data padded to 4
bytes. Data that holds the magic number at a 4-byte boundary is split there into several parts. An
image record's data begins with ``IRHeader`` (flag, label, id, id2); a flag above 0 is the number of
float32 labels that follow it.
"""

from __future__ import annotations

import os
import struct
from array import array
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from harness.errors import InputError

MAGIC = 0xCED7230A
MOST_BYTES = 256 << 20  # of one record, all its parts together
LONGEST_LINE = 64  # of an .idx: two numbers and a tab
_WORD = struct.Struct("<II")
_HEADER = struct.Struct("<IfQQ")
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)


@dataclass(frozen=True)
class RecordIndex:
    """Where the records of a file begin, in the order in which they are read, and their labels."""

    path: Path
    offsets: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]

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

        The order is that of the ``.idx`` beside the record where there is one, as MXNet reads it,
        and the file's own otherwise.

        Raises:
            InputError: the file is truncated or is no record of images, a label is no integer in
                0 .. classes - 1, or the ``.idx`` belongs to another file.
        """
        offsets, labels = array("q"), array("q")  # lists would take megabytes for each 10,000
        at = 0
        while at < self._size:
            data, after = self._span(at)
            labels.append(self._label(data, len(offsets), classes))
            offsets.append(at)
            at = after
        found = np.array(offsets, dtype=np.int64)
        order = self._idx_order(found)
        return RecordIndex(self.path, found[order], np.array(labels, dtype=np.int64)[order])

    def image(self, offset: int) -> bytes:
        """Return the encoded image of the record at ``offset`` (bytes)."""
        data = self._data(offset)
        (labels, _, _, _) = _HEADER.unpack_from(data)
        return data[_HEADER.size + 4 * labels :]

    def _bytes(self, start: int, end: int) -> bytes:
        return os.pread(self._file.fileno(), end - start, start)

    def _part(self, at: int) -> tuple[int, int, int]:
        """Return (how it continues, start, end) of the part at ``at``, or say what is wrong."""
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

    def _span(self, at: int) -> tuple[bytes, int]:
        """Return the beginning of a record's data (header and labels) and where the next begins."""
        kind, start, end = self._part(at)
        head = self._bytes(start, min(end, start + _HEADER.size))
        if kind != _WHOLE:
            head = self._data(at)[: _HEADER.size]
        while kind not in (_WHOLE, _LAST):
            kind, _, end = self._part(end + -end % 4)
        return head, end + -end % 4

    def _data(self, at: int) -> bytes:
        kind, start, end = self._part(at)
        parts = [self._bytes(start, end)]
        held = end - start
        while kind not in (_WHOLE, _LAST):
            kind, start, end = self._part(end + -end % 4)
            held += end - start
            if held > MOST_BYTES:
                raise InputError(
                    f"the record {self.path} is damaged at byte {at}: an image there has more than "
                    f"{MOST_BYTES >> 20} MB; make it again"
                )
            parts.append(self._bytes(start, end))
        return struct.pack("<I", MAGIC).join(parts)

    def _label(self, head: bytes, number: int, classes: int) -> int:
        if len(head) < _HEADER.size:
            raise InputError(f"record {number} of {self.path} is too short to be an image record")
        flag, label, _, _ = _HEADER.unpack(head)
        if flag:
            raise InputError(
                f"record {number} of {self.path} has {flag} labels: this harness classifies, "
                "so pack one label per image"
            )
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
        listed = np.empty(0, dtype=np.int64)
        try:
            if idx.stat().st_size <= LONGEST_LINE * len(offsets):
                with idx.open(encoding="utf-8") as lines:
                    listed = np.array(array("q", (int(line.split("\t")[1]) for line in lines)))
        except OSError as error:
            raise InputError(
                f"{idx} cannot be read ({error.strerror}): check its permissions, or delete it (the "
                "order of the file is used then)"
            ) from None
        except (ValueError, IndexError, OverflowError):
            pass
        order = np.argsort(listed, kind="stable")
        if not np.array_equal(listed[order], offsets):
            raise InputError(
                f"{idx} does not index {self.path}, which holds {len(offsets)} records: delete it "
                "(the order of the file is used then) or make it again"
            )
        return np.argsort(order, kind="stable")

    def _truncated(self, at: int) -> InputError:
        return InputError(
            f"the record {self.path} is truncated: the part at byte {at} runs past the file's end "
            f"at {self._size}; copy or make the file again"
        )
