"""`ca init`: the files of a certificate authority, written once, completed after a crash.

All of it is made in a folder of its own first; only when that is whole are the files put in their
places, `ca.json` last. So a run that was interrupted is completed by the next one with the same
keys, and one that is complete is never changed.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.issuance.crl_locations import crl_url_at
from reconciler.core.model.ids import DEFAULT_OID_ARC
from reconciler.crypto.ca_material import CaPlacement, ca_config, new_ca
from reconciler.embedded.folders import locked
from reconciler.errors import NeedsEdit
from reconciler.files import private_folder, write_new
from reconciler.packaged_files import data_dir

if TYPE_CHECKING:
    from pathlib import Path

CONFIG: Final = "ca.json"
STAGING: Final = ".new"
LOCK: Final = ".lock"
COMPLETE: Final = "complete"
SECRET, PUBLIC = 0o400, 0o444


@dataclass(frozen=True, slots=True)
class CaPlan:
    """Where an authority's files go, and what it is.

    `folder` gets what step-ca sees (as `seen_as`, inside a container say); `root_key` is a file in
    a folder of its own; `provisioners` a folder that only `serve` reads. `address` is what step-ca
    listens on, `dns_names` what its own certificate is for.
    """

    folder: Path
    root_key: Path
    provisioners: Path
    public_url: str
    address: str
    dns_names: tuple[str, ...] = ("127.0.0.1", "localhost")
    name: str = "Mosaic Federation"
    oid_arc: str = DEFAULT_OID_ARC
    seen_as: str | None = None
    database: dict[str, Any] | None = field(default=None, repr=False)


def write_ca(plan: CaPlan) -> bool:
    """Write the files of an authority; return False, and change nothing, where it is complete.

    Of two at once the second waits, and finds it complete.

    Raises:
        NeedsEdit: `config_invalid`: in the place of a file is something else.
    """
    for folder in (plan.folder, plan.root_key.parent, plan.provisioners):
        private_folder(folder)
    with locked(plan.folder / LOCK, fcntl.LOCK_EX):
        return _write(plan, plan.folder / STAGING)


def _write(plan: CaPlan, staging: Path) -> bool:
    if (plan.folder / CONFIG).exists():
        # left where a run was killed at its very end: it holds the root's key
        shutil.rmtree(staging, ignore_errors=True)
        return False
    fresh = not (staging / COMPLETE).exists()
    if fresh:
        shutil.rmtree(staging, ignore_errors=True)
        _stage(plan, staging)
    places = _places(plan, staging)
    try:
        _refuse_shared([target for _, target in places])
        for staged, target in places:
            _refuse_taken(target, staged.read_bytes())
    except NeedsEdit:
        if fresh:
            shutil.rmtree(staging)
        raise
    for staged, target in places:
        target.parent.mkdir(mode=0o700, exist_ok=True)
        write_new(target, staged.read_bytes(), staged.stat().st_mode & 0o777)
    shutil.rmtree(staging)  # it holds the root's key, which may be taken offline
    return True


def _refuse_shared(targets: list[Path]) -> None:
    """Raise if two files have one place, or one is where the folder of another has to be."""
    resolved = [target.parent.resolve() / target.name for target in targets]
    for target, place in zip(targets, resolved, strict=True):
        if sum(each.is_relative_to(place) for each in resolved) > 1:
            raise NeedsEdit(
                "config_invalid",
                f"{target} is the place of another file of this authority",
                hint="name another place for the root's key, in a folder of its own",
            )


def _refuse_taken(target: Path, content: bytes) -> None:
    """Raise unless a file can be put there, or was by a run that was interrupted."""
    if not os.path.lexists(target) or (target.is_file() and target.read_bytes() == content):
        return
    what = "is a folder" if target.is_dir() else "is not of this authority"
    raise NeedsEdit(
        "config_invalid",
        f"{target} exists already, and {what}",
        hint="move it, or name another place; if it is of an authority of which a part was"
        " lost, restore that from its backup",
    )


def _stage(plan: CaPlan, staging: Path) -> None:
    made = new_ca(plan.name, datetime.now(UTC))
    placement = CaPlacement(
        folder=plan.seen_as or str(plan.folder),
        address=plan.address,
        dns_names=plan.dns_names,
        crl_url=crl_url_at(plan.public_url, made.issuer_key_id),
        oid_arc=plan.oid_arc,
        database=plan.database,
    )
    config = ca_config(placement, made.provisioners)
    for folder in ("ca/templates", "provisioners"):
        (staging / folder).mkdir(mode=0o700, parents=True)
    write_new(staging / "root_ca_key", made.root_key, SECRET)
    write_new(staging / "ca/root_ca.crt", made.root.encode(), PUBLIC)
    write_new(staging / "ca/intermediate_ca.crt", made.intermediate.encode(), PUBLIC)
    write_new(staging / "ca/intermediate_ca_key", made.intermediate_key, SECRET)
    for template in sorted(data_dir("step-ca").glob("*.tpl")):
        write_new(staging / "ca/templates" / template.name, template.read_bytes(), PUBLIC)
    for name, document in made.provisioners.items():
        write_new(staging / f"provisioners/{name}.json", private_json(document), SECRET)
    write_new(staging / "ca" / CONFIG, json_bytes(config), PUBLIC)
    write_new(staging / COMPLETE, b"", PUBLIC)


def _places(plan: CaPlan, staging: Path) -> list[tuple[Path, Path]]:
    """Return what is staged and where it goes, `ca.json` last."""
    ca, provisioners = staging / "ca", staging / "provisioners"
    files = sorted(path for path in ca.rglob("*") if path.is_file() and path.name != CONFIG)
    return [
        (staging / "root_ca_key", plan.root_key),
        *((path, plan.provisioners / path.name) for path in sorted(provisioners.iterdir())),
        *((path, plan.folder / path.relative_to(ca)) for path in files),
        (ca / CONFIG, plan.folder / CONFIG),
    ]


def private_json(provisioner: dict[str, Any]) -> bytes:
    """Return what the file of a provisioner's private key holds."""
    return json_bytes({name: value for name, value in provisioner.items() if name != "public"})


def json_bytes(document: object) -> bytes:
    """Return a document as the CA's files hold it."""
    return (json.dumps(document, indent=2) + "\n").encode()
