"""The bundle of the CA's roots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.crypto.certificates import split_pem
from reconciler.errors import OTHER_USER, NeedsEdit

if TYPE_CHECKING:
    from pathlib import Path


def read_roots(path: Path) -> tuple[str, ...]:
    """Return the PEM texts of a bundle of roots.

    Raises:
        NeedsEdit: `config_invalid`, naming the file.
    """
    try:
        return split_pem(path.read_text())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise NeedsEdit(
            "config_invalid",
            f"{path}: the CA's roots cannot be read: {reason}",
            hint=OTHER_USER
            if isinstance(error, PermissionError)
            else "restore it from a backup, or let MOSAIC_CA_ROOT name the bundle of the CA",
        ) from None
