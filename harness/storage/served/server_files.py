"""Records of searches for a rate in a run's folder."""

from __future__ import annotations

from harness.storage.record import SERVER_FILES
from harness.storage.served.server_record import ServerRecord
from harness.storage.store import RunFolder


def load_server_records(folder: RunFolder) -> list[ServerRecord]:
    """Return the records of searches by method and split.

    Raises:
        HarnessError: a record is damaged or of an unknown schema.
    """
    paths = sorted(folder.path.glob(SERVER_FILES))
    return [ServerRecord.from_dict(folder.load(path), path) for path in paths]
