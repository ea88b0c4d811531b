"""Homes of embedded gateways for tests, and other processes that use them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import textwrap
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from reconciler.config.home import Home
from reconciler.embedded.destroy import destroy_home
from reconciler.embedded.init import create_home
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

USER: Final = """
import sys, time
from pathlib import Path
from reconciler.config.home import Home
from reconciler.embedded.postgres.home_server import postgres
with postgres(Home(Path(sys.argv[1]))) as url:
    print("using", flush=True)
    time.sleep(float(sys.argv[2]))
"""
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="drops privileges, which only root can")


@contextmanager
def open_folder() -> Iterator[Path]:
    """Give a folder that other accounts may enter, as most of a machine's are.

    Not pytest's own: every run of it closes the folder that all of its runs share.
    """
    folder = Path(tempfile.mkdtemp(prefix="mosaic-home-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@contextmanager
def made_home(folder: Path) -> Iterator[Home]:
    """Make a home in the folder, and take it away with all that it has elsewhere."""
    home = Home(folder / ".mosaic")
    create_home(home)
    try:
        yield home
    finally:
        destroy_home(home)


def user(home: Home, seconds: float) -> subprocess.Popen[str]:
    """Start another process that uses the home's server."""
    argv = [sys.executable, "-c", textwrap.dedent(USER), str(home.path), str(seconds)]
    started = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert started.stdout is not None
    assert started.stdout.readline() == "using\n"
    return started


def finish(started: subprocess.Popen[str]) -> int:
    """Wait for another process to end."""
    with started:
        return started.wait(PATIENCE_S)
