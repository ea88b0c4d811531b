"""A source by its setting: where its manifests are, and reading them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.core.commits import History
from reconciler.core.files import Source
from reconciler.core.text import printable, without_credentials
from reconciler.core.values import is_url
from reconciler.errors import NeedsEdit
from reconciler.source.directory import read_directory
from reconciler.source.git import Repository, refuse_dash, run_git, said
from reconciler.source.history import read_commit, relation
from reconciler.source.names import unreadable
from reconciler.source.remote import Remote
from reconciler.source.tree import checked_path, read_rules, read_tree, subtree
from reconciler.source.worktree import commit_of

if TYPE_CHECKING:
    from reconciler.core.values import SourceSetting


def read_source(setting: SourceSetting, applied: str | None = None) -> Source:
    """Return the files of a source; of a repository, with how it follows the `applied` commit.

    Raises:
        NeedsEdit: `source_unreadable`.
        Retry: `source_unavailable`: a remote repository cannot be fetched.
    """
    refuse_dash(setting.location, "the source")
    if setting.is_git:
        return _read_repository(setting, applied)
    source = read_directory(folder_of(setting))
    commit, dirty = commit_of(folder_of(setting), source.files)
    return replace(source, commit=commit, dirty=dirty)


def folder_of(setting: SourceSetting) -> Path:
    """Return the folder of a source that is one.

    Raises:
        NeedsEdit: `config_invalid`: it is a git repository.
    """
    if setting.is_git:
        shown = printable(without_credentials(setting.location), 255)
        raise NeedsEdit(
            "config_invalid",
            f"the source {shown} is a git repository, and a folder is needed",
            hint="check it out, name the folder by --source, and unset MOSAIC_REF",
        )
    return Path(setting.location)


def _read_repository(setting: SourceSetting, applied: str | None) -> Source:
    """Read one commit; the ref is resolved once, and all else is asked of its hash."""
    path, shown = checked_path(setting.path or ""), setting.location
    if is_url(setting.location):
        repository, tip = Remote.parse(setting.location).fetch(setting.ref, setting.cache)
    else:
        repository, prefix = _open(Path(setting.location))
        tip = repository.resolve(setting.ref or "HEAD")
        shown = setting.location.removesuffix(f"/{prefix.rstrip('/')}")
        path = checked_path(f"{prefix}{path}")
    label = f"{printable(shown, 255)}@{tip[:12]}{f':{path}' if path else ''}"
    files, problems = read_tree(repository, subtree(repository, tip, path), label)
    history = History(
        relation(repository, applied, tip), applied, rules=read_rules(repository, tip)
    )
    return Source(label, files, problems, read_commit(repository, tip), history=history)


def _open(location: Path) -> tuple[Repository, str]:
    """Return the repository that holds a folder here, and the folder's path within, with a `/`."""
    ended = run_git(("rev-parse", "--absolute-git-dir", "--show-prefix"), cwd=location)
    folder, _, prefix = ended.output.decode("utf-8", "surrogateescape").partition("\n")
    if ended.code != 0:
        none = b"not a git repository" in ended.errors
        why = "is in no git repository" if none else f"cannot be read by git: {said(ended)}"
        raise unreadable(f"{location} {why}")
    return Repository(Path(folder)), prefix.rstrip("\n")
