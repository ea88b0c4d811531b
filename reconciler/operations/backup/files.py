"""The files of a gateway that a backup has: where they are, by the name that they have in it."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reconciler.config import require
from reconciler.config.definitions import BY_NAME, NOT_IN_HOME
from reconciler.core.backup.manifest import MAX_FILE, SETTINGS
from reconciler.embedded.stepca.ca_files import CONFIG
from reconciler.errors import Refused
from reconciler.files import unusable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reconciler.config import Settings

PEPPER: Final = "secrets/token-pepper"
PLAN_KEY: Final = "secrets/plan-mac-key"
ROOT: Final = "ca/root_ca.crt"
ROOT_KEY: Final = "root-key/root_ca_key"
VARIABLES: Final = "settings/settings.env"


@dataclass(frozen=True, slots=True)
class CaFolder:
    """The folder of step-ca's files, and the file of the root's key if it is here."""

    folder: Path
    root_key: Path | None = None


def ca_of(settings: Settings, folder: Path | None, root_key: Path | None) -> CaFolder | None:
    """Return the CA's files: those of a home, or those that are named."""
    if settings.embedded and settings.home is not None:
        return CaFolder(settings.home.ca, settings.home.ca_root_key)
    return CaFolder(folder, root_key) if folder is not None else None


def files_of(settings: Settings, ca: CaFolder | None) -> dict[str, Path]:
    """Return the files but the sealing keys, which change while the gateway runs.

    Not the database of step-ca: it cannot be copied while it runs, and all that it knows is in the
    rows. A new one is told again what is revoked.

    Raises:
        NeedsEdit: `config_invalid`, naming a setting that is missing.
    """
    files = {PEPPER: require(settings.token_pepper, "token_pepper_file")}
    plan_key = settings.plan_key_file
    if plan_key is not None and plan_key.is_file():
        files[PLAN_KEY] = plan_key
    provisioners = require(settings.ca_provisioners, "ca_provisioners")
    files |= {f"provisioners/{path.name}": path for path in sorted(provisioners.glob("*.json"))}
    if ca is None:
        files[ROOT] = require(settings.ca_root, "ca_root")
    else:
        files |= {f"ca/{name}": path for name, path in _of_ca(ca.folder)}
        if ca.root_key is not None and ca.root_key.is_file():  # it may be offline
            files[ROOT_KEY] = ca.root_key
    if settings.embedded and settings.home is not None:
        files[SETTINGS] = settings.home.config
    return files


def _of_ca(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield certificates, the key, `ca.json` and the templates; `ca.json` must be there."""
    yield CONFIG, folder / CONFIG
    for path in sorted((*folder.glob("*"), *folder.glob("templates/*"))):
        if path.is_file() and path.name != CONFIG and not path.name.startswith("."):
            yield str(path.relative_to(folder)), path


def sealing_keys(folder: Path) -> dict[str, bytes]:
    """Return what a keyring's folder holds at this moment, by the names that it has in a backup."""
    try:
        paths = [path for path in sorted(folder.iterdir()) if path.suffix == ".key"]
        content = {}
        for path in (*paths, folder / "primary"):
            try:
                content[f"keys/{path.name}"] = read_file(path)
            except FileNotFoundError:
                if path.name == "primary":
                    raise
    except OSError as error:
        raise unusable(error.filename, error, "read") from None
    return content


def read_file(path: Path) -> bytes:
    """Return what a file holds; what is no regular file, or is too large, is none of a gateway's.

    Raises:
        OSError: it cannot be read. Refused: `file_unusable`.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Refused("file_unusable", f"{path} is not a regular file")
        content = file.read(MAX_FILE + 1)
    if len(content) > MAX_FILE:
        raise Refused("file_unusable", f"{path} has more than {MAX_FILE:,} octets")
    return content


def variables(settings: Settings) -> bytes:
    """Return the settings of a gateway without a home as lines of an environment file.

    What holds a secret is left out: it is set again where the backup is restored.
    """
    lines = [
        f"{BY_NAME[name].variable}={given.text}\n"
        for name, given in sorted(settings.assigned.items())
        if name not in NOT_IN_HOME and BY_NAME[name].shown and not BY_NAME[name].secret
    ]
    return "".join(lines).encode()
