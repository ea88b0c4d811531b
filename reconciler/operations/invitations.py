"""Invitations as commands print them: once, and to one place only."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reconciler.config import Settings, require
from reconciler.core.issuance.invitation import Invitation
from reconciler.core.model.times import rfc3339
from reconciler.crypto.certificates import fingerprint_of
from reconciler.errors import NeedsEdit, Refused
from reconciler.files import remedy, write_new
from reconciler.operations.placement import read_roots
from reconciler.operations.secrets import read_pepper
from reconciler.reconcile import Inviting

if TYPE_CHECKING:
    from datetime import timedelta

    from reconciler.reconcile import Judged
    from reconciler.store.issuance.tokens import Minted


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


@dataclass(slots=True)
class Handout:
    """The invitations of an apply: as URLs, or as files that are there only if the apply is.

    `documents` has one `{grant, expiresAt}` each, with the `url` or with the `file` that holds it.
    """

    inviter: Inviter
    folder: Path | None
    documents: list[dict[str, Any]] = field(default_factory=list, repr=False)

    def hand_out(self, done: Judged) -> None:
        """Add the invitations of an apply that is about to be committed.

        Raises:
            Refused: `name_taken`. NeedsEdit: `value_invalid`: no file can be written there.
        """
        for name, minted in done.invited:
            document = {"grant": name, **self.inviter.document(minted)}
            if self.folder is not None:
                document["file"] = str(_write(self.folder, name, document.pop("url")))
            self.documents.append(document)

    def withdraw(self) -> None:
        """Remove the files again: the apply that they belong to has failed."""
        for document in self.documents:
            if "file" in document:
                Path(document["file"]).unlink(missing_ok=True)


def _write(folder: Path, grant: str, url: str) -> Path:
    """Write an invitation into a folder, for its owner alone (0600)."""
    path = folder / f"{grant}.invitation"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        written = write_new(path, f"{url}\n".encode(), 0o600)
    except OSError as error:
        raise NeedsEdit(
            "value_invalid",
            f"--invite-dir: {path} cannot be written: {error.strerror}; nothing was changed",
            hint=remedy(error),
        ) from None
    if not written:
        raise Refused(
            "name_taken",
            f"{path} exists already; nothing was changed",
            hint="remove it: a newer one voids it",
        )
    return path
