"""A repository somewhere else, mirrored into a bare one in a cache that is safe to delete."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from reconciler.core.model.text import printable, without_credentials
from reconciler.errors import NeedsEdit, Retry
from reconciler.files import make_folder
from reconciler.process import Bounds
from reconciler.source.git.command import (
    FETCHING,
    FULL_HASH,
    SHA1_HEX,
    Repository,
    run_git,
    unknown_ref,
)
from reconciler.source.git.errors import error_summary, unfetched
from reconciler.source.names import refuse_dash, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator

LISTING: Final = Bounds(seconds=60.0, output=16 * 1024 * 1024)
LOCK_WAIT_S: Final = 30
PROTOCOLS: Final = ("https", "ssh", "file")
MANY_PACKS: Final = 50  # each fetch leaves one; then they become one

_SCP: Final = re.compile(r"[A-Za-z0-9._-]+@([A-Za-z0-9][A-Za-z0-9.-]*):(?!:)\S+", re.ASCII)
_NAME: Final = re.compile(r"(?!.*(?:\.\.|//|@\{|\.lock(?:/|$)))[^\x00-\x20\x7f~^:?*\[\\]+")
_NO_REPOSITORY: Final = Path("/")


@dataclass(frozen=True, slots=True)
class Remote:
    """A URL that git may be given: without a password, over a `protocol` that is allowed."""

    url: str
    protocol: str

    @classmethod
    def parse(cls, location: str) -> Remote:
        """Return the remote of a URL, or of `user@host:path`.

        Raises:
            NeedsEdit: `source_unreadable`: its protocol is not allowed, or it holds credentials.
        """
        refuse_dash(location, "the source")
        shown = printable(without_credentials(location), 200)
        if not location.isprintable() or " " in location:
            raise unreadable(f"the URL {shown!r} contains an invalid character")
        if _SCP.fullmatch(location):
            return cls(location, "ssh")
        try:
            parts = urlsplit(location)
            host, user, password = parts.hostname or "", parts.username, parts.password
        except ValueError:
            raise unreadable(f"{shown!r} is not a URL") from None
        if parts.scheme not in PROTOCOLS or "::" in location.partition("://")[0]:
            raise unreadable(f"{shown!r} is not supported: a source is an https, ssh or file URL")
        if password is not None or (user is not None and parts.scheme != "ssh"):
            raise NeedsEdit(
                "source_unreadable",
                f"the URL of {shown} holds credentials, which logs and process lists would show",
                hint="take them out of the URL and put them into ~/.netrc; see docs/sources.md",
            )
        if host.startswith("-") or (user or "").startswith("-"):
            raise unreadable(f"the host of {shown!r} begins with a dash")
        if (parts.scheme == "file") == bool(host) or not parts.path.strip("/"):
            raise unreadable(f"{shown!r} is not the URL of a repository")
        return cls(f"{parts.scheme}{location[len(parts.scheme) :]}", parts.scheme)  # `HTTPS://…`

    def fetch(self, ref: str | None, cache: str | None) -> tuple[Repository, str]:
        """Return a mirror that holds the ref, as it is now, and the full hash of its commit.

        `ref` is a branch, a tag, a full name or a full hash; None is the remote's HEAD.

        Raises:
            NeedsEdit: `source_unreadable`: there is no such ref; `source_refused`: the remote
                refuses, or what it sends is damaged.
            Retry: `source_unavailable`: the remote cannot be reached, or another fetch takes long.
        """
        name, there = self._look_up(ref)
        folder = cache_folder(cache) / f"{hashlib.sha256(self.url.encode()).hexdigest()[:32]}.git"
        repository = Repository(folder, self.protocol)
        stored_ref = f"refs/mosaic/{hashlib.sha256(name.encode()).hexdigest()[:40]}"
        with _alone(folder):
            if not folder.exists():
                _make(folder, "sha1" if len(there) == SHA1_HEX else "sha256")
            if name == there and repository.object(f"{name}^{{commit}}") == name:
                return repository, name  # an object does not change
            if repository.object(stored_ref) != there:
                _tidy(folder)
                self._fetch_ref(repository, f"+{name}:{stored_ref}")
            if len(list(folder.glob("objects/pack/*.pack"))) > MANY_PACKS:
                repository.ask("repack", "-a", "-d", "-k", "-q", bounds=FETCHING)
        commit = repository.object(f"{stored_ref}^{{commit}}")
        if commit is None:
            raise unreadable(f"{printable(name)!r} of {printable(self.url, 200)} names no commit")
        return repository, commit

    def _look_up(self, ref: str | None) -> tuple[str, str]:
        """Return the full name of a ref at the remote and the object that it names there."""
        if ref is None:
            names: tuple[str, ...] = ("HEAD",)
        elif FULL_HASH.fullmatch(ref):
            return ref, ref
        else:
            refuse_dash(ref, "the ref")
            if not _NAME.fullmatch(ref):
                raise unreadable(
                    f"{printable(ref)!r} is not a ref of a remote: name a branch, tag or full hash"
                )
            plain = ref == "HEAD" or ref.startswith("refs/")
            names = (ref,) if plain else (f"refs/heads/{ref}", f"refs/tags/{ref}")
        hashes = self._list(*names)
        for name in names:
            if name in hashes:
                return name, hashes[name]
        raise unknown_ref(ref or "HEAD", list(self._list("refs/heads/*", "refs/tags/*")))

    def _list(self, *patterns: str) -> dict[str, str]:
        result = run_git(
            ("ls-remote", "--", self.url, *patterns),
            cwd=_NO_REPOSITORY,
            env={"GIT_ALLOW_PROTOCOL": self.protocol},
            bounds=LISTING,
        )
        if result.code != 0:
            raise unfetched(self.url, result)
        lines = result.output.decode("utf-8", "replace").splitlines()
        pairs = [line.split("\t", 1) for line in lines if "\t" in line]
        return {name: commit for commit, name in pairs if FULL_HASH.fullmatch(commit)}

    def _fetch_ref(self, repository: Repository, refspec: str) -> None:
        result = repository.ask(
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-recurse-submodules",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            "--",
            self.url,
            refspec,
            bounds=FETCHING,
        )
        if result.code != 0 or b"shallow roots" in result.errors:  # git leaves such a ref out
            raise unfetched(self.url, result)


def cache_folder(named: str | None) -> Path:
    """Return the folder for mirrors: the one that is named, else the user's, else a temporary one.

    Raises:
        NeedsEdit: `source_unreadable`: none can be written, or one is open to others.
    """
    users = os.environ.get("XDG_CACHE_HOME") or f"{os.environ.get('HOME', '')}/.cache"
    wanted = [
        *([Path(named)] if named else []),
        *([Path(users) / "mosaic-federation"] if users.startswith("/") else []),
    ]
    with suppress(FileNotFoundError):  # there is none that can be written to
        wanted.append(Path(tempfile.gettempdir()) / f"mosaic-federation-{os.geteuid()}")
    reasons: list[str] = []
    for each in wanted:
        folder = each / "git"
        try:
            make_folder(folder.parent.parent)
            folder.parent.mkdir(mode=0o700, exist_ok=True)
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            reasons.append(f"{each} ({error.strerror})")
            continue
        states = folder.parent.lstat(), folder.lstat()
        if any(state.st_uid != os.geteuid() or state.st_mode & 0o002 for state in states):
            raise unreadable(f"{folder} belongs to another user, or others may write to it")
        if os.access(folder, os.W_OK):
            return folder
        reasons.append(f"{each} (it denies access)")
    raise unreadable(f"no cache folder can be written: {', '.join(reasons)}")


def _make(folder: Path, object_format: str) -> None:
    """Make an empty mirror, whole or not at all."""
    fresh = folder.with_suffix(".new")
    shutil.rmtree(fresh, ignore_errors=True)
    words = ("init", "--quiet", "--bare", "--template=", f"--object-format={object_format}")
    result = run_git((*words, "--", str(fresh)), cwd=folder.parent)
    if result.code != 0:
        hint = "nothing was changed; free some space there, or let this account write to it"
        message = f"{folder} cannot be made: {error_summary(result)}"
        raise Retry("source_unavailable", message, hint=hint)
    fresh.rename(folder)


def _tidy(folder: Path) -> None:
    """Remove what a fetch that was killed left in a mirror whose lock is held."""
    for pattern in ("refs/mosaic/*.lock", "*.lock", "objects/pack/tmp_*"):
        for path in folder.glob(pattern):
            path.unlink(missing_ok=True)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the lock of a mirror, beside it; wait a while for another's fetch."""
    deadline = time.monotonic() + LOCK_WAIT_S
    descriptor = os.open(folder.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Retry(
                        "source_unavailable",
                        f"another process has been fetching into {folder} for {LOCK_WAIT_S} s",
                        hint="nothing was changed; try again",
                    ) from None
                time.sleep(0.05)
        yield
    finally:
        os.close(descriptor)
