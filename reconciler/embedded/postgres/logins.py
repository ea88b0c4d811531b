"""The logins of a home's database: one for each role, its password in a file of its own (0400).

The cluster's superuser makes them, when a home is made or when it is first started by a version
that has other roles. Every process but those that migrate uses one of these logins.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import TYPE_CHECKING

from reconciler.core.privileges import LOGINS, OWNER, table_version
from reconciler.errors import OTHER_USER, NeedsEdit
from reconciler.files import replace_file, write_new

if TYPE_CHECKING:
    from reconciler.config.home import Home
    from reconciler.embedded.postgres.server import Cluster


def require_logins(home: Home, cluster: Cluster) -> None:
    """Make the roles and their logins, unless that has been done; a database without tables waits.

    The caller holds the lock of who starts the server, so nobody else does it meanwhile.

    Raises:
        MosaicError: `database_unavailable`.
    """
    version = hashlib.sha256(table_version().encode()).hexdigest().encode()
    if home.roles.is_file() and home.roles.read_bytes() == version:
        return
    from reconciler.store.db import Database  # noqa: PLC0415 - only where there is something to do
    from reconciler.store.locks import application_name  # noqa: PLC0415
    from reconciler.store.roles.making import make_roles, set_password  # noqa: PLC0415
    from reconciler.store.schema import revisions  # noqa: PLC0415

    logins = (*LOGINS, OWNER)
    for login in logins:
        write_new(home.login_password(login), secrets.token_urlsafe(32).encode(), 0o400)
    with Database(cluster.url(), application_name("roles")).transaction() as tx:
        if revisions(tx).current is None:
            return
        make_roles(tx)
        for login in logins:
            set_password(tx, login, home.login_password(login).read_text())
    replace_file(home.roles, version, 0o600)


def login_url(home: Home, cluster: Cluster, login: str) -> str:
    """Return the libpq URL of a login, with its password.

    Raises:
        NeedsEdit: `home_missing`: its password cannot be read.
    """
    path = home.login_password(login)
    try:
        return cluster.login_url(login, path.read_text())
    except OSError as error:
        hint = "remove run/roles in the home, and run the command again: it makes a new one"
        if isinstance(error, PermissionError):
            hint = OTHER_USER
        raise NeedsEdit(
            "home_missing", f"{path} cannot be read: {error.strerror}", hint=hint
        ) from None
