"""Which files of a source are manifests, and which names are refused: one rule for every source."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from reconciler.core.model.spec import MANIFEST_SUFFIXES
from reconciler.core.model.text import printable
from reconciler.core.source import MAX_FILE
from reconciler.errors import NeedsEdit, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_FOLDERS: Final = 64  # folders inside one another
MAX_FILES: Final = 250_000
MAX_TOTAL: Final = 256 * 1024 * 1024  # octets of all manifests
LOST_AND_FOUND: Final = "lost+found"  # at the top of a file system, for fsck; root's alone
LFS_POINTER: Final = b"version https://git-lfs.github.com/spec/"
_MAX_NAME: Final = 255  # characters that are shown


def hidden(name: str) -> bool:
    """Tell whether a path is skipped: a part of it begins with a dot."""
    if not (name.startswith(".") or "/." in name):
        return False
    return any(part.startswith(".") and part not in (".", "..") for part in name.split("/"))


def is_manifest(name: str) -> bool:
    """Tell whether a path is read as a manifest, by its ending."""
    return name.endswith(MANIFEST_SUFFIXES)


def mistakable(name: str) -> bool:
    """Tell whether a path ends as a manifest's does, but for case and spaces."""
    return name.strip().lower().endswith(MANIFEST_SUFFIXES)


def passed_over(folder: str) -> bool:
    """Tell whether nothing in a folder of this name is read."""
    return folder == LOST_AND_FOUND or hidden(folder)


class SeenNames:
    """The names of one source, judged one after the other, in order."""

    def __init__(self) -> None:
        self._seen: dict[str, str] = {}

    def problem(self, name: str) -> Problem | None:
        """Return what is wrong with the next name, relative to the source, if anything is."""
        if not name.isprintable():
            message = "the name has a character in it that does not print"
            return _problem(name, "file.name", message, "rename it")
        if not {"", ".", ".."}.isdisjoint(name.split("/")):
            message = 'the name has an empty part, "." or ".." in it'
            return _problem(name, "file.name", message, "create the tree again with git add")
        twin = self._seen.setdefault(name.lower(), name)
        if twin != name:
            message = f'the name differs from "{twin}" only in case'
            return _problem(name, "file.case", message, "rename one of them")
        return None


def link_problem(name: str, reason: str) -> Problem:
    """Return the problem of a symbolic link that is not read, for where it leads."""
    message = f"the symbolic link {reason}"
    hint = "let it lead to a regular file within the source, or copy the file"
    return _problem(name, "file.link", message, hint)


def suffix_problem(name: str) -> Problem:
    """Return the problem of a name that is nearly a manifest's."""
    suffix = name[name.rstrip().rindex(".") :]
    usual = suffix.strip().lower()
    read = " and ".join(MANIFEST_SUFFIXES)
    message = f'the name ends in "{printable(suffix)}", and only {read} are read'
    return _problem(name, "file.name", message, f"rename it to {usual}")


def special_problem(name: str) -> Problem:
    """Return the problem of what is neither a file nor a folder."""
    return _problem(name, "file.special", "this is not a regular file", "remove it")


def submodule_problem(name: str) -> Problem:
    """Return the problem of a submodule."""
    message = "this is a submodule, which is not followed"
    return _problem(name, "file.special", message, "copy its files, or name another --path")


def repeat_problem(name: str) -> Problem:
    """Return the problem of a name that a tree holds more than once."""
    message = "the tree holds this name twice"
    return _problem(name, "file.name", message, "create the tree again with git add")


def size_problem(name: str) -> Problem:
    """Return the problem of a file with more than `MAX_FILE` octets."""
    message = f"the file is larger than {MAX_FILE // 1024} KiB"
    return _problem(name, "file.too_large", message, "split it")


def content_problem(name: str, content: bytes | None) -> Problem | None:
    """Return what is wrong with the content of a file, before it is parsed; None is of no file."""
    if content is None:
        return special_problem(name)
    if len(content) > MAX_FILE:
        return size_problem(name)
    if content.startswith(LFS_POINTER):
        message = "this is a pointer of Git LFS, not the manifest that it stands for"
        hint = "keep manifests in git: git lfs untrack the pattern, and commit the file again"
        return _problem(name, "file.lfs", message, hint)
    return None


def refuse_size(where: str, names: Sequence[str], manifests: int) -> None:
    """Raise if a source has more files than any real one.

    Raises:
        NeedsEdit: `source_unreadable`: it has too many files, or one of them lies too deep.
    """
    if manifests > MAX_FILES:
        raise unreadable(f"{where} holds more than {MAX_FILES:,} manifest files")
    if any(name.count("/") > MAX_FOLDERS for name in names):
        raise unreadable(f"the folders below {where} are nested deeper than {MAX_FOLDERS}")


def refuse_total(where: str, octets: int) -> None:
    """Raise if the manifests of a source are larger in all than any real ones.

    Raises:
        NeedsEdit: `source_unreadable`.
    """
    if octets > MAX_TOTAL:
        raise unreadable(f"the manifests of {where} are more than {MAX_TOTAL // 1024 // 1024} MiB")


def unreadable(message: str, hint: str = "check the source") -> NeedsEdit:
    """Return the error of a source that cannot be read."""
    return NeedsEdit("source_unreadable", message, hint=f"{hint}; nothing was changed")


def refuse_dash(text: str, what: str) -> None:
    """Raise where git could take `text` for an option.

    Raises:
        NeedsEdit: `source_unreadable`.
    """
    if text.startswith("-"):
        raise unreadable(f"{what} {printable(text)!r} begins with a dash")


def _problem(name: str, code: str, message: str, hint: str) -> Problem:
    return Problem(printable(name, _MAX_NAME), 1, 1, code, "", message, hint)
