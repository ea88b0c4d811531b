"""Releasing a credential: what `peer add` obtained leaves the database, for something that uses it.

    (1) lock the folder; refuse one that holds another peer's credential, and leave it alone if
        there is no credential to put into it
    (2) read the row; a certificate's first release is an audit record, committed before
    (3) unseal the key
    (4) if the folder has the same files already, write nothing
    (5) else put a new generation in the place of the old one, in one rename
    (6) run the hook, if something changed or an earlier run did not come to its end; the folder is
        not locked meanwhile

A process that is killed between any two steps leaves the old credential or the new one; the next
release continues.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from reconciler.credentials.bundle import CredentialFiles
from reconciler.credentials.folder import hook_due, hook_turn, locked_folder, settle_hook
from reconciler.crypto.seal import unseal
from reconciler.hook import run_hook
from reconciler.store.outbound import release as rows
from reconciler.store.outbound.peers import client_key_context

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.crypto.seal import KeyWrapper
    from reconciler.store.db import Database
    from reconciler.store.outbound.release import Releasable


@dataclass(frozen=True, slots=True)
class Releaser:
    """What releasing needs; `hook` are the words of a command that runs after a change.

    With `retries_hook`, one that failed is run again at the next release, although nothing changed.
    """

    database: Database
    keys: KeyWrapper = field(repr=False)
    actor: str
    hook: tuple[str, ...] | None = None
    retries_hook: bool = False


@dataclass(frozen=True, slots=True)
class Released:
    """What a release did; `document` is `grant.json`, `hook_error` says why the hook failed."""

    changed: bool
    document: dict[str, Any]
    hook_error: str | None = None


def release_to_folder(releaser: Releaser, name: str, path: Path) -> Released:
    """Make the folder hold the credential of an outbound peer, and run the hook that is due.

    Raises:
        MosaicError: `name_unknown`, `state_conflict`, `file_unusable`, `keyring_invalid`.
    """
    released = write_to_folder(releaser, name, path)
    return replace(released, hook_error=run_due_hook(releaser, name, path))


def write_to_folder(releaser: Releaser, name: str, path: Path) -> Released:
    """Make the folder hold the credential of an outbound peer; raise as `release_to_folder`."""
    with releaser.database.transaction() as tx:
        rows.usable_peer(tx, name)
    with locked_folder(path, name) as folder:  # (1)
        row = _recorded(releaser, name, str(path))  # (2)
        files = _files(releaser, row)  # (3)
        changed = not folder.holds(files)
        if changed:
            folder.write(files, hook=releaser.hook is not None)  # (5)
        else:
            folder.remove_leftovers()  # (4)
        return Released(changed, row.document())


def run_due_hook(releaser: Releaser, name: str, path: Path) -> str | None:
    """Run the hook if it is due for a folder (6); return why it failed.

    Raises:
        MosaicError: `file_unusable`.
    """
    if releaser.hook is None or hook_due(path) is None:
        return None
    with hook_turn(path) as due:
        if due is None:
            return None
        variables = {"MOSAIC_PEER": name, "MOSAIC_CREDENTIALS": str(path)}
        error = run_hook(releaser.hook, variables)
        if error is None or not releaser.retries_hook:
            settle_hook(path, due)
        return error


def release_files(releaser: Releaser, name: str, destination: str) -> CredentialFiles:
    """Return the files of the credential, for a `destination` that is no folder.

    Raises:
        MosaicError: `name_unknown`, `state_conflict`, `keyring_invalid`.
    """
    return _files(releaser, _recorded(releaser, name, destination))


def _recorded(releaser: Releaser, name: str, destination: str) -> Releasable:
    with releaser.database.transaction() as tx:
        return rows.release(tx, name, destination, releaser.actor)


def _files(releaser: Releaser, row: Releasable) -> CredentialFiles:
    peer = row.peer
    assert peer.certificate is not None
    assert peer.sealed_key is not None
    return CredentialFiles(
        certificate=(peer.certificate.pem + row.chain).encode(),
        key=unseal(peer.sealed_key, client_key_context(peer.id), releaser.keys),
        roots="".join(peer.roots).encode(),
        grant=(json.dumps(row.document(), indent=2, ensure_ascii=False) + "\n").encode(),
    )
