"""A source as it was read: its files as bytes, and the problems of files that were left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from reconciler.core.model.commits import Commit, History
    from reconciler.core.trust.claims import Lineage
    from reconciler.errors import Problem

MAX_FILE: Final = 256 * 1024  # octets


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One manifest file: `path` is relative to the source, with `/`."""

    path: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Source:
    """All manifest files of a source, sorted by path; `label` says where they came from.

    `commit` is the one that was read, None where no repository holds the files; `dirty` tells
    that they differ from it. `history` is there for a git source only, and its `lineage` if
    signatures are verified.
    """

    label: str
    files: tuple[SourceFile, ...]
    problems: tuple[Problem, ...] = ()
    commit: Commit | None = None
    dirty: bool = False
    history: History | None = None
    lineage: Lineage | None = field(default=None, compare=False)
