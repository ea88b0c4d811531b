"""Whose a home is: what another user can write is not acted on, as git does with `safe.directory`.

A home names programs to run, keys to use and a certificate authority to trust. So it must be its
caller's, nobody else may write to it, and nobody may put another one in its place.
"""

from __future__ import annotations

import os
import pwd
import shlex
import stat
from typing import TYPE_CHECKING, Final

from reconciler.config.definitions import BY_NAME, invalid
from reconciler.errors import NeedsEdit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from reconciler.config.home import Home

EVERY: Final = "*"
# of what a gateway makes in its home, all but `postgres`, which belongs to the server's account
ENTRIES: Final = (
    *("mosaic.toml", "mosaic.toml.draft", "database-place", "lock", "keys", "secrets", "ca"),
    *("root-key", "provisioners", "run", "logs", "cache"),
)


def trusted_homes(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the paths of the homes that are trusted whoever owns them.

    Raises:
        NeedsEdit: `config_invalid`.
    """
    setting = BY_NAME["safe_homes"]
    text = environ.get(setting.variable, "")
    try:
        paths: tuple[str, ...] = setting.read(text) if text else ()
    except ValueError as error:
        raise invalid(setting.variable, f"got {text[:200]!r}: {error}", "correct it") from None
    return paths


def require_own(home: Home, safe_homes: tuple[str, ...]) -> None:
    """Refuse a home that is another user's, or that others may write or replace.

    `safe_homes` are the paths of those that are trusted all the same; `*` is every one. A home that
    is not made yet is judged by the folders above it.

    Raises:
        NeedsEdit: `home_unsafe`, with what to type.
    """
    real = home.path.resolve()
    if EVERY in safe_homes or str(home.path) in safe_homes or str(real) in safe_homes:
        return
    for path in (real, *(home.path / name for name in ENTRIES)):
        _require_own(path, real)
    for folder in dict.fromkeys((*real.parents, *home.path.parents)):
        _require_lasting(folder, real)


def _require_own(path: Path, home: Path) -> None:
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):  # a file is no home
        return
    except OSError as error:  # whoever may not enter it does not own it
        raise _unsafe(home, f"{error.filename}: {error.strerror}", _as_owner(home)) from None
    if status.st_uid != os.geteuid():
        fact = f"{path} belongs to {_name(status.st_uid)}, and you are {_name(os.geteuid())}"
        raise _unsafe(home, fact, _as_owner(home) + _chown(home))
    if not stat.S_ISLNK(status.st_mode) and status.st_mode & 0o022:
        fact = f"others may write to {path} ({stat.filemode(status.st_mode)})"
        raise _unsafe(home, fact, f"if nobody has: `chmod -R go-w {shlex.quote(str(home))}`")


def _require_lasting(folder: Path, home: Path) -> None:
    try:
        mode = folder.stat().st_mode
    except OSError:
        return  # it is not there yet, or its owner alone may look
    if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
        fact = f"anybody may replace it: {folder} has the mode {stat.filemode(mode)}"
        raise _unsafe(home, fact, f"`chmod o-w {shlex.quote(str(folder))}`")


def _unsafe(home: Path, fact: str, remedy: str) -> NeedsEdit:
    variable = BY_NAME["safe_homes"].variable
    return NeedsEdit(
        "home_unsafe",
        f"the gateway in {home} is not used: {fact}",
        hint=f"{remedy}; or, if you trust it as it is: {variable}={shlex.quote(str(home))}",
    )


def _as_owner(home: Path) -> str:
    try:
        owner = shlex.quote(_name(home.lstat().st_uid))
    except OSError:
        return "run the command as its owner"
    return f"run the command as its owner: `sudo -u {owner} mosaic federation …`"


def _chown(home: Path) -> str:
    if os.geteuid() == 0:  # whose PostgreSQL runs as an account of its own, which would lose it
        return ""
    return f", or make it yours: `sudo chown -R {_name(os.geteuid())} {shlex.quote(str(home))}`"


def _name(uid: int) -> str:
    """Return an account's name, or the number of one that has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"#{uid}"
