"""step-ca on this machine: on PATH, in the user's cache, or where every user finds it; else built.

None of these lies in a checkout.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconciler.embedded.stepca.build import (
    MODULE,
    PROBE,
    VERSION,
    build_step_ca,
    failed,
    orderly_end,
    remove_leftovers,
)
from reconciler.errors import NeedsEdit
from reconciler.process import BoundExceeded, run_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MINIMUM: Final = (0, 30, 2)
SYSTEM: Final = Path("/usr/local/lib/mosaic-federation")  # FHS 4.9: what the administrator installs
PROGRAM: Final = "step-ca"
BUILD: Final = "build-"  # what a folder is called in which one is being made
SERVICES_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"  # systemd's

_VERSION: Final = re.compile(r"\b([0-9]+)\.([0-9]+)\.([0-9]+)\b")


def find_step_ca() -> Path | None:
    """Return a step-ca of `MINIMUM` or later: on PATH, in the user's cache, or for every user."""
    on_path = shutil.which(PROGRAM)
    candidates = [Path(on_path)] if on_path else []
    for candidate in (*candidates, cache_folder() / PROGRAM, system_folder() / PROGRAM):
        if _serves(candidate):
            return candidate
    return None


def require_step_ca() -> Path:
    """Return a step-ca that is here.

    Raises:
        NeedsEdit: `config_invalid`: there is none.
    """
    step_ca = find_step_ca()
    if step_ca is None:
        raise NeedsEdit(
            "config_invalid",
            f"there is no step-ca {VERSION} or later on PATH, in {cache_folder()} or in"
            f" {system_folder()}",
            hint="run `mosaic federation ca install`, as root for every user of this machine",
        )
    return step_ca


def version_of(binary: Path) -> tuple[int, int, int] | None:
    """Return the version that a step-ca prints, or None if it prints none.

    A development build prints `0000000-dev`; Go knows the version of its module.
    """
    return _version(_output(binary, "version")) or _module_version(binary)


def cache_folder() -> Path:
    """Return the folder in the user's cache (XDG Base Directory) for this version."""
    base = os.environ.get("XDG_CACHE_HOME") or ""
    try:
        cache = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
    except RuntimeError:  # an account that the machine does not know, without HOME
        cache = Path("/nonexistent/.cache")
    return cache / "mosaic-federation" / f"step-ca-{VERSION}"


def system_folder() -> Path:
    """Return the folder of this version that every user of the machine can read."""
    return SYSTEM / f"step-ca-{VERSION}"


def install_step_ca(progress: Callable[[str], None], folder: Path | None = None) -> Path:
    """Return a step-ca, copied or built into `folder` if it is not there; two at once are safe.

    Without a folder root installs for every user, and anybody else into the own cache; one that is
    found already, and that all of these can use, is taken as it is.

    Raises:
        MosaicError: `install_failed`, with what failed and the next thing to do.
    """
    binary = find_step_ca()
    for_all = folder is None and os.geteuid() == 0
    if folder is None:
        if binary is not None and (not for_all or _is_for_all(binary)):
            return binary
        folder = system_folder() if for_all else cache_folder()
    target = folder / PROGRAM
    try:
        _make_folder(folder)
        with _alone(folder):
            if not _serves(target):
                _install(target, binary, progress)
    except OSError as error:
        raise failed(
            f"{error.filename or folder}: {error.strerror}",
            "name a folder that can be written to: `mosaic federation ca install --dir DIR`",
        ) from None
    return target


def _make_folder(folder: Path) -> None:
    """Make a folder that is open to every user, whatever the umask is, but for one's own cache."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    if folder != cache_folder():
        for each in missing:
            each.chmod(0o755)


def _install(target: Path, path: Path | None, progress: Callable[[str], None]) -> None:
    for left in target.parent.glob(f"{BUILD}*"):  # of one that was killed: nobody else is here
        remove_leftovers(left)
    with orderly_end():
        folder = Path(tempfile.mkdtemp(prefix=BUILD, dir=target.parent))
        try:
            fresh = folder / "fresh"
            if path is not None:
                progress(f"copying {path}")
                shutil.copyfile(path, fresh)
            else:
                progress(f"building step-ca {VERSION} from its Go module (a minute or two, once)")
                build_step_ca(folder, progress).rename(fresh)
            fresh.chmod(0o755)
            fresh.replace(target)
        finally:
            remove_leftovers(folder)
    if not _serves(target):
        raise failed(f"{target} does not report version {VERSION} or later", "remove it")


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Be the only one that installs into a folder; the lock ends with the process."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _serves(binary: Path) -> bool:
    runs = os.access(binary, os.X_OK) and binary.is_file()
    return runs and (version_of(binary) or (0,)) >= MINIMUM


def _is_for_all(binary: Path) -> bool:
    """Tell whether a service of any user finds a program, and can run it."""
    if binary.parent != system_folder() and shutil.which(PROGRAM, path=SERVICES_PATH) != str(
        binary
    ):
        return False
    resolved = binary.resolve()
    return all(each.stat().st_mode & stat.S_IXOTH for each in (resolved, *resolved.parents))


def _module_version(binary: Path) -> tuple[int, int, int] | None:
    go = shutil.which("go")
    if go is None:
        return None
    module = MODULE.partition("/cmd/")[0]
    lines = (line.split() for line in _output(go, "version", "-m", binary).splitlines())
    version = next((line[2] for line in lines if line[:2] == ["mod", module]), "")
    return _version(version.removeprefix("v"))


def _output(*command: str | Path) -> str:
    try:
        return run_process(command, bounds=PROBE).output.decode(errors="replace")
    except (OSError, BoundExceeded):
        return ""


def _version(text: str) -> tuple[int, int, int] | None:
    parts = _VERSION.search(text)
    return (int(parts[1]), int(parts[2]), int(parts[3])) if parts else None
