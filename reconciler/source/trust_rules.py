"""The rules of trust that belong to a source: at the root of its repository."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.core.source import MAX_FILE, SourceFile
from reconciler.core.trust.rules import RULES_FILE
from reconciler.errors import NeedsEdit
from reconciler.source.git.worktree import locate
from reconciler.source.names import unreadable

if TYPE_CHECKING:
    from reconciler.core.setting_values import SourceSetting
    from reconciler.core.source import Source


def read_rules_of(setting: SourceSetting, source: Source) -> tuple[SourceFile, ...]:
    """Return the rules of trust of a source, by their path relative to it; nothing without any.

    Those of a folder are in it, or at the top of the work tree that holds it.

    Raises:
        NeedsEdit: `source_unreadable`: they are there, and cannot be read.
        Retry: `source_unavailable`: git, which knows where they are, takes too long or is killed.
    """
    if source.history is not None:
        text = source.history.rules
        return (SourceFile(RULES_FILE, text.encode()),) if text is not None else ()
    root = Path(setting.location)
    for folder in ("", _way_up(root)):
        path = root / folder / RULES_FILE
        if path.exists():
            return (SourceFile(f"{folder}{RULES_FILE}", _content(path)),)
    return ()


def _way_up(root: Path) -> str:
    """Return the way from a folder to the top of its work tree: `../` for each folder."""
    try:
        place = locate(root)
    except NeedsEdit:  # there is no git, or the folder is in no work tree of it
        return ""
    return "../" * place.prefix.count("/") if place is not None else ""


def _content(path: Path) -> bytes:
    if not path.is_file():  # a pipe would be waited for
        raise unreadable(f"{path} is not a regular file")
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE + 1)
    except OSError as error:
        raise unreadable(f"{path} cannot be read: {error.strerror}") from None
