"""New ids: the time of the database, and random bytes of this machine."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from reconciler.core.model.ids import UUID7_RANDOM_BYTES, uuid7

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID


def new_id(at: datetime) -> UUID:
    """Return a UUIDv7 for `at`."""
    return uuid7(at, os.urandom(UUID7_RANDOM_BYTES))
