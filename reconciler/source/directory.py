"""A folder of manifests, read with care: no links followed, nothing that could stall a read."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from reconciler.core.files import MAX_FILE, Source, SourceFile
from reconciler.errors import Problem
from reconciler.source.names import (
    MAX_FOLDERS,
    Names,
    hidden,
    is_manifest,
    link,
    refuse_size,
    special,
    too_large,
    unreadable,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


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
        raise unreadable(f"{root} does not exist") from None
    except OSError as error:
        raise unreadable(f"{root} cannot be read: {error.strerror}") from None
    if not stat.S_ISDIR(kind):
        raise unreadable(f"{root} is not a folder")
    files: list[SourceFile] = []
    problems: list[Problem] = []
    names = Names()
    try:
        found = {path.relative_to(root).as_posix(): path for path in _walk(root, problems)}
    except OSError as error:  # it may be listed, and what is in it may not be looked at
        raise unreadable(f"{error.filename} cannot be read: {error.strerror}") from None
    refuse_size(str(root), list(found))
    for relative, path in sorted(found.items()):
        problem = names.problem(relative)
        if problem is not None:
            problems.append(problem)
            continue
        read = _read(path, relative)
        if isinstance(read, Problem):
            problems.append(read)
        else:
            files.append(SourceFile(relative, read))
    return Source(str(root), tuple(files), tuple(problems))


def _walk(root: Path, problems: list[Problem]) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        raise unreadable(f"{error.filename} cannot be read: {error.strerror}")

    for folder, folders, names in os.walk(root, onerror=refuse):
        folders[:] = sorted(name for name in folders if not hidden(name))
        base = root.__class__(folder)
        if len(base.relative_to(root).parts) > MAX_FOLDERS:  # os.walk itself recurses
            raise unreadable(f"the folders below {root} are nested deeper than {MAX_FOLDERS}")
        for name in list(folders):
            if (base / name).is_symlink():
                folders.remove(name)
                relative = (base / name).relative_to(root).as_posix()
                problems.append(link(relative))
        for name in names:
            if not hidden(name) and is_manifest(name):
                yield base / name


def _read(path: Path, relative: str) -> bytes | Problem:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            return link(relative)
        if error.errno == errno.ENXIO:  # a socket
            return special(relative)
        raise unreadable(f"{path} cannot be read: {error.strerror}") from None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return special(relative)
        content = file.read(MAX_FILE + 1)
    return too_large(relative) if len(content) > MAX_FILE else content
