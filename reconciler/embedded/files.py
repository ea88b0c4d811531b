"""Files that are there whole or not at all, and locks that end with their process."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def write_once(path: Path, content: bytes, mode: int = 0o400) -> bool:
    """Write a file that does not exist yet, synced; return whether it was written."""
    if path.exists():
        return False
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)  # unlike a rename, never over what another process wrote
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    return True


def private_folder(path: Path) -> None:
    """Make a folder that only its owner may enter."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


@contextmanager
def locked(path: Path, operation: int | None) -> Iterator[int]:
    """Hold `flock(2)` on a file, until the block or the process ends; yields its descriptor.

    `operation` is `fcntl.LOCK_EX` or `LOCK_SH`, with `LOCK_NB` where told; None leaves the lock to
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
