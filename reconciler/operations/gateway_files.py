"""What a gateway has in files: its sealing keys, the token pepper, the roots of its CA."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from reconciler.core.issuance.tokens import PEPPER_BYTES
from reconciler.crypto.certificates import split_pem
from reconciler.errors import OTHER_USER, NeedsEdit

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from reconciler.crypto.keyring import FileKeyring


def require_every_key(keys: FileKeyring, sealing: Iterable[str], folder: Path) -> None:
    """Check that the keyring of `folder` has each key whose id is in `sealing`.

    Raises:
        NeedsEdit: `keyring_invalid`, with the ids of those that are not here.
    """
    missing = sorted(set(sealing) - set(keys.ids))
    if missing:
        raise NeedsEdit(
            "keyring_invalid",
            f"values are sealed by keys that the keyring does not have: {', '.join(missing)}",
            hint=f"restore them into {folder} from its backup",
        )


def read_pepper(path: Path) -> bytes:
    """Return the token pepper of a file: 32 bytes, in hex.

    Raises:
        NeedsEdit: `config_invalid`, naming the file; its content is never shown.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        hint = OTHER_USER if isinstance(error, PermissionError) else _RESTORE
        message = f"the token pepper cannot be read: {error.strerror}"
        raise _no_pepper(path, message, hint) from None
    return parse_pepper(content, str(path))


def parse_pepper(content: bytes, place: str) -> bytes:
    """Return the token pepper that a file at `place` holds.

    Raises:
        NeedsEdit: `config_invalid`, naming the place.
    """
    try:
        pepper = bytes.fromhex(content.decode().strip())
    except ValueError:
        raise _no_pepper(place, "the token pepper cannot be read: it is not hex") from None
    if len(pepper) != PEPPER_BYTES:
        raise _no_pepper(place, f"it has {len(pepper)} bytes, expected {PEPPER_BYTES}")
    return pepper


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


_RESTORE: Final = "restore it from its backup: tokens that were issued do not work without it"


def _no_pepper(path: Path | str, message: str, hint: str = _RESTORE) -> NeedsEdit:
    return NeedsEdit("config_invalid", f"{path}: {message}", hint=hint)
