"""That every value which is sealed can be opened here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.errors import NeedsEdit

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
            f"values are sealed by keys that are not here: {', '.join(missing)}",
            hint=f"restore them into {folder} from its backup",
        )
