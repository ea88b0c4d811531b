"""Temporary folders that are removed even if their process was killed: by the next one like it."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconciler.embedded import processes
from reconciler.embedded.processes import Identity
from reconciler.errors import NeedsEdit
from reconciler.files import replace_file, write_new

if TYPE_CHECKING:
    from collections.abc import Iterator

OWNER: Final = "owner"  # the file that names the process of a folder


def make_scratch(prefix: str) -> Path:
    """Make a temporary folder of this process, which other accounts may enter.

    Raises:
        NeedsEdit: `config_invalid`: no temporary folder can be made.
    """
    try:
        folder = Path(tempfile.mkdtemp(prefix=prefix)).resolve()
        folder.chmod(0o755)  # as root, PostgreSQL runs as another account
        write_new(folder / OWNER, str(processes.identify(os.getpid())).encode(), 0o600)
    except OSError as error:
        raise NeedsEdit(
            "config_invalid",
            f"no temporary folder can be made: {error.strerror}: {error.filename}",
            hint="let TMPDIR name a folder that can be written to",
        ) from None
    return folder


def keep_scratch(folder: Path) -> None:
    """Let a folder stay when its process has ended."""
    replace_file(folder / OWNER, b"kept\n")


def abandoned_scratch(prefix: str) -> Iterator[Path]:
    """Give the folders of this user whose process has ended without removing them."""
    for folder in Path(tempfile.gettempdir()).resolve().glob(f"{prefix}*"):
        try:
            if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
                continue
            owner = Identity.parse((folder / OWNER).read_text())
        except OSError:  # it is being made, or removed
            continue
        if owner is not None and not processes.alive(owner):
            yield folder
