"""The adaptation to the versions that clash; what INC needs of it is in test_inc.py."""

from __future__ import annotations

import json
from pathlib import Path

from harness.process.compat import wheel_sha256


def test_the_wheels_digest_is_read_from_what_pip_reported(tmp_path: Path) -> None:
    report = tmp_path / "run.lock.json"
    archive = {"hashes": {"sha256": "ab" * 32}}
    item = {"metadata": {"name": "mxnet"}, "download_info": {"archive_info": archive}}
    report.write_text(json.dumps({"install": [{"metadata": {"name": "six"}}, item]}))
    assert wheel_sha256("mxnet", report) == "ab" * 32
    assert wheel_sha256("numpy", report) is None
    assert wheel_sha256("mxnet", tmp_path / "none.json") is None
