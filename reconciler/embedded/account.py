"""The account that the database server runs as: PostgreSQL refuses to run as root."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
from typing import TYPE_CHECKING, Final

from reconciler.embedded.processes import Account
from reconciler.errors import NeedsEdit

if TYPE_CHECKING:
    from pathlib import Path

NAME: Final = "mosaic-postgres"


def server_account() -> Account | None:
    """Return the account to drop to, made where it is missing; None where we are not root.

    It is an account of its own, so that no other service of the machine, `nobody` included, can
    read the data or open the socket.

    Raises:
        NeedsEdit: `child_failed`: it cannot be made.
    """
    if os.geteuid() != 0:
        return None
    try:
        found = pwd.getpwnam(NAME)
    except KeyError:
        found = _create()
    return Account(NAME, found.pw_uid, found.pw_gid)


def reachable(path: Path, account: Account) -> bool:
    """Tell whether the account can enter every folder that leads to `path`."""
    for folder in path.parents:
        if not folder.exists():
            continue
        status = folder.stat()
        if status.st_uid == account.uid:
            needed = stat.S_IXUSR
        elif status.st_gid == account.gid:
            needed = stat.S_IXGRP
        else:
            needed = stat.S_IXOTH
        if not status.st_mode & needed:
            return False
    return True


def _create() -> pwd.struct_passwd:
    useradd = shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    problem = "there is no useradd"
    if useradd is not None:
        options = ("--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent")
        made = subprocess.run(
            [useradd, *options, "--shell", "/usr/sbin/nologin", NAME],
            capture_output=True,
            text=True,
            check=False,
        )
        problem = made.stderr.strip()
    try:
        return pwd.getpwnam(NAME)  # another process may have made it meanwhile
    except KeyError:
        raise NeedsEdit(
            "child_failed",
            f"PostgreSQL cannot run as root, and its account cannot be made: {problem}",
            hint=f"make a system account named {NAME}, or run as another user than root",
        ) from None
