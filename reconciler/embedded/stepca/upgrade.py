"""What a certificate authority of an older version lacks, and how it gets it.

It gets a provisioner of its own that revokes, and a revocation list that is made by the clock.

The key is written first and `ca.json` last, so a run that is interrupted is completed by the next
one with the same key. A step-ca that runs reads `ca.json` when it starts.
"""

from __future__ import annotations

import fcntl
import json
from typing import TYPE_CHECKING, Any

from reconciler.crypto.ca_material import (
    CRL_POLICY,
    REVOCATIONS,
    TEMPLATES,
    new_provisioner,
    provisioner_config,
)
from reconciler.embedded.folders import locked
from reconciler.embedded.stepca.ca_files import (
    CONFIG,
    LOCK,
    PUBLIC,
    SECRET,
    json_bytes,
    private_json,
)
from reconciler.embedded.stepca.config import read_ca_config
from reconciler.errors import OTHER_USER, NeedsEdit
from reconciler.files import replace_file, write_new
from reconciler.packaged_files import data_dir

if TYPE_CHECKING:
    from pathlib import Path


def upgrade_ca(folder: Path, provisioners: Path) -> bool:
    """Bring the CA of a folder up to this version; return False if it is.

    Raises:
        NeedsEdit: `config_invalid`: its files are not as `ca init` writes them, or cannot be
            written.
    """
    try:
        with locked(folder / LOCK, fcntl.LOCK_EX):
            document, _ = read_ca_config(folder)
            lacking = not _has_revocations(document)
            if lacking:
                _add_revocations(document, folder, provisioners)
            differing = crl_differences(document)
            document["crl"] |= CRL_POLICY
            if lacking or differing:
                replace_file(folder / CONFIG, json_bytes(document), PUBLIC)
            return lacking or bool(differing)
    except OSError as error:
        raise NeedsEdit(
            "config_invalid",
            f"the certificate authority in {folder} cannot be brought up to this version:"
            f" {error.filename}: {error.strerror}",
            hint=OTHER_USER,
        ) from error


def crl_differences(document: dict[str, Any]) -> tuple[str, ...]:
    """Return how a `ca.json` has its revocation list made in another way than ours."""
    crl = document["crl"]
    return tuple(
        f"crl.{name}: got {crl.get(name)!r}, expected {expected!r}"
        for name, expected in CRL_POLICY.items()
        if crl.get(name) != expected
    )


def _has_revocations(document: dict[str, Any]) -> bool:
    return any(each["name"] == REVOCATIONS for each in document["authority"]["provisioners"])


def _add_revocations(document: dict[str, Any], folder: Path, provisioners: Path) -> None:
    listed: list[dict[str, Any]] = document["authority"]["provisioners"]
    file = provisioners / f"{REVOCATIONS}.json"
    write_new(file, private_json(new_provisioner(REVOCATIONS)), SECRET)
    template = TEMPLATES[REVOCATIONS]
    content = data_dir("step-ca").joinpath(template).read_bytes()
    replace_file(folder / "templates" / template, content, PUBLIC)
    options = listed[0]["options"]["x509"]
    seen_as = str(options["templateFile"]).rpartition("/")[0]
    public = _public_key(file)
    listed.append(provisioner_config(REVOCATIONS, public, seen_as, options["templateData"]))


def _public_key(file: Path) -> dict[str, Any]:
    """Return the public key in the file of a private one (RFC 7518 6.2.2: `d` is the secret)."""
    jwk: dict[str, Any] = json.loads(file.read_text())["jwk"]
    return {name: value for name, value in jwk.items() if name != "d"}
