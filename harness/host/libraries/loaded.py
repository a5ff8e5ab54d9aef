"""The shared libraries that this process has loaded, and which of them defines a function."""

from __future__ import annotations

import ctypes
import os


class _DlInfo(ctypes.Structure):
    _fields_ = (
        ("file", ctypes.c_char_p),
        ("base", ctypes.c_void_p),
        ("symbol", ctypes.c_char_p),
        ("address", ctypes.c_void_p),
    )


def mapped_libraries() -> list[str]:
    """Return the paths of the libraries that are mapped, sorted."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as lines:
        fields = (line.rstrip("\n").split(maxsplit=5) for line in lines)
        return sorted({field[5] for field in fields if len(field) == 6 and ".so" in field[5]})


def library_with(symbol: str, scope: ctypes.CDLL | None = None) -> str | None:
    """Return the real path of the library that defines ``symbol``; None if none does.

    Args:
        scope: where the dynamic linker looks; None: the global scope, where LD_PRELOAD comes first.
    """
    everything = ctypes.CDLL(None)
    function = getattr(everything if scope is None else scope, symbol, None)
    if function is None:
        return None
    info = _DlInfo()
    address = ctypes.cast(function, ctypes.c_void_p)
    everything.dladdr(address, ctypes.byref(info))
    return os.path.realpath(os.fsdecode(info.file))
