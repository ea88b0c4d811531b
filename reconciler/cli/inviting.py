"""Invitations as commands print them: once, and to one place only."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reconciler.cli.serving import read_roots
from reconciler.config import Settings, read_pepper, require
from reconciler.core.invitation import Invitation
from reconciler.core.times import rfc3339
from reconciler.crypto.certificates import fingerprint_of
from reconciler.errors import Refused
from reconciler.reconcile import Inviting

if TYPE_CHECKING:
    from datetime import timedelta
    from pathlib import Path

    from reconciler.store.tokens import Minted


@dataclass(frozen=True, slots=True)
class Inviter:
    """What an invitation needs beside a token: checked before anything is written."""

    public_url: str
    pin: str
    inviting: Inviting = field(repr=False)

    def document(self, minted: Minted) -> dict[str, Any]:
        """Return `{url, expiresAt}`. The URL holds the token."""
        invitation = Invitation(self.public_url, minted.token, self.pin)
        return {"url": invitation.url(), "expiresAt": rfc3339(minted.expires_at)}


def inviter(found: Settings, life: timedelta) -> Inviter:
    """Return what invitations need.

    Raises:
        NeedsEdit: `config_invalid`, naming the setting or the file.
    """
    return Inviter(
        public_url=require(found.public_url, "public_url"),
        pin=fingerprint_of(read_roots(require(found.ca_root, "ca_root"))[0]),
        inviting=Inviting(read_pepper(require(found.token_pepper, "token_pepper_file")), life),
    )


def write_invitation(folder: Path, grant: str, url: str) -> Path:
    """Write an invitation into a folder, for its owner alone (0600).

    Raises:
        Refused: `name_taken`: there is a file of an earlier one.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{grant}.invitation"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise Refused(
            "name_taken", f"{path} exists already", hint="remove it: a newer one voids it"
        ) from None
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{url}\n")
    return path
