"""`rename`: the rows of an object and the manifests that name it, in one step."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from reconciler.errors import NeedsEdit
from reconciler.manifest.edit import renamed
from reconciler.manifest.load import load
from reconciler.source.read import folder_of, read_source
from reconciler.store.file_change import FileChange
from reconciler.store.locks import actor_of
from reconciler.store.rename import rename
from reconciler.store.rollback_journal import locked_with_files, recover_source

if TYPE_CHECKING:
    from datetime import timedelta
    from pathlib import Path

    from reconciler.core.model.spec import Identity
    from reconciler.core.setting_values import SourceSetting
    from reconciler.store.db import Database


def rename_object(
    database: Database,
    identity: Identity,
    new: str,
    source: SourceSetting | None,
    wait: timedelta,
    *,
    dry_run: bool = False,
) -> list[Path]:
    """Give an object another name in the rows and in its source, if there is one to write to.

    Return the manifests that name it. What a killed run of the same command has done is not done
    again; `dry_run` changes nothing.

    Raises:
        Retry: `lock_held`. InvalidManifests: those of the source.
        NeedsEdit: `config_invalid`: the source is a repository.
        Refused: `name_unknown`, `name_taken`, `plan_stale`, `state_conflict`.
    """
    kind, old = identity
    operation = f"rename {kind.subject(old)} {new}"
    changes: list[FileChange] = []
    folders: list[Path] = []
    if source is not None:
        refuse_repository(source)
        folders = [folder_of(source)]
        for finished in recover_source(database, source, wait):
            if finished.operation == operation:
                return [folders[0] / each for each in finished.paths]
        changes = _renamed_manifests(source, identity, new)
    with (
        suppress(_DryRun),
        locked_with_files(database, wait, folders, operation) as (tx, files),
    ):
        rename(tx, kind, old, new, actor_of("user"))
        if dry_run:
            raise _DryRun
        files.extend(changes)
    return [each.folder / each.path for each in changes]


def refuse_repository(source: SourceSetting) -> None:
    """Raise `NeedsEdit` (`config_invalid`) if the source is a repository."""
    if source.is_git:
        raise NeedsEdit(
            "config_invalid",
            f"the source {source.shown} is a git repository: the name cannot be changed there",
            hint="pause the loop, pass --no-write, push the new name, and resume",
        )


def _renamed_manifests(source: SourceSetting, identity: Identity, new: str) -> list[FileChange]:
    """Return the files of a source that name an object, with its new name; all of it checked.

    Raises:
        InvalidManifests. Refused: `state_conflict`.
    """
    folder, manifests = folder_of(source), read_source(source)
    load(manifests)
    changes: list[FileChange] = []
    for file in manifests.files:
        content = renamed(file.content.decode(), *identity, new, file.path).encode()
        if content != file.content:
            changes.append(FileChange(folder, file.path, file.content, content))
    return sorted(changes, key=lambda change: change.path)


class _DryRun(Exception):
    """Undoes the transaction in which a rename was tried."""
