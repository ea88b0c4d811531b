"""Where the files that ship with the package are: migrations, schemas, step-ca templates."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from reconciler.process import BoundExceeded, Bounds, run_process

GIT: Final = Bounds(seconds=5, output=1024)

_PACKAGE = Path(__file__).resolve().parent


def data_dir(name: str) -> Path:
    """Return the folder `name`: inside an installed wheel, else at the top of the checkout."""
    packaged = _PACKAGE / "_data" / name
    return packaged if packaged.is_dir() else _PACKAGE.parent / name


def built_commit() -> str | None:
    """Return the git commit of the build, else that of the checkout; None if it is not known."""
    packaged = _PACKAGE / "_data" / "commit"
    if packaged.is_file():
        return packaged.read_text().strip()
    if not (_PACKAGE.parent / ".git").exists():  # the repository of another project, above
        return None
    try:
        done = run_process(["git", "-C", _PACKAGE.parent, "rev-parse", "HEAD"], bounds=GIT)
    except (OSError, BoundExceeded):
        return None
    return done.output.decode("ascii", "replace").strip() or None
