"""The account that the database server runs as: PostgreSQL refuses to run as root."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from reconciler.embedded.processes import SystemAccount
from reconciler.errors import NeedsEdit
from reconciler.process import BoundExceeded, Bounds, run_process

if TYPE_CHECKING:
    from pathlib import Path

NAME: Final = "mosaic-postgres"
ATTEMPTS: Final = 10
WAIT_S: Final = 0.1
CREATING: Final = Bounds(seconds=60, output=64 * 1024)


def server_account() -> SystemAccount | None:
    """Return the account to drop to, made where it is missing; None where we are not root.

    It is an account of its own, so that no other service of the machine, `nobody` included, can
    read the data or open the socket.

    Raises:
        NeedsEdit: `program_unusable`: it cannot be made.
    """
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(NAME)
    except KeyError:
        entry = _create()
    return SystemAccount(NAME, entry.pw_uid, entry.pw_gid)


def reachable(path: Path, account: SystemAccount) -> bool:
    """Tell whether the account can enter every folder that leads to `path`."""
    return all(_permits(folder, account) for folder in path.parents if folder.exists())


def runnable(program: Path, account: SystemAccount | None) -> bool:
    """Tell whether the account can run a program; we, where it is None."""
    if account is None:
        return os.access(program, os.X_OK)
    resolved = program.resolve()
    return all(reachable(each, account) for each in (program, resolved)) and _permits(
        resolved, account
    )


def _permits(path: Path, account: SystemAccount) -> bool:
    """Tell whether a file's mode lets the account run it, or enter it where it is a folder."""
    status = path.stat()
    if status.st_uid == account.uid:
        needed = stat.S_IXUSR
    elif status.st_gid == account.gid:
        needed = stat.S_IXGRP
    else:
        needed = stat.S_IXOTH
    return bool(status.st_mode & needed)


def own_folder(folder: Path, account: SystemAccount | None) -> None:
    """Make a folder (0700) of the account, ours where it is None.

    Raises:
        NeedsEdit: `program_unusable`: it is there already, and somebody else's or open to others.
    """
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700, parents=True)
    owner = account.uid if account is not None else os.geteuid()
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        raise _not_ours(folder, owner) from None
    try:
        status = os.fstat(handle)
        if account is not None and status.st_uid == os.geteuid() and not any(folder.iterdir()):
            os.fchown(handle, account.uid, account.gid)  # just made, now or by one that was killed
            status = os.fstat(handle)
        if status.st_uid != owner or status.st_mode & 0o077:
            raise _not_ours(folder, owner)
    finally:
        os.close(handle)


def _not_ours(folder: Path, owner: int) -> NeedsEdit:
    try:
        status = folder.lstat()
    except OSError as error:
        state = f"cannot be inspected: {error.strerror}"
    else:
        state = f"has owner {status.st_uid} and mode {stat.filemode(status.st_mode)}"
    return NeedsEdit(
        "program_unusable",
        f"{folder} {state}, expected a folder (drwx------) of {owner}",
        hint="run the command as the user who made the gateway; if no gateway uses it, move it"
        " away",
    )


def _create() -> pwd.struct_passwd:
    useradd = shutil.which("useradd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    problem = "there is no useradd"
    if useradd is not None:
        options = ("--system", "--user-group", "--no-create-home", "--home-dir", "/nonexistent")
        words = [useradd, *options, "--shell", "/usr/sbin/nologin", NAME]
        try:
            problem = run_process(words, bounds=CREATING).errors.decode(errors="replace").strip()
        except BoundExceeded:
            problem = f"useradd did not end within {CREATING.seconds:.0f} s"
    for _ in range(ATTEMPTS):
        with suppress(KeyError):
            return pwd.getpwnam(NAME)  # made here, or by another process that was first
        time.sleep(WAIT_S)
    raise NeedsEdit(
        "program_unusable",
        f"PostgreSQL cannot run as root, and its account cannot be made: {problem}",
        hint=f"make a system account named {NAME}, or run as another user than root",
    )
