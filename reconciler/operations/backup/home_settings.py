"""The `mosaic.toml` of a backup, and how it is written into the home that is restored."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Final

from reconciler.config.document import changed_text, key_pattern
from reconciler.core.backup.manifest import SETTINGS
from reconciler.errors import Refused

if TYPE_CHECKING:
    from reconciler.config.home import NamedServer
    from reconciler.operations.backup.archive import BackupArchive

# settings of a home that name places elsewhere: its files are put into the home
PLACES: Final = ("keyring", "token_pepper_file", "plan_key_file", "ca_provisioners")
SERVER: Final = "postgres_bin"


def settings_of(archive: BackupArchive) -> dict[str, str]:
    """Return the settings of a home; raise `Refused`: `backup_invalid`."""
    if SETTINGS not in archive.manifest.files("settings"):
        raise Refused(
            "backup_invalid",
            "it is of a gateway without a home",
            hint="set MOSAIC_DATABASE_URL and the places of its files, and restore it there",
        )
    try:
        document = tomllib.loads(_text_of_settings(archive))
    except ValueError as error:
        raise Refused("backup_invalid", f"{SETTINGS}: {error}") from None
    texts = {name: value for name, value in document.items() if isinstance(value, str)}
    return {"source": "manifests"} | texts


def _text_of_settings(archive: BackupArchive) -> str:
    return archive.content(SETTINGS).decode("utf-8-sig")  # as a home reads its own


def settings_text(archive: BackupArchive, server: NamedServer | None) -> str:
    """Return `mosaic.toml` without what names a place for what is in the home now.

    It names the PostgreSQL that makes the data, and no other.

    Raises:
        Refused: `backup_invalid`.
    """
    content = _text_of_settings(archive)
    removed = PLACES if server is not None else (*PLACES, SERVER)
    keys = [key_pattern(name) for name in removed]
    lines = content.splitlines(keepends=True)
    text = "".join(line for line in lines if not any(key.match(line) for key in keys))
    kept = {k: value for k, value in tomllib.loads(content).items() if k not in removed}
    named = {SERVER: str(server.binaries)} if server is not None else {}
    changed = changed_text(text, named)
    if changed is None or tomllib.loads(changed) != {**kept, **named}:
        hint = "restore it with another version, or write the settings on a line each"
        raise Refused("backup_invalid", f"{SETTINGS} has a place on several lines", hint=hint)
    return changed
