"""sbom.py REQUIREMENTS WHEEL: print the SBOM of a release, an SPDX 2.3 document in JSON.

It has the wheel, and what is pinned to run it, each with its version and every hash that an
installation accepts. Times are those of SOURCE_DATE_EPOCH, so the same input prints the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

_PIN: Final = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==(\S+)")
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")
MAIN: Final = "SPDXRef-mosaic-federation"


def requirements(text: str) -> list[dict[str, Any]]:
    """Return the package of each pin."""
    packages: list[dict[str, Any]] = []
    for line in text.splitlines():
        if pin := _PIN.match(line):
            packages.append(package(pin[1].lower(), pin[2]))
        for digest in _HASH.findall(line):
            packages[-1]["checksums"].append({"algorithm": "SHA256", "checksumValue": digest})
    return packages


def package(name: str, version: str) -> dict[str, Any]:
    """Return a package of the Python Package Index, without its hashes."""
    return {
        "SPDXID": f"SPDXRef-{re.sub('[^A-Za-z0-9.-]', '-', name)}",
        "name": name,
        "versionInfo": version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "licenseConcluded": "NOASSERTION",
        "licenseDeclared": "NOASSERTION",
        "copyrightText": "NOASSERTION",
        "checksums": [],
        "externalRefs": [
            {
                "referenceCategory": "PACKAGE-MANAGER",
                "referenceType": "purl",
                "referenceLocator": f"pkg:pypi/{name}@{version}",
            }
        ],
    }


def document(pinned: str, wheel: Path, made: datetime) -> dict[str, Any]:
    """Return the document of a wheel and of what is pinned."""
    name, version = wheel.name.split("-")[:2]
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    main = package(name.replace("_", "-"), version) | {
        "licenseDeclared": "Apache-2.0",
        "primaryPackagePurpose": "APPLICATION",
        "packageFileName": wheel.name,
        "checksums": [{"algorithm": "SHA256", "checksumValue": digest}],
    }
    packages = [main, *requirements(pinned)]
    needs = [
        {
            "spdxElementId": MAIN,
            "relationshipType": "DEPENDS_ON",
            "relatedSpdxElement": each["SPDXID"],
        }
        for each in packages[1:]
    ]
    describes = {
        "spdxElementId": "SPDXRef-DOCUMENT",
        "relationshipType": "DESCRIBES",
        "relatedSpdxElement": MAIN,
    }
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": f"{main['name']}-{version}",
        "documentNamespace": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}",
        "creationInfo": {
            "created": made.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "creators": ["Tool: mosaic-federation tools/sbom.py"],
        },
        "packages": packages,
        "relationships": [describes, *needs],
    }


def main() -> None:
    """Print the document."""
    pinned, wheel = Path(sys.argv[1]).read_text(), Path(sys.argv[2])
    made = datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), UTC)
    sys.stdout.write(json.dumps(document(pinned, wheel, made), indent=2) + "\n")


if __name__ == "__main__":
    main()
