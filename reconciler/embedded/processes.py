"""Child processes that outlive surprises: started apart, known beyond their pid, stopped for sure.

A pid alone may name a stranger by the time it is used, so a process is known by its pid, its start
time and the boot it ran in. Signals go through a pidfd, which cannot reach a successor.
Knows nothing of what it runs.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconciler.errors import NeedsEdit, Retry
from reconciler.files import replace_file

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

LOG_LIMIT: Final = 8 * 1024 * 1024  # bytes; what a larger log holds moves to `<name>.1`
SHOWN_LINES: Final = 3  # of a log, in an error

_PROC: Final = Path("/proc")
_ERROR: Final = re.compile(r"\b(?:FATAL|PANIC|ERROR|HINT|error): ")  # as PostgreSQL's programs say
_DEAD_STATES: Final = frozenset("ZXx")  # proc(5): zombie, and dead

_detached: list[subprocess.Popen[bytes]] = []


@dataclass(frozen=True, slots=True)
class SystemAccount:
    """An operating system account that a child runs as; `groups` are its supplementary ones."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Identity:
    """One process, for ever: no later process and no other boot has the same three values."""

    pid: int
    started: int  # clock ticks after the boot: proc(5), stat, field 22
    boot: str

    def __str__(self) -> str:
        return f"{self.pid} {self.started} {self.boot}"

    @classmethod
    def parse(cls, text: str) -> Identity | None:
        """Read what `str` wrote; None where the text is anything else (a file cut short, say)."""
        fields = text.split()
        if len(fields) != 3 or not (fields[0].isdecimal() and fields[1].isdecimal()):
            return None
        return cls(int(fields[0]), int(fields[1]), fields[2])


def identify(pid: int) -> Identity | None:
    """Return the identity of the process that has `pid` now; None where none lives."""
    if pid <= 0:
        return None
    try:
        # The second field is the command's name, which may hold spaces and brackets.
        fields = (
            (_PROC / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        )
    except (FileNotFoundError, ProcessLookupError):
        return None
    if fields[0] in _DEAD_STATES:
        return None
    return Identity(pid, int(fields[19]), _boot())


@cache
def _boot() -> str:
    return (_PROC / "sys/kernel/random/boot_id").read_text().strip()


def alive(identity: Identity) -> bool:
    """Tell whether this very process still runs; a zombie does not."""
    return identify(identity.pid) == identity


def working_in(folder: Path, program: str) -> list[Identity]:
    """Return the processes that run `program` (its file's name) with `folder` as working folder.

    Only what this user may look at is found, so other users' processes are not.
    """
    each = (working(int(process.name), folder, program) for process in _numbered())
    return [identity for identity in each if identity is not None]


def working(pid: int, folder: Path, program: str) -> Identity | None:
    """Return the process that has `pid` if it runs `program` with `folder` as working folder."""
    process = _PROC / str(pid)
    try:
        runs = (process / "exe").readlink().name.removesuffix(" (deleted)") == program
        here = runs and (process / "cwd").readlink() == folder.resolve()
    except OSError:  # it has ended, or is another user's
        return None
    return identify(pid) if here else None


def running_from(folder: Path) -> list[Identity]:
    """Return the processes whose program lies below `folder`."""
    return [
        identity
        for process in _numbered()
        if _link_of(process / "exe").startswith(f"{folder.resolve()}/")
        and (identity := identify(int(process.name))) is not None
    ]


def holding(files: Collection[Path]) -> list[Identity]:
    """Return the processes, but for this one, that have one of the files open: who holds a lock.

    They are known by the path that they opened, wherever that was moved since: another hard link
    to the same file is another lock to those who use it. Only what this user may look at is found.
    """
    paths = {os.fspath(file.parent.resolve() / file.name) for file in files}
    return [
        identity
        for process in _numbered()
        if int(process.name) != os.getpid()
        and not paths.isdisjoint(_open_files(process))
        and (identity := identify(int(process.name))) is not None
    ]


def _numbered() -> Iterator[Path]:
    return (process for process in _PROC.iterdir() if process.name.isdecimal())


def _open_files(process: Path) -> set[str]:
    try:
        return {_link_of(descriptor) for descriptor in (process / "fd").iterdir()}
    except OSError:  # it has ended, or is another user's
        return set()


def _link_of(path: Path) -> str:
    try:
        return os.fspath(path.readlink())
    except OSError:
        return ""


def spawn(
    argv: Sequence[str | Path],
    *,
    log: Path,
    account: SystemAccount | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path = Path("/"),
) -> subprocess.Popen[bytes]:
    """Start `argv` in a session of its own, its output appended to `log`.

    A session of its own: a terminal's Ctrl-C reaches us alone, and we decide in which order things
    end. `account` needs root. The environment is `env` and nothing else (`clean_env` by default),
    so no secret of ours and no `PG*` variable of the operator reaches the child.

    Raises:
        NeedsEdit: `program_unusable`: it cannot be started at all.
    """
    with open_log(log) as output:
        try:
            return subprocess.Popen(
                [os.fspath(part) for part in argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=dict(clean_env() if env is None else env),
                cwd=cwd,
                start_new_session=True,
                umask=0o077,
                user=account.uid if account else None,
                group=account.gid if account else None,
                extra_groups=account.groups if account else None,
            )
        except OSError as error:
            raise NeedsEdit(
                "program_unusable",
                f"{os.fspath(argv[0])!r} cannot be started: {error.strerror or error}",
                hint="check that the file exists and may be executed here",
            ) from error


def detach(child: subprocess.Popen[bytes]) -> None:
    """Let a child live on when this process ends; until then it is reaped once it has ended."""
    _detached.append(child)


def clean_env() -> dict[str, str]:
    """Return the environment that a child needs and no more."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}


def log_size(log: Path) -> int:
    """Return where the next process writes; a log that is too large makes way for a new one."""
    size = log.stat().st_size if log.exists() else 0
    return size if size <= LOG_LIMIT else 0


def last_lines(log: Path, before: int) -> str:
    """Return the last lines of what was written to a log after its first `before` bytes.

    Earlier ones that name an error come first: what follows one may be about the cleaning up alone.
    """
    try:
        written = log.read_bytes()[before:].decode(errors="replace")
    except FileNotFoundError:
        written = ""
    lines = [line.strip() for line in written.strip().splitlines()]
    errors = [line for line in lines[:-SHOWN_LINES] if _ERROR.search(line)]
    shown = [*errors[-SHOWN_LINES:], *lines[-SHOWN_LINES:]]
    if not shown and shutil.disk_usage(log.parent).free == 0:
        return f"it wrote nothing, as no space is left in {log.parent}"
    return " / ".join(shown) or "it wrote nothing"


def rotate_log(path: Path) -> bool:
    """Move what a log above `LOG_LIMIT` holds to `<name>.1`, while its process writes to it.

    The process has it open to append, so it goes on at the beginning of the emptied file. What it
    writes in the instant between the last read and the cut is lost.

    Raises:
        OSError: it cannot be copied.
    """
    if not path.exists() or path.stat().st_size <= LOG_LIMIT:
        return False
    older = path.with_name(f"{path.name}.1")
    with path.open("rb") as log:
        log.seek(-LOG_LIMIT, os.SEEK_END)
        replace_file(older, log.read(), 0o600)
        with older.open("ab") as rest:
            rest.write(log.read())  # written meanwhile
            os.truncate(path, 0)
    return True


@contextmanager
def open_log(path: Path) -> Iterator[int]:
    """Open `path` for a child to append to; a log above `LOG_LIMIT` becomes `<name>.1` first."""
    with suppress(FileNotFoundError):
        if path.stat().st_size > LOG_LIMIT:
            path.replace(path.with_name(path.name + ".1"))
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def stop(identity: Identity, steps: Sequence[tuple[signal.Signals, float]]) -> None:
    """End this very process: send each signal, and wait its seconds before the next one.

    Does nothing where it has ended already. It need not be a child of ours; where it is, and is not
    detached, the caller reaps it (`Popen.wait`).

    Raises:
        Retry: `child_failed`, where it survives all of them.
    """
    try:
        handle = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return
    try:
        # The order matters: the handle first, then the question whom it holds.
        if not alive(identity):
            return
        for number, wait_s in steps:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, number)
            if _ended(handle, wait_s):
                return
    finally:
        os.close(handle)
        _detached[:] = [child for child in _detached if child.poll() is None]
    names = ", ".join(number.name for number, _ in steps)
    raise Retry("child_failed", f"process {identity.pid} still runs after {names}")


def _ended(handle: int, wait_s: float) -> bool:
    poller = select.poll()
    poller.register(handle, select.POLLIN)  # pidfd_open(2): readable once the process has ended
    return bool(poller.poll(wait_s * 1000))
