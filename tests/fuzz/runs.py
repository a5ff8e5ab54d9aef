"""Parsers of what runs leave: good inputs, and what feeds one."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
import sqlite3
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np

from harness.errors import HarnessError
from helpers.sample_run import made_run

TEXTS = ("method", "outcome", "log")  # columns that are no numbers


class RunFolderOf:
    """A made run in a folder, of which one file is replaced by the input and put back again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not (folder / "machine").exists():
            made_run(folder, rounds=2)
        self.run = folder / "machine" / "made"

    def with_file(self, name: str, data: bytes, use: Callable[[], object]) -> None:
        path = self.run / name
        kept = path.read_bytes() if path.exists() else None
        path.write_bytes(data)
        try:
            use()
        finally:
            path.unlink(missing_ok=True)
            if kept is not None:
                path.write_bytes(kept)


def files_of_run(*names: str) -> Callable[[Path], list[bytes]]:
    return lambda folder: [(RunFolderOf(folder).run / name).read_bytes() for name in names]


def feed_table(name: str) -> Callable[[bytes, Path], None]:
    """Return a function that makes a run's tables and its entry in the history, with one file changed."""

    def feed(data: bytes, folder: Path) -> None:
        from harness.nightly.entry import build_entry
        from harness.nightly.judgements import with_verdict
        from harness.storage.store import RunFolder
        from harness.table.csv_table import to_csv
        from harness.table.loaded_run import load_run
        from harness.table.markdown import to_markdown

        made = RunFolderOf(folder)

        def use() -> None:
            run = RunFolder(made.run)
            loaded = load_run(run)
            text = to_markdown(loaded, True)
            cells = list(csv.DictReader(io.StringIO(to_csv(loaded.rows))))
            for row in cells:
                shown = {str(v).lower() for k, v in row.items() if k not in TEXTS}
                assert not shown & {"nan", "inf", "-inf"}, row
                for key in ("top1", "top5"):
                    assert not row[key] or 0 <= float(row[key]) <= 1
            assert text
            with_verdict(build_entry(run), run)

        made.with_file(name, data, use)

    return feed


def feed_report(name: str) -> Callable[[bytes, Path], None]:
    """Return a function that reads what a report reads beyond the records, with one file changed."""

    def feed(data: bytes, folder: Path) -> None:
        os.environ.setdefault("MPLCONFIGDIR", str(folder / "matplotlib"))  # not the user's home
        from harness.report.evidence import command, config_digest, evidence
        from harness.report.figures.influence import influences
        from harness.report.figures.trials import fp32_accuracy, stored_trials, trajectories
        from harness.report.methods_text import methods_text
        from harness.storage.store import RunFolder
        from harness.table.loaded_run import load_run

        made = RunFolderOf(folder)

        def use() -> None:
            run = load_run(RunFolder(made.run))
            trajectories(run.plan, run.records, stored_trials(run), fp32_accuracy(run))
            influences(run)
            methods_text(run.plan, run.records, run.rows)
            digests = {one.path: "0" * 64 for one in (*run.records, *run.rounds)}
            evidence(run.plan, run.records, run.rounds, digests, lambda path: True)
            command(run.plan)
            config_digest(run.plan.config)

        made.with_file(name, data, use)

    return feed


def nights(folder: Path) -> list[bytes]:
    night = {
        "verdict": "regression",
        "rows": [{"method": "fp32", "metric": "batch_s", "kind": "regression"}],
        "shifts": [{"method": "fp32"}],
    }
    return [json.dumps(night).encode()]


def acknowledgements(folder: Path) -> list[bytes]:
    known = [
        {"method": "fp32", "metric": "*", "reason": "new kernel", "when": "2026-01-01T00:00:00Z"}
    ]
    return [json.dumps(known).encode()]


def trials(folder: Path) -> list[bytes]:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, top1=np.zeros((4, 100), "<u2"))
    return [buffer.getvalue()]


def predictions(folder: Path) -> list[bytes]:
    packed_ = RunFolderOf(folder).run / "methods" / "fp32" / "predictions.npz"
    big = io.BytesIO()
    np.savez_compressed(big, top=np.zeros((1000, 5), ">u2"))
    return [packed_.read_bytes(), trials(folder)[0], big.getvalue()]


def feed_predictions(data: bytes, folder: Path) -> None:
    """The digest is made to fit, as in a pack from elsewhere."""
    from harness.files import reading

    path = folder / "p.npz"
    path.write_bytes(data)
    try:
        found = reading.read_npz(path, "top", "<u2", (1000, None))
    except reading.BadArray as error:
        raise HarnessError(str(error)) from None  # as load_predictions does
    assert found.shape[0] == 1000


def influences(folder: Path) -> list[bytes]:
    return files_of_run("methods/int8_custom/operator_influence.csv")(folder)


def databases(folder: Path) -> list[bytes]:
    from harness.nightly.entry import build_entry
    from harness.nightly.memory.database import opened
    from harness.storage.store import RunFolder

    entry = build_entry(RunFolder(RunFolderOf(folder).run))
    with opened(folder / "seed") as history:
        history.save(entry)
    return [(folder / "seed" / "history.sqlite").read_bytes()]


def feed_database(data: bytes, folder: Path) -> None:
    """Bytes of the file, and as often a cell of a good one."""
    from harness.nightly.memory.database import opened
    from harness.nightly.nightly_report import list_nights

    place = folder / "history"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    path = place / "history.sqlite"
    seed = folder / "seed" / "history.sqlite"
    if len(data) % 2 and seed.exists():
        path.write_bytes(seed.read_bytes())
        columns = {
            "runs": "alike environment shifted regressions acknowledged verdict created improved open",
            "rows": "times rounds images correct cost_s label outcome model optimize_mb validate_mb",
        }
        cells = [(table, column) for table, named in columns.items() for column in named.split()]
        table, column = cells[len(data) // 2 % len(cells)]
        value = data[:200] if len(data) % 3 else data[:200].decode("latin-1")
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(f"UPDATE {table} SET {column}=?", (value,))
    else:
        path.write_bytes(data)
    with opened(place) as history:
        for machine in history.machines():
            for entry in history.load(machine):
                for row in entry.rows:
                    assert row.times is None or (
                        np.isfinite(row.times).all() and (row.times > 0).all()
                    )
    list_nights(place)


def packs(folder: Path) -> list[bytes]:
    from harness.packs.pack import write_pack
    from harness.storage.store import RunFolder

    run = RunFolder(RunFolderOf(folder).run)
    write_pack(run, folder / "seed.zip", models=True)
    return [(folder / "seed.zip").read_bytes()]


def _import(data: bytes, folder: Path) -> None:
    from harness.packs.importing import import_pack

    place = folder / "in" / "results"
    shutil.rmtree(folder / "in", ignore_errors=True)
    (folder / "in").mkdir()
    path = folder / "x.zip"
    path.write_bytes(data)
    import_pack(path, place)
    assert sorted(p.name for p in (folder / "in").iterdir()) == ["results"]


def feed_pack(data: bytes, folder: Path) -> None:
    _import(data, folder)


def feed_sealed_pack(data: bytes, folder: Path) -> None:
    """The digest at the end is made to fit."""

    sealed = data[:-64] + hashlib.sha256(data[:-64]).hexdigest().encode()
    _import(sealed, folder)


def feed_packed_file(data: bytes, folder: Path) -> None:
    """All digests are made to fit: only one record in it is changed."""

    from harness.packs.pack import Manifest, Member, _info, _seal

    with zipfile.ZipFile(folder / "seed.zip") as archive:
        contents = {info.filename: archive.read(info) for info in archive.infolist()}
    manifest = json.loads(contents.pop("pack.json"))
    names = ("records/00_fp32.json", "plan.json", "labels.npy", "methods/fp32/predictions.npz")
    name = names[len(data) % 4]
    contents[name] = data
    members = [
        Member(path, len(body), hashlib.sha256(body).hexdigest())
        for path, body in sorted(contents.items())
    ]
    path = folder / "y.zip"
    with path.open("w+b") as handle:
        with zipfile.ZipFile(handle, "w", allowZip64=False) as archive:
            archive.comment = b"sha256:" + b"0" * 64
            archive.writestr(
                _info("pack.json"), Manifest(**{**manifest, "members": tuple(members)}).to_json()
            )
            for member in members:
                archive.writestr(_info(member.path), contents[member.path])
        _seal(handle)
    _import(path.read_bytes(), folder)


def feed_as_packed(data: bytes, folder: Path) -> None:
    if not (folder / "seed.zip").exists():
        packs(folder)
    feed_packed_file(data, folder)
