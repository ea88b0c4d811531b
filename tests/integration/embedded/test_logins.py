"""Logins of a home's database: one for each role, made at its next start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from reconciler.core.privileges import LOGINS, OWNER, Role
from reconciler.embedded.postgres.home_server import postgres
from reconciler.errors import NeedsEdit
from reconciler.store.db import Database
from reconciler.store.roles.catalog import role_differences
from tests.support.gateways.home import made_home, open_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.config.home import Home


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    """Give one home to all: each test leaves it as it found it."""
    with open_folder() as folder, made_home(folder) as made:
        yield made


def login_of(url: str) -> str:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT session_user").fetchone()
    assert row is not None
    return str(row[0])


def test_each_role_of_a_home_has_a_login_with_a_password_that_nobody_else_reads(home: Home) -> None:
    passwords = set()
    with postgres(home) as superuser:
        for login in (*LOGINS, OWNER):
            file = home.login_password(login)
            assert file.stat().st_mode & 0o777 == 0o400
            passwords.add(file.read_text())
            with postgres(home, login=login) as url:
                assert login_of(url) == login
        with Database(superuser, "tests").transaction() as tx:
            assert role_differences(tx) == ()

    assert len(passwords) == len(LOGINS) + 1


def test_a_home_of_a_version_without_roles_gets_them_at_its_next_start(home: Home) -> None:
    with postgres(home) as url, psycopg.connect(url, autocommit=True) as connection:
        for login in (*LOGINS, OWNER):
            connection.execute(f"ALTER ROLE {login} NOLOGIN PASSWORD NULL")
            home.login_password(login).unlink()
        connection.execute("ALTER TABLE federation_audit_log OWNER TO mosaic")
        connection.execute("REVOKE SELECT ON federation_peers FROM mosaic_operator")
    home.roles.unlink()

    with postgres(home, login=Role.OPERATOR) as url:
        assert login_of(url) == Role.OPERATOR
        with Database(url, "tests").transaction() as tx:
            assert tx.rows("SELECT id FROM federation_peers") == []
            assert role_differences(tx) == ()


def test_a_password_that_is_lost_is_named_with_what_makes_a_new_one(home: Home) -> None:
    file = home.login_password(Role.READER)
    file.unlink()
    with pytest.raises(NeedsEdit, match="be read") as caught, postgres(home, login=Role.READER):
        pass
    assert "run/roles" in caught.value.hint
    home.roles.unlink()
    with postgres(home, login=Role.READER) as url:
        assert login_of(url) == Role.READER
