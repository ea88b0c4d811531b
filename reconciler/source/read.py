"""A source by its setting: where its manifests are, and reading them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.core.commits import History, Relation
from reconciler.core.files import Source
from reconciler.core.text import printable, without_credentials
from reconciler.core.values import is_url
from reconciler.errors import NeedsEdit
from reconciler.source.directory import read_directory
from reconciler.source.faults import said
from reconciler.source.git import Repository, refuse_dash, run_git
from reconciler.source.history import read_commit, relation
from reconciler.source.names import unreadable
from reconciler.source.remote import Remote
from reconciler.source.signatures import read_commits
from reconciler.source.tree import checked_path, read_rules, read_tree, subtree
from reconciler.source.worktree import commit_of

if TYPE_CHECKING:
    from reconciler.core.commits import ReadCommit
    from reconciler.core.values import SignatureSetting, SourceSetting


def read_source(
    setting: SourceSetting,
    applied: str | None = None,
    signatures: SignatureSetting | None = None,
) -> Source:
    """Return the files of a source; of a repository, with how it follows the `applied` commit.

    `signatures` asks for the commits since then, and who signed them.

    Raises:
        NeedsEdit: `source_unreadable`.
        Retry: `source_unavailable`: a remote repository cannot be fetched.
    """
    refuse_dash(setting.location, "the source")
    if setting.is_git:
        return _read_repository(setting, applied, signatures)
    if signatures is not None:
        raise NeedsEdit(
            "config_invalid",
            "signatures are required, and a folder has no commits to judge",
            hint="read the repository itself: name its ref by --ref",
        )
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


def _read_repository(
    setting: SourceSetting, applied: str | None, signatures: SignatureSetting | None
) -> Source:
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
    follows = relation(repository, applied, tip)
    commits: tuple[ReadCommit, ...] = ()
    commit = read_commit(repository, tip)
    if signatures is not None:
        known = follows not in (Relation.FIRST, Relation.UNKNOWN)
        commits = read_commits(repository, applied if known else None, tip, signatures)
        if follows is Relation.REWIND and not commits:  # an older commit is judged by itself
            commits = read_commits(repository, None, tip, signatures)
        commit = commits[-1].as_read if commits else commit
    rules, prefix = read_rules(repository, tip), f"{path}/" if path else ""
    history = History(follows, applied, prefix, commits, rules)
    return Source(label, files, problems, commit, history=history)


def _open(location: Path) -> tuple[Repository, str]:
    """Return the repository that holds a folder here, and the folder's path within, with a `/`."""
    ended = run_git(("rev-parse", "--absolute-git-dir", "--show-prefix"), cwd=location)
    folder, _, prefix = ended.output.decode("utf-8", "surrogateescape").partition("\n")
    if ended.code != 0:
        none = b"not a git repository" in ended.errors
        why = "is in no git repository" if none else f"cannot be read by git: {said(ended)}"
        raise unreadable(f"{location} {why}")
    return Repository(Path(folder)), prefix.rstrip("\n")
