"""Records of several instances in a run's folder."""

from __future__ import annotations

from harness.storage.record import INSTANCE_FILES, InstancesRecord
from harness.storage.store import RunFolder


def load_instances(folder: RunFolder) -> list[InstancesRecord]:
    """Return the records of instances by round, method, split and attempt.

    Raises:
        HarnessError: a record is damaged or of an unknown schema.
    """
    paths = sorted(folder.path.glob(INSTANCE_FILES))
    records = [InstancesRecord.from_dict(folder.load(path), path) for path in paths]
    return sorted(records, key=lambda one: (one.round, one.method, one.split, one.attempt))
