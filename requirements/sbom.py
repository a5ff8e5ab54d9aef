"""Write sbom.json: what the locks install, as a bill of materials in CycloneDX's form.

    python3 requirements/sbom.py > requirements/sbom.json

It needs no package and no network: everything is in the locks.
"""

from __future__ import annotations

import json
import re
import uuid
from typing import Any

from licences import FOLDER, LOCKS, engine_locks

SPECIFICATION = "1.6"
PINNED = re.compile(
    r"^([A-Za-z0-9._-]+)==([^\s;\\]+)((?:[^\n]*\\\n\s+--hash=sha256:[0-9a-f]{64})*)", re.M
)
LINKS = re.compile(r"^--find-links (\S+)", re.M)
INDEX = "https://pypi.org/project"


def components() -> list[dict[str, Any]]:
    """Return every locked version of a package, with the digests of the files that may be installed."""
    found: dict[str, dict[str, Any]] = {}
    for lock, use in {**LOCKS, **engine_locks()}.items():
        text = (FOLDER / lock).read_text(encoding="utf-8")
        for name, version, digests in PINNED.findall(text):
            reference = f"pkg:pypi/{name.lower().replace('_', '-')}@{version}"
            hashes = [
                {"alg": "SHA-256", "content": digest}
                for digest in re.findall("sha256:([0-9a-f]{64})", digests)
            ]
            page = f"{INDEX}/{name}/{version}/"
            if "+" in version:  # a build that is not on PyPI
                page = LINKS.findall(text)[0]
            component = {
                "type": "library",
                "bom-ref": reference,
                "name": name,
                "version": version,
                "scope": "required" if use in ("build", "run") else "optional",
                "purl": reference,
                "externalReferences": [{"type": "distribution", "url": page, "hashes": hashes}],
                "properties": [{"name": "inc-bench:installed-for", "value": use}],
            }
            found.setdefault(reference, component)  # the first lock that has this version counts
    return [found[reference] for reference in sorted(found)]


def bill() -> dict[str, Any]:
    """Return the whole bill; the same locks give the same one."""
    listed = components()
    content = json.dumps(listed, sort_keys=True)
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPECIFICATION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPECIFICATION,
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, content)}",
        "version": 1,
        "metadata": {
            "component": {"type": "application", "bom-ref": "inc-bench", "name": "inc-bench"}
        },
        "components": listed,
    }


if __name__ == "__main__":
    print(json.dumps(bill(), indent=1))
