"""Records of several instances in a run's folder."""

from __future__ import annotations

from harness.files.whole_files import make_folder, write_json
from harness.storage.record import INSTANCE_FILES, InstancesRecord
from harness.storage.store import RunFolder


def save_instances(folder: RunFolder, record: InstancesRecord) -> None:
    """Write a record of instances."""
    path = folder.path / record.path
    make_folder(path.parent, "run.results")
    write_json(path, record.as_dict())


def load_instances(folder: RunFolder) -> list[InstancesRecord]:
    """Return the records of instances by round, method, split and attempt.

    Raises:
        HarnessError: a record is damaged or of an unknown schema.
    """
    paths = sorted(folder.path.glob(INSTANCE_FILES))
    records = [InstancesRecord.from_dict(folder.load(path), path) for path in paths]
    return sorted(records, key=lambda one: (one.round, one.method, one.split, one.attempt))
