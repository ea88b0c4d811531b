"""Invitations as commands print them: once, and to one place only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from reconciler.config import Settings, require
from reconciler.core.issuance.invitation import Invitation
from reconciler.core.model.times import rfc3339
from reconciler.crypto.certificates import fingerprint_of
from reconciler.operations.gateway_files import read_pepper, read_roots
from reconciler.reconcile import TokenMinting
from reconciler.store.file_change import FileChange

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta
    from pathlib import Path

    from reconciler.store.issuance.tokens import Minted


@dataclass(frozen=True, slots=True)
class InvitationIssuer:
    """What an invitation needs beside a token: checked before anything is written."""

    public_url: str
    pin: str
    minting: TokenMinting = field(repr=False)

    def document(self, minted: Minted) -> dict[str, Any]:
        """Return `{url, expiresAt}`. The URL holds the token."""
        invitation = Invitation(self.public_url, minted.token, self.pin)
        return {"url": invitation.url(), "expiresAt": rfc3339(minted.expires_at)}


def invitation_issuer(settings: Settings, token_life: timedelta) -> InvitationIssuer:
    """Return what invitations need.

    Raises:
        NeedsEdit: `config_invalid`, naming the setting or the file.
    """
    pepper = read_pepper(require(settings.token_pepper, "token_pepper_file"))
    return InvitationIssuer(
        public_url=require(settings.public_url, "public_url"),
        pin=fingerprint_of(read_roots(require(settings.ca_root, "ca_root"))[0]),
        minting=TokenMinting(pepper, token_life),
    )


def invitation_documents(
    issuer: InvitationIssuer, minted: Iterable[tuple[str, Minted]], folder: Path | None
) -> tuple[list[dict[str, Any]], list[FileChange]]:
    """Return the invitations of an apply as documents, and as files if there is a folder for them.

    A document is `{grant, expiresAt}` with the `url`, or with the `file` that holds it, which only
    its owner can read (0600).
    """
    documents: list[dict[str, Any]] = []
    files: list[FileChange] = []
    for grant, token in minted:
        document = {"grant": grant, **issuer.document(token)}
        if folder is not None:
            file = _file(folder, grant, document.pop("url"))
            document["file"] = str(file.folder / file.path)
            files.append(file)
        documents.append(document)
    return documents, files


def _file(folder: Path, grant: str, url: str) -> FileChange:
    return FileChange(
        folder,
        f"{grant}.invitation",
        before=None,
        after=f"{url}\n".encode(),
        option="--invite-dir",
        if_taken="remove it: a newer one voids it",
        private=True,
    )
