"""What a person with psql does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from tests.support.commands.in_process import Quick


def by_hand(mosaic: Quick, *statements: str) -> None:
    """Change rows as a person with psql does: nothing says that it is one of our transactions."""
    with psycopg.connect(mosaic.variables["MOSAIC_DATABASE_URL"], autocommit=True) as connection:
        connection.execute("SET timezone TO 'Asia/Tokyo'")
        for each in statements:
            connection.execute(each)


def one(mosaic: Quick) -> Any:
    """Return the one row that differs, as `drift` prints it."""
    (result,) = mosaic.document("drift")
    return result
