"""Logins of the database for the parts of a gateway without a home: a URL in a folder for each."""

from __future__ import annotations

import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from reconciler.core.privileges import LOGINS
from reconciler.errors import NeedsEdit
from reconciler.files import replace_file, unwritable
from reconciler.store.connection.conninfo import parse_conninfo, with_login
from reconciler.store.roles.making import require_own_login, set_login

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.store.connection.conninfo import ConninfoSource
    from reconciler.store.db import Tx

FILE: Final = "database-url"


def make_login(tx: Tx, source: ConninfoSource, folder: Path) -> None:
    """Let the role log in that a folder is named for, by the URL that the folder has or gets.

    `source` is the database as the owner reaches it.

    Raises:
        NeedsEdit: as `write_login`. Refused: as `require_own_login`.
    """
    owner_url = source if isinstance(source, str) else source()
    require_own_login(tx, folder.name)
    set_login(tx, folder.name, write_login(owner_url, folder))


def write_login(owner_url: str, folder: Path) -> str:
    """Write the URL of the login that a folder is named for (0400); return its password.

    A password that is there already is kept.

    Raises:
        NeedsEdit: `value_invalid`: the folder has no role's name, or cannot be written to.
    """
    login, file = folder.name, folder / FILE
    if login not in LOGINS:
        raise NeedsEdit(
            "value_invalid",
            f"{folder} is named for no login",
            hint=f"name the folder after one of {', '.join(LOGINS)}",
        )
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        before = ""
        with suppress(FileNotFoundError):
            before = file.read_text()
        password = parse_conninfo(before).get("password") or secrets.token_urlsafe(32)
        after = with_login(owner_url, login, password)
        if after != before:
            replace_file(file, after.encode(), 0o400)
    except OSError as error:
        raise unwritable(file, error) from None
    return password
