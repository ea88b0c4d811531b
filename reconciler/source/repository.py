"""A source that is a git repository: one commit of it, and how that follows what was applied."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.core.model.commits import History, Relation
from reconciler.core.model.text import printable
from reconciler.core.setting_values import is_url
from reconciler.core.source import FileIndex, Source
from reconciler.source.git.history import read_commit, relation
from reconciler.source.git.lineage import GitLineage
from reconciler.source.git.remote import Remote
from reconciler.source.git.signatures import read_commits
from reconciler.source.git.tree import checked_path, list_tree, read_rules, read_tree
from reconciler.source.git.worktree import locate
from reconciler.source.names import unreadable

if TYPE_CHECKING:
    from reconciler.core.model.commits import ReadCommit
    from reconciler.core.setting_values import SignatureSetting, SourceSetting
    from reconciler.source.choice import Manifest


def read_repository(
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
        lineage = GitLineage(
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
