"""Folders that are removed, and locks that end with their process."""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it; of a link the link alone.

    Another process may remove the same at the same time.

    Raises:
        OSError: it cannot be removed.
    """
    while os.path.lexists(path):
        with suppress(FileNotFoundError):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


@contextmanager
def locked(path: Path, operation: int | None) -> Iterator[int]:
    """Hold `flock(2)` on a file, until the block or the process ends; yields its descriptor.

    `operation` is `fcntl.LOCK_EX` or `LOCK_SH`, with `LOCK_NB` for no wait; None leaves the lock to
    the caller. No child process inherits it.

    Raises:
        BlockingIOError: with `LOCK_NB`, where another process holds it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        if operation is not None:
            fcntl.flock(descriptor, operation)
        yield descriptor
    finally:
        os.close(descriptor)
