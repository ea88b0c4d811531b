"""Commits of a source's repository, as values: what was read, and how it follows what was applied.

Pure: git itself is in `reconciler/source`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from reconciler.errors import Refused

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit: its full hash, its author as `Name <mail>`, its subject line, its author's time.

    `signer` is who signed it, if signatures are verified.
    """

    id: str
    author: str
    subject: str
    at: datetime
    signer: str | None = None

    def as_json(self) -> dict[str, str | None]:
        """Return the form that rows of the audit log and outputs share."""
        return {
            "id": self.id,
            "author": self.author,
            "subject": self.subject,
            "signer": self.signer,
        }


class Relation(StrEnum):
    """How the commit that was read follows the one that was applied last."""

    FIRST = "first"  # nothing was applied from a repository yet
    SAME = "same"
    FORWARD = "forward"  # a fast-forward
    REWIND = "rewind"  # the applied commit is no ancestor
    UNKNOWN = "unknown"  # the repository does not have the applied commit


@dataclass(frozen=True, slots=True)
class ReadCommit:
    """A commit with what trust is judged by.

    `paths` are those that it changes itself, relative to the repository: of a merge, where it
    differs from the automatic merge of its parents. `signer` is the principal of a good signature,
    else None, and `signature` says why. `signs_off` are the hashes that its `Signs-off` trailers
    name.
    """

    commit: Commit
    paths: tuple[str, ...] = ()
    signer: str | None = None
    signature: str = "it is not signed"
    signs_off: tuple[str, ...] = ()

    @property
    def as_read(self) -> Commit:
        """The commit, with who signed it."""
        return replace(self.commit, signer=self.signer)


@dataclass(frozen=True, slots=True)
class History:
    """The commits since the applied one, oldest first; of the tip alone where there is none.

    `commits` is filled only if signatures are verified. `rules` is the text of the tip's rules
    of trust, None where the repository has none; `prefix` the source's path within it, with a `/`.
    """

    relation: Relation
    applied: str | None = None
    prefix: str = ""
    commits: tuple[ReadCommit, ...] = ()
    rules: str | None = None


def refuse_rewind(history: History, read: Commit | None) -> None:
    """Raise unless the commit that was read is the applied one or follows it.

    Raises:
        Refused: `rewind`.
    """
    if history.relation not in (Relation.REWIND, Relation.UNKNOWN):
        return
    tip = read.id[:12] if read is not None else "the commit"
    applied = (history.applied or "")[:12]
    raise Refused(
        "rewind",
        f"{tip} does not contain {applied}, which was applied last"
        if history.relation is Relation.REWIND
        else f"the repository does not have {applied}, which was applied last",
        hint="check the ref and who pushed to it; --allow-rewind allows it once",
    )
