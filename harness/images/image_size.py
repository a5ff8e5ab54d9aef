"""The size of an encoded image, read from its header.

A JPEG of a few hundred bytes may claim 65535 x 65535 pixels, and the decoder makes room for them all:
13 GB. Only JPEG and PNG are read here, which is what im2rec writes; for other formats the limit of
memory of the decoding process holds.
"""

from __future__ import annotations

import struct

MOST_PIXELS = 80_000_000  # ImageNet's largest image has 61 million
_PNG = b"\x89PNG\r\n\x1a\n"
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # JPEG's markers with a size
_BARE = frozenset((0x01, *range(0xD0, 0xD9)))  # and those without a length


def read_size(encoded: bytes) -> tuple[int, int] | None:
    """Return (height, width) of a JPEG or PNG; None for other formats and damaged headers."""
    if encoded[:2] == b"\xff\xd8":
        return _jpeg(encoded)
    if encoded[:8] == _PNG and len(encoded) >= 24:
        width, height = struct.unpack_from(">II", encoded, 16)
        return height, width
    return None


def check_size(height: int, width: int, shorter_side: int | None) -> None:
    """Raise ValueError for an image with too many pixels.

    Args:
        shorter_side: what that will be resized to in proportion; None: both sides have a fixed size.

    Raises:
        ValueError: it has more than ``MOST_PIXELS``, or none, or would have more.
    """
    if height * width > MOST_PIXELS:
        raise ValueError(
            f"it claims {height} x {width} pixels, and at most {MOST_PIXELS / 1e6:.0f} million are "
            "decoded"
        )
    if not height or not width:
        raise ValueError(f"it claims {height} x {width} pixels")
    if shorter_side is not None:
        short, long = sorted((height, width))
        if shorter_side * (long * shorter_side // short) > MOST_PIXELS:
            raise ValueError(
                f"its {height} x {width} pixels would become more than {MOST_PIXELS / 1e6:.0f} "
                f"million with its shorter side resized to {shorter_side}"
            )


def _jpeg(encoded: bytes) -> tuple[int, int] | None:
    at, end = 2, len(encoded)
    while at + 9 <= end:
        if encoded[at] != 0xFF:
            at = encoded.find(b"\xff", at)  # libjpeg too passes over what is between markers
            if at < 0:
                return None
            continue
        marker = encoded[at + 1]
        if marker in _FRAMES:
            height, width = struct.unpack_from(">HH", encoded, at + 5)
            return height, width
        if marker == 0xFF:
            at += 1
        elif marker in _BARE or marker == 0x00:
            at += 2
        elif marker in (0xD9, 0xDA):  # the end, or pixels: no size comes any more
            return None
        else:
            at += 2 + struct.unpack_from(">H", encoded, at + 2)[0]
    return None
