"""The parameters of a statement: `:name` in ours, `%(name)s` in the driver's."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_PARAMETER: Final = re.compile(r"(?<![:\w\\]):(\w+)(?![:\w])")  # `:name`, and no cast (`::`)


@lru_cache(maxsize=512)
def in_driver_form(statement: str) -> bytes:
    """Return a statement whose parameters are written as psycopg has them."""
    return _PARAMETER.sub(r"%(\1)s", statement.replace("%", "%%")).encode()
