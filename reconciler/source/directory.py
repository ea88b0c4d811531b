"""A folder of manifests, read with care: no links followed, nothing that could stall a read."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Final

from reconciler.core.files import MAX_FILE, SUFFIXES, Source, SourceFile
from reconciler.core.text import printable
from reconciler.errors import NeedsEdit, Problem

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_FOLDERS: Final = 64  # folders inside one another


def read_directory(root: Path) -> Source:
    """Return the `*.yaml` and `*.yml` files below `root`; names that begin with a dot are skipped.

    A link, a special file, one that is too large or whose name differs from another's only in case
    becomes a problem of the source, beside those of the manifests.

    Raises:
        NeedsEdit: `source_unreadable`: the folder is missing, is none, or cannot be read.
    """
    try:
        kind = root.stat().st_mode
    except FileNotFoundError:
        raise _unreadable(f"{root} does not exist") from None
    except OSError as error:
        raise _unreadable(f"{root} cannot be read: {error.strerror}") from None
    if not stat.S_ISDIR(kind):
        raise _unreadable(f"{root} is not a folder")
    files: list[SourceFile] = []
    problems: list[Problem] = []
    seen: dict[str, str] = {}
    found = {path.relative_to(root).as_posix(): path for path in _walk(root, problems)}
    for relative, path in sorted(found.items()):
        if not relative.isprintable():
            message = "the name has a character in it that does not print"
            problems.append(_problem(printable(relative, 255), "file.name", message, "rename it"))
            continue
        twin = seen.setdefault(relative.lower(), relative)
        if twin != relative:
            message = f'the name differs from "{twin}" only in case'
            problems.append(_problem(relative, "file.case", message, "rename one of them"))
            continue
        read = _read(path, relative)
        if isinstance(read, Problem):
            problems.append(read)
        else:
            files.append(SourceFile(relative, read))
    return Source(str(root), tuple(files), tuple(problems))


def _walk(root: Path, problems: list[Problem]) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise _unreadable(f"{error.filename} cannot be read: {error.strerror}")

    for folder, folders, names in os.walk(root, onerror=refuse):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        base = root.__class__(folder)
        if len(base.relative_to(root).parts) > MAX_FOLDERS:  # os.walk itself recurses
            raise _unreadable(f"the folders below {root} are nested deeper than {MAX_FOLDERS}")
        for name in list(folders):
            if (base / name).is_symlink():
                folders.remove(name)
                relative = (base / name).relative_to(root).as_posix()
                problems.append(_link(printable(relative, 255)))
        for name in names:
            if not name.startswith(".") and name.endswith(SUFFIXES):
                yield base / name


def _read(path: Path, relative: str) -> bytes | Problem:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if path.is_symlink():
            return _link(relative)
        if path.exists() and not path.is_file():
            return _special(relative)
        raise _unreadable(f"{path} cannot be read: {error.strerror}") from None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return _special(relative)
        content = file.read(MAX_FILE + 1)
    if len(content) > MAX_FILE:
        message = f"the file is larger than {MAX_FILE // 1024} KiB"
        return _problem(relative, "file.too_large", message, "split it")
    return content


def _problem(relative: str, code: str, message: str, hint: str) -> Problem:
    return Problem(relative, 1, 1, code, "", message, hint)


def _link(relative: str) -> Problem:
    return _problem(relative, "file.link", "symbolic links are not followed", "copy the file")


def _special(relative: str) -> Problem:
    return _problem(relative, "file.special", "this is not a regular file", "remove it")


def _unreadable(message: str) -> NeedsEdit:
    return NeedsEdit(
        "source_unreadable", message, hint="check the path; nothing was read, nothing was changed"
    )
