"""What a source hands over: files as bytes, with the problems that kept others out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from reconciler.errors import Problem

MAX_FILE: Final = 256 * 1024  # octets
SUFFIXES: Final = (".yaml", ".yml")


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One manifest file: `path` is relative to the source, with `/`."""

    path: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Source:
    """All manifest files of a source, sorted by path; `label` says where they came from."""

    label: str
    files: tuple[SourceFile, ...]
    problems: tuple[Problem, ...] = ()
    revision: str | None = None
    dirty: bool = False
