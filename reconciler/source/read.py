"""A source by its setting: where its manifests are, and reading them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.core.model.commits import History, Relation
from reconciler.core.model.text import printable, without_credentials
from reconciler.core.setting_values import folder_options, is_url
from reconciler.core.source import FileIndex, Source
from reconciler.errors import NeedsEdit
from reconciler.source.directory import read_directory
from reconciler.source.git.history import read_commit, relation
from reconciler.source.git.lineage import Lineage
from reconciler.source.git.remote import Remote
from reconciler.source.git.run import refuse_dash
from reconciler.source.git.signatures import read_commits
from reconciler.source.git.tree import checked_path, list_tree, read_rules, read_tree
from reconciler.source.git.worktree import Checkout, locate
from reconciler.source.names import unreadable

if TYPE_CHECKING:
    from reconciler.core.model.commits import ReadCommit
    from reconciler.core.setting_values import SignatureSetting, SourceSetting
    from reconciler.source.choice import Manifest


def read_source(
    setting: SourceSetting,
    applied: str | None = None,
    signatures: SignatureSetting | None = None,
    index: FileIndex | None = None,
) -> Source:
    """Return the files of a source; of a repository, with how it follows the `applied` commit.

    `signatures` asks for the commits since then, and who signed them. What is as the `index` has it
    is not read.

    Raises:
        NeedsEdit: `source_unreadable`.
        Retry: `source_unavailable`: a remote repository cannot be fetched.
    """
    refuse_dash(setting.location, "the source")
    if setting.is_git:
        return _read_repository(setting, applied, signatures, index or FileIndex())
    if signatures is not None:
        raise NeedsEdit(
            "config_invalid",
            "signatures are required, and a folder has no commits to judge",
            hint="read the repository itself: name its ref by --ref",
        )
    return _read_folder(folder_of(setting), index)


def _read_folder(folder: Path, index: FileIndex | None) -> Source:
    """Read a folder as it lies there; in a checkout, as git would take it."""
    checkout = Checkout.of(folder) if folder.is_dir() else None
    if checkout is None:
        return read_directory(folder, index=index)
    submodules = checkout.submodules()
    source = read_directory(folder, submodules=submodules, ignored=checkout.ignored, index=index)
    return replace(source, commit=checkout.commit, dirty=checkout.differs(source.files))


def folder_of(setting: SourceSetting) -> Path:
    """Return the folder of a source that is one.

    Raises:
        NeedsEdit: `config_invalid`: it is a git repository.
    """
    if setting.is_git:
        shown = printable(without_credentials(setting.location), 255)
        ref = f" (ref {setting.ref!r}, by {setting.ref_origin})" if setting.ref_origin else ""
        first = "clone it, and " if is_url(setting.location) else ""
        raise NeedsEdit(
            "config_invalid",
            f"the source {shown} is a git repository{ref}, and a folder is needed",
            hint=f"{first}name the folder: {folder_options(setting)}",
        )
    return Path(setting.location)


def _read_repository(
    setting: SourceSetting,
    applied: str | None,
    signatures: SignatureSetting | None,
    index: FileIndex,
) -> Source:
    """Read one commit; the ref is resolved once, and everything else is read by its hash."""
    path, shown = checked_path(setting.path or ""), setting.location
    if is_url(setting.location):
        repository, tip = Remote.parse(setting.location).fetch(setting.ref, setting.cache)
    else:
        place = locate(Path(setting.location))
        if place is None:
            raise unreadable(f"{setting.location} is in no git repository")
        repository = place.repository
        tip = repository.resolve(setting.ref or "HEAD")
        shown = setting.location.removesuffix(f"/{place.prefix.rstrip('/')}")
        path = checked_path(f"{place.prefix}{path}")
    listing = list_tree(repository, tip, path)
    path = listing.prefix.rstrip("/")
    label = f"{printable(shown, 255)}@{tip[:12]}{f':{path}' if path else ''}"
    read = read_tree(listing, label, index)
    follows = relation(repository, applied, tip)
    commits: tuple[ReadCommit, ...] = ()
    commit, lineage = read_commit(repository, tip), None
    if signatures is not None:
        known = follows not in (Relation.FIRST, Relation.UNKNOWN)
        commits = read_commits(repository, applied if known else None, tip, signatures)
        if follows is Relation.REWIND and not commits:  # an older commit is judged by itself
            commits = read_commits(repository, None, tip, signatures)
        commit = commits[-1].as_read if commits else commit
        links = _links(read.manifests, listing.prefix)
        commits = _with_linked(commits, links)
        known_applied = applied if known else None
        lineage = Lineage(
            repository, tip, listing.prefix, known_applied, commits, signatures, links
        )
    rules = read_rules(repository, tip)
    history = History(follows, applied, listing.prefix, commits, rules)
    return Source(
        label,
        read.files,
        read.problems,
        commit,
        history=history,
        lineage=lineage,
        tree=read.tree,
    )


def _links(manifests: tuple[Manifest, ...], prefix: str) -> dict[str, tuple[str, ...]]:
    """Return the links on the way to each linked manifest, with the place of its file last."""
    return {
        f"{prefix}{each.name}": tuple(f"{prefix}{place}" for place in (*each.links, each.place))
        for each in manifests
        if each.links
    }


def _with_linked(
    commits: tuple[ReadCommit, ...], links: dict[str, tuple[str, ...]]
) -> tuple[ReadCommit, ...]:
    """Return the commits with the manifests that they change through a link.

    Who changes what a link leads to changes the manifest of the link's name.
    """

    def changed(commit: ReadCommit) -> ReadCommit:
        own = set(commit.paths)
        more = {name for name, places in links.items() if not own.isdisjoint(places)}
        return replace(commit, paths=tuple(sorted(own | more)))

    return tuple(map(changed, commits)) if links else commits
