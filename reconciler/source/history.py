"""Commits of a repository: who wrote one, and how it follows another."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from reconciler.core.commits import Commit, Relation
from reconciler.core.text import printable
from reconciler.source.git import FULL_HASH
from reconciler.source.names import unreadable

if TYPE_CHECKING:
    from reconciler.source.git import Repository

COMMIT_FORMAT: Final = "--format=%H%x00%an <%ae>%x00%s%x00%at%x00"
COMMIT_WORDS: Final = ("log", "-1", "--no-show-signature", "--encoding=UTF-8", COMMIT_FORMAT)
MAX_TEXT: Final = 200  # characters of an author or a subject


def read_commit(repository: Repository, commit: str) -> Commit:
    """Return what a commit says of itself.

    Raises:
        NeedsEdit: `source_unreadable`.
    """
    return parse_commit(repository.run(*COMMIT_WORDS, "--end-of-options", commit, "--"))


def parse_commit(printed: bytes) -> Commit:
    """Return the commit that git printed by `COMMIT_FORMAT`."""
    fields = printed.decode("utf-8", "replace").split("\0")
    try:
        identity, author, subject, seconds = fields[:4]
        at = datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        raise unreadable(f"the commit {printable(fields[0])} has no author's time") from None
    return Commit(identity, printable(author, MAX_TEXT), printable(subject, MAX_TEXT), at)


def relation(repository: Repository, applied: str | None, read: str) -> Relation:
    """Return how the commit that was read follows the one that was applied last.

    A shallow clone cannot tell a rewind from history that it lacks: there it is unknown.
    """
    if applied is None:
        return Relation.FIRST
    if applied == read:
        return Relation.SAME
    if not FULL_HASH.fullmatch(applied):
        return Relation.UNKNOWN
    match repository.ask("merge-base", "--is-ancestor", applied, read).code:
        case 0:
            return Relation.FORWARD
        case 1:
            shallow = repository.run("rev-parse", "--is-shallow-repository").strip() == b"true"
            return Relation.UNKNOWN if shallow else Relation.REWIND
        case _:
            return Relation.UNKNOWN
