"""The bill of materials names what the locks install, with the digests of what may be installed."""

from __future__ import annotations

import json
import re
import subprocess
import sys

from harness import PROJECT

FOLDER = PROJECT / "requirements"


def bill() -> str:
    command = [sys.executable, str(FOLDER / "sbom.py")]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_bill_is_the_locks() -> None:
    written = bill()
    found = json.loads(written)
    assert (found["bomFormat"], found["specVersion"]) == ("CycloneDX", "1.6")
    pinned: dict[str, set[str]] = {}
    for lock in {*FOLDER.rglob("*.lock")} - {FOLDER / "readers.lock"}:  # nothing here installs that
        for entry in re.split(r"\n(?=\w)", lock.read_text()):
            name = re.match(r"([\w.-]+)==(\S+)", entry)
            if name:
                digests = set(re.findall("sha256:([0-9a-f]{64})", entry))
                pinned.setdefault(f"{name[1]}=={name[2]}", set()).update(digests)
    listed = {
        f"{each['name']}=={each['version']}": {
            digest["content"] for digest in each["externalReferences"][0]["hashes"]
        }
        for each in found["components"]
    }
    assert listed == pinned
    names = [each["bom-ref"] for each in found["components"]]
    assert len(set(names)) == len(names) > 80
    assert all(re.fullmatch(r"pkg:pypi/[a-z0-9.-]+@[\w.+-]+", name) for name in names)
    assert bill() == written  # the same locks make the same bill
