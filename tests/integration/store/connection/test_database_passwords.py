"""Passwords that are rotated below a pool: by a file of the URL, a password file, a command."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from reconciler.config import load_settings
from reconciler.config.database import database_source
from reconciler.errors import Retry
from reconciler.store.async_database import AsyncDatabase
from tests.support.database.server import OWNER, PASSWORD, database_server

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.store.db import Tx


@pytest.mark.parametrize("way", ["URL file", "password file", "command"])
def test_a_pool_fails_until_it_has_the_new_password_and_recovers(tmp_path: Path, way: str) -> None:
    with database_server() as server:
        url, result = server.url(), tmp_path / "kept"
        bare = url.replace(f":{PASSWORD}@", "@")
        environ = {
            "URL file": {"MOSAIC_DATABASE_URL_FILE": str(result)},
            "password file": {"MOSAIC_DATABASE_URL": f"{bare}?passfile={result}"},
            "command": {
                "MOSAIC_DATABASE_URL": bare,
                "MOSAIC_DATABASE_PASSWORD_COMMAND": f"cat {result}",
            },
        }[way]

        def write(password: str) -> None:
            texts = {"URL file": url.replace(PASSWORD, password), "command": password}
            result.write_text(f"{texts.get(way, f'*:*:*:*:{password}')}\n")
            result.chmod(0o600)

        def role(tx: Tx) -> str:
            (row,) = tx.rows("SELECT session_user AS role")
            return str(row["role"])

        write(PASSWORD)
        source = database_source(load_settings({}, environ, tmp_path))
        assert source is not None

        async def story() -> None:
            database = AsyncDatabase(source, "tests", pool_size=2)
            try:
                for password in ("second", "third"):
                    assert await database.run(role) == OWNER
                    server.run(
                        f"ALTER ROLE {OWNER} PASSWORD '{password}'",
                        "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity"
                        f" WHERE usename = '{OWNER}'",
                    )
                    with pytest.raises(Retry, match="password authentication failed"):
                        await database.run(role)
                    write(password)
                    assert await asyncio.gather(*(database.run(role) for _ in range(4))) == (
                        [OWNER] * 4
                    )
            finally:
                await database.close()

        asyncio.run(story())
