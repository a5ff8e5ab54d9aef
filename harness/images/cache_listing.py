"""What the cache holds, whether it is sound, and deleting what no run uses."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from tabulate import tabulate

from harness.errors import InputError
from harness.images.cache import GB, CacheEntry, entries, hold
from harness.images.preparation import Place
from harness.process.variables import MODELS

ALL = "all"
HEADERS = ("Key", "Record", "Images", "Geometry", "GB", "Last used", "State")
IN_USE = "a run in progress uses it"


def list_cache(place: Place) -> str:
    """Return the table of what is there and the line with the total."""
    kept, models = entries(place.folder), _models(place)
    if not kept and not models:
        return f"the cache {place.cache} is empty\n"
    body = [_row(entry) for entry in reversed(kept)]
    body += [_model_row(path) for path in models]
    table = tabulate(body, HEADERS, disable_numparse=True, colalign=_alignment())
    held, others = sum(entry.bytes for entry in kept), sum(p.stat().st_size for p in models)
    return (
        f"{table}\n\n{place.cache}: {held / GB:.2f} GB of prepared images, limited to "
        f"{place.limit / GB:g} GB by run.cache_limit_gb, and {others / GB:.2f} GB of models\n"
    )


def _alignment() -> list[str]:
    return ["right" if name in ("Images", "GB") else "left" for name in HEADERS]


def _models(place: Place) -> list[Path]:
    """Return the files of downloaded weights, half-fetched ones too."""
    return sorted(path for path in (place.cache / MODELS).glob("*") if path.is_file())


def _state(entry: CacheEntry) -> str:
    if entry.in_use():
        return "in use" if entry.whole() else "being made"
    return "whole" if entry.whole() else "damaged"


def _row(entry: CacheEntry) -> list[str]:
    sidecar = entry.about()
    size = f"{entry.bytes / GB:.2f}"
    used, state = _day(entry.last_use), _state(entry)
    if sidecar is None:
        return [entry.key, "-", "-", "-", size, used, state]
    geometry = sidecar.transform
    shape = f"{geometry.resize}{' short side' if geometry.keep_ratio else ''}"
    return [
        entry.key,
        Path(sidecar.record.path).name,
        str(sidecar.images),
        f"{shape}, crop {geometry.crop}",
        size,
        used,
        state,
    ]


def _model_row(path: Path) -> list[str]:
    status = path.stat()
    size, made = f"{status.st_size / GB:.2f}", _day(status.st_mtime)
    return [path.stem, path.name, "-", "-", size, f"{made} (fetched)", "model"]


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds)) if seconds else "-"


def _named(place: Place, verb: str, key: str) -> list[CacheEntry]:
    found = [entry for entry in entries(place.folder) if key in (ALL, entry.key)]
    if found or key == ALL:
        return found
    known = [entry.key for entry in entries(place.folder)]
    known += [path.stem for path in _models(place)] if verb == "clear" else []
    raise InputError(
        f"{verb}={key}: there is no such key in {place.cache}; "
        f"it has {', '.join(known) or 'nothing'}, and {verb}=all means everything"
    )


def clear(place: Place, key: str) -> list[str]:
    """Delete what a key names, or ``all``, but for what is in use; return a line for each.

    Raises:
        InputError: there is no such key, or what it names is in use.
    """
    used = any(entry.in_use() for entry in entries(place.folder))
    models = [path for path in _models(place) if key in (ALL, path.stem)]
    chosen = [] if models and key != ALL else _named(place, "clear", key)
    lines = []
    for entry in chosen:
        name = f"{entry.key} ({entry.bytes / GB:.2f} GB)"
        deleted = entry.remove_unless_used()
        lines.append(f"deleted {name}" if deleted else f"kept {name}: {IN_USE}")
    for path in models:  # a run loads its weights again for each row, and holds only its images
        name = f"{path.name} ({path.stat().st_size / GB:.2f} GB)"
        if not used:
            path.unlink(missing_ok=True)
        lines.append(f"kept {name}: a run in progress may use it" if used else f"deleted {name}")
    kept = [line for line in lines if line.startswith("kept")]
    if kept and key != ALL:
        raise InputError(f"clear={key}: {kept[0]}; wait for it or stop it")
    return lines


def check(place: Place, key: str) -> Iterator[tuple[str, bool]]:
    """Verify what a key names, or ``all``; yield a line for each, and whether it is sound.

    Raises:
        InputError: there is no such key.
    """
    for entry in _named(place, "check", key):
        held = hold(entry)  # so that nobody deletes it meanwhile
        sound = entry.sound()
        held.release()
        advice = f"; ./run.sh cache clear={entry.key} deletes it, and the next run makes it again"
        yield f"{entry.key}: {'every checksum is right' if sound else 'damaged' + advice}", sound
