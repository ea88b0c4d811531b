"""Where the databases of the tests lie."""

from __future__ import annotations

import os
import tempfile
from typing import Final

VARIABLE: Final = "TESTS_IN_MEMORY"  # names the run's folder in memory, if it has one


def database_folder() -> str:
    """Return the folder for what has databases in it: in memory, or else where all others are."""
    return os.environ.get(VARIABLE) or tempfile.gettempdir()
