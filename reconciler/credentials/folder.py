"""The folder of one peer's credential, as the kubelet mounts a Secret.

    DIR/tls.crt, tls.key, ca.crt, grant.json    links to `..data/<the same name>`
    DIR/..data                                  a link to a generation, renamed into place
    DIR/..<16 hex digits>                       the generation: the four files
    DIR/..peer                                  whose credential it is
    DIR/..hook-due                              a hook has not run to its end for this generation,
                                                which it names

A reader that resolves `..data` once never sees a key beside another key's certificate. Whoever
writes holds a lock on the folder, so the newest of two writers wins. A step that is interrupted
leaves files whose names begin with `..`, and the next write removes them.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reconciler.credentials.bundle import KEY, NAMES
from reconciler.errors import Refused
from reconciler.files import remedy, replace_file, sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reconciler.credentials.bundle import CredentialFiles

DATA, PEER, HOOK_DUE = "..data", "..peer", "..hook-due"
_NEXT: Final = "..next"  # a link or a file that is about to be renamed
_GENERATION: Final = re.compile(r"\.\.[0-9a-f]{16}")


@dataclass(frozen=True, slots=True)
class CredentialFolder:
    """A folder that this process holds the lock of; made by `locked_folder`."""

    path: Path

    def holds(self, files: CredentialFiles) -> bool:
        """Tell whether the folder has exactly these files, and its links are right."""
        contents = files.by_name()
        try:
            generation = self._generation()
            return generation is not None and all(
                str((self.path / name).readlink()) == f"{DATA}/{name}"
                and (self.path / generation / name).read_bytes() == contents[name]
                for name in NAMES
            )
        except OSError:  # a file or a link is missing, or is something else
            return False

    def write(self, files: CredentialFiles, *, hook: bool) -> None:
        """Put a new generation in the place of the current one; `hook`: one is due after it.

        Raises:
            OSError: the folder cannot be written to; what it had is as it was.
        """
        self.remove_leftovers()
        generation = f"..{secrets.token_hex(8)}"
        self._make_generation(generation, files)
        if hook:
            replace_file(self.path / HOOK_DUE, generation.encode(), 0o600, temporary=_NEXT)
        else:
            (self.path / HOOK_DUE).unlink(missing_ok=True)
        self._link(DATA, generation)  # the swap
        for name in NAMES:
            self._link(name, f"{DATA}/{name}")
        sync_folder(self.path)
        self.remove_leftovers()

    def remove_leftovers(self) -> None:
        """Remove generations other than the current one, and what an interrupted write left."""
        current = self._generation()
        for entry in list(self.path.iterdir()):
            if entry.name == _NEXT:
                entry.unlink()
            elif _GENERATION.fullmatch(entry.name) and entry.name != current:
                shutil.rmtree(entry)

    def remove(self) -> None:
        """Remove the credential, and the folder if nothing else is in it.

        Raises:
            OSError: something cannot be removed.
        """
        for name in (*NAMES, DATA):  # readers lose the names first
            if (self.path / name).is_symlink():
                (self.path / name).unlink()
        self.remove_leftovers()
        (self.path / HOOK_DUE).unlink(missing_ok=True)
        (self.path / PEER).unlink(missing_ok=True)
        with suppress(OSError):  # it holds files that are not ours
            self.path.rmdir()

    def _generation(self) -> str | None:
        try:
            name = str((self.path / DATA).readlink())
        except OSError:
            return None
        return name if _GENERATION.fullmatch(name) else None

    def _make_generation(self, name: str, files: CredentialFiles) -> None:
        folder = self.path / name
        folder.mkdir(0o700)
        for each, content in files.by_name().items():
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(folder / each, flags, 0o600), "wb") as file:
                os.fchmod(file.fileno(), 0o600 if each == KEY else 0o644)  # whatever the umask
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        folder.chmod(0o700)
        sync_folder(folder)

    def _link(self, name: str, target: str) -> None:
        link = self.path / name
        if link.is_symlink() and str(link.readlink()) == target:
            return
        (self.path / _NEXT).symlink_to(target)
        (self.path / _NEXT).replace(link)


@contextmanager
def locked_folder(path: Path, peer: str) -> Iterator[CredentialFolder]:
    """Make or open the folder of a peer's credential, and hold its lock for the block.

    A new or an empty folder gets mode 0700.

    Raises:
        Refused: `state_conflict`: it holds another peer's credential, or such files of somebody
            else; `file_unusable`: it cannot be used.
    """
    try:
        with _locked(path) as folder:
            _claim(folder.path, peer)
            yield folder
    except OSError as error:
        raise _unusable(path, error) from error


def hook_due(path: Path) -> str | None:
    """Return what names the hook that is due for a folder, None if none is."""
    try:
        return (path / HOOK_DUE).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return None


@contextmanager
def hook_turn(path: Path) -> Iterator[str | None]:
    """Yield what names the hook that is due, None if none is; another process waits for its turn.

    The folder is not locked for the block, so a slow hook does not hold up the next credential.

    Raises:
        Refused: `file_unusable`.
    """
    try:
        with (path / PEER).open("rb") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            with _locked(path, make=False):  # a write under way is finished
                due = hook_due(path)
            yield due
    except OSError as error:
        raise _unusable(path, error) from error


def settle_hook(path: Path, due: str) -> None:
    """Note that a hook was run; one that became due, and a folder that was removed, stay so."""
    with suppress(FileNotFoundError), _locked(path, make=False):
        if hook_due(path) == due:
            (path / HOOK_DUE).unlink()


def remove_credential(path: Path) -> str | None:
    """Remove the credential in a folder; return whose it was, or None if it holds none.

    Raises:
        Refused: `file_unusable`.
    """
    peer = owner(path)
    if peer is None:
        return None
    try:
        with _locked(path) as folder:
            folder.remove()
    except OSError as error:
        raise _unusable(path, error) from error
    return peer


def credential_folders(parent: Path) -> list[Path]:
    """Return the folders in a folder that hold the credential of the peer whose name they have.

    Raises:
        Refused: `file_unusable`.
    """
    try:
        return sorted(path for path in parent.iterdir() if owner(path) == path.name)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise _unusable(parent, error) from error


def owner(path: Path) -> str | None:
    """Return the peer whose credential a folder holds, or None."""
    try:
        return (path / PEER).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return None


@contextmanager
def _locked(path: Path, *, make: bool = True) -> Iterator[CredentialFolder]:
    """Lock the folder at a path; whoever had the lock before may have removed it."""
    while True:
        if make:
            _make(path)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(descriptor), path.stat()):
                    yield CredentialFolder(path)
                    return
        finally:
            os.close(descriptor)


def _make(path: Path) -> None:
    for folder in reversed([path, *path.parents]):
        if not folder.is_dir():
            with suppress(FileExistsError):
                folder.mkdir(0o700)
                folder.chmod(0o700)  # whatever the umask


def _claim(path: Path, peer: str) -> None:
    existing = owner(path)
    if existing == peer:
        return
    if existing is not None:
        raise Refused(
            "state_conflict",
            f"{path} holds the credential of the peer {existing!r}, not of {peer!r}",
            hint="name another folder for each peer: `--dir DIR`",
        )
    (path / _NEXT).unlink(missing_ok=True)
    entries = sorted(each.name for each in path.iterdir())
    taken = [name for name in entries if name in (*NAMES, DATA)]
    if taken:
        raise Refused(
            "state_conflict",
            f"{path} holds {', '.join(taken)} that `peer credentials` did not write",
            hint="name a new folder: `--dir DIR`",
        )
    if not entries:
        path.chmod(0o700)
    replace_file(path / PEER, f"{peer}\n".encode(), 0o600, temporary=_NEXT)


def _unusable(path: Path, error: OSError) -> Refused:
    where = error.filename or path
    message = f"the credential's folder cannot be used: {where}: {error.strerror}"
    return Refused("file_unusable", message, hint=remedy(error))
