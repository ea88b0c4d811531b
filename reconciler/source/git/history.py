"""Commits of a repository: who wrote one, and how it follows another."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from reconciler.core.model.commits import Commit, Relation
from reconciler.core.model.text import printable
from reconciler.source.git.command import FULL_HASH
from reconciler.source.names import unreadable

if TYPE_CHECKING:
    from reconciler.source.git.command import Repository

COMMIT_FORMAT: Final = "--format=%H%x00%an <%ae>%x00%s%x00%at%x00%ct%x00"
COMMIT_WORDS: Final = ("log", "-1", "--no-show-signature", "--encoding=UTF-8", COMMIT_FORMAT)
MAX_TEXT: Final = 200  # characters of an author or a subject
_NEVER: Final = datetime.fromtimestamp(0, UTC)


def read_commit(repository: Repository, commit: str) -> Commit:
    """Return what a commit says of itself.

    Raises:
        NeedsEdit: `source_unreadable`.
    """
    return parse_commit(repository.run(*COMMIT_WORDS, "--end-of-options", commit, "--"))


def parse_commit(printed: bytes) -> Commit:
    """Return the commit that git printed by `COMMIT_FORMAT`.

    Its time is its author's, else its committer's; 1970 where a malformed commit has neither.
    """
    fields = printed.decode("utf-8", "replace").split("\0")
    if len(fields) < 5 or not FULL_HASH.fullmatch(fields[0]):
        raise unreadable("git printed something other than a commit")
    identity, author, subject, *times = fields[:5]
    at = next((at for at in map(_moment, times) if at is not None), _NEVER)
    return Commit(identity, printable(author, MAX_TEXT), printable(subject, MAX_TEXT), at)


def _moment(seconds: str) -> datetime | None:
    """Return the time that git printed; None where a malformed commit has none."""
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        return None


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
