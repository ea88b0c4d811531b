"""The database appends to the audit log what the core says, octet for octet."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

import pytest
from psycopg.errors import InsufficientPrivilege, InvalidTextRepresentation

from reconciler.core.audit.certificate_events import PeerKeyStored, TokenMinted
from reconciler.core.audit.chain import GENESIS, Head, chain
from reconciler.core.audit.event_base import grant_ref, peer_ref
from reconciler.core.audit.events import ReconcilerPaused
from reconciler.core.audit.row_events import GrantRevoked
from reconciler.core.privileges import Role
from reconciler.store.audit import log as audit
from reconciler.store.db import Database
from reconciler.store.migrate import upgrade
from tests.support.database.roles import rows_with_roles, session
from tests.support.database.server import DEBIAN, OWNER, database_server
from tests.support.gateways.enrollee import Rows

if TYPE_CHECKING:
    from reconciler.core.audit.events import Event

APPEND: Final = (
    "SELECT federation_append_events('user:eve',"
    " jsonb_build_array(jsonb_build_object('kind', 'k', 'subject', 's', 'data', %s::text)))"
)
TEXT: Final = 'a"b\\c/d\b\f\n\r\t\x01\x1f\x7f\u00e9\u2028\U0001f600</script>'
EVENTS: Final[tuple[Event, ...]] = (
    ReconcilerPaused(TEXT),
    TokenMinted(grant_ref("7d1f6c1e-6b2e-4a44-9d1f-0f6c0b1c2d3e", "tasks"), TEXT, 3600, 2),
    PeerKeyStored(peer_ref("id", "beta"), replaced=True),
)


def test_records_have_the_bytes_and_hashes_of_the_core(database_url: str) -> None:
    rows = Rows(database_url)
    for count in (1, 3):
        with rows.database.transaction() as tx:
            assert audit.append(tx, f"user:{TEXT}", EVENTS[:count]) > 0
    with rows.database.transaction() as tx:
        written = list(audit.read_records(tx, 0))
        login = rows.one("SELECT session_user::text")
        assert audit.verify(tx).chain_break is None

    expected = chain(Head(0, GENESIS), written[0].at, f"user:{TEXT}", EVENTS[:1], login=login)
    last = Head(written[0].seq, written[0].hash)
    expected += chain(last, written[1].at, f"user:{TEXT}", EVENTS, login=login)
    assert written == list(expected)


def test_events_that_are_appended_in_parts_are_one_notice_of_the_last_record(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "APPENDED_AT_ONCE", 2)
    rows = Rows(database_url)
    events = [GrantRevoked(grant_ref(str(number), f"g{number}"), "x") for number in range(5)]
    with rows.database.transaction() as tx:
        last = audit.append(tx, "user:x", iter(events))
        assert audit.verify(tx).last.seq == last
        (notice,) = tx.rows("SELECT seq, document FROM federation_notices")
    document = json.loads(notice["document"])["data"]
    assert (document["count"], document["auditSeq"], notice["seq"]) == (5, last, last)
    assert [each["subject"] for each in document["items"]] == [each.subject for each in events]


@pytest.mark.parametrize(
    ("data", "error"),
    [
        ('{}, "login": "mosaic_reader"', InvalidTextRepresentation),
        ('"text"', InsufficientPrivilege),
    ],
)
def test_an_event_cannot_say_more_than_its_data(
    database_url: str, data: str, error: type[Exception]
) -> None:
    rows = rows_with_roles(database_url)
    with session(rows.url, Role.GATEWAY) as connection, pytest.raises(error):
        connection.execute(APPEND, [data])


LONG: Final = "9" * 200  # short texts are not looked at
LARGEST: Final = 2**53 - 1
NESTED: Final = '{"x":'
READABLE_DATA: Final = {
    "a number at either end": f'{{"x": [{LARGEST}, {{"y": -{LARGEST}}}], "long": "{LONG}"}}',
    "an exponent": f'{{"x": 9e15, "long": "{LONG}"}}',
    "as deep as may be": f'{{"long": "{LONG}", "x": {"[" * 62}[]{"]" * 62}}}',
}
UNREADABLE_DATA: Final = {
    "a number too large": f'{{"x": {LARGEST + 1}, "long": "{LONG}"}}',
    "one below zero": f'{{"x": -{LARGEST + 1}, "long": "{LONG}"}}',
    "one in lists": f'{{"x": [[1, "a", null, {{"y": [true, {LARGEST}.5]}}]], "long": "{LONG}"}}',
    "one with an exponent": f'{{"x": {{"y": 1e16}}, "long": "{LONG}"}}',
    "too deep": f'{{"long": "{LONG}", "x": {"[" * 63}1{"]" * 63}}}',
    "too deep in objects": f'{{"long": "{LONG}", "x": {NESTED * 63}1{"}" * 63}}}',
    "a number that its key hides": f'{{"x": {"9" * 5000}, "x": 1}}',
    "one within": f'{{"x": [{{"y": {LARGEST + 1}, "y": 1}}], "long": "{LONG}"}}',
    "a depth that its key hides": f'{{"x": {"[" * 1500}{"]" * 1500}, "x": 1}}',
}


@pytest.mark.parametrize("data", READABLE_DATA.values(), ids=READABLE_DATA)
def test_data_that_every_reader_takes_is_appended(database_url: str, data: str) -> None:
    rows = rows_with_roles(database_url)
    with session(rows.url, Role.GATEWAY) as connection:
        connection.execute(APPEND, [data])
    with rows.database.transaction() as tx:
        assert audit.verify(tx).chain_break is None


@pytest.mark.parametrize("data", UNREADABLE_DATA.values(), ids=UNREADABLE_DATA)
def test_data_that_some_reader_would_not_take_is_refused(database_url: str, data: str) -> None:
    rows = rows_with_roles(database_url)
    refused = pytest.raises(InsufficientPrivilege, match="can be read")
    with session(rows.url, Role.GATEWAY) as connection, refused:
        connection.execute(APPEND, [data])


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="apt-get install postgresql-15")
def test_the_oldest_server_takes_and_refuses_the_same() -> None:
    """It has no predicate for unique keys: there the values are walked."""
    with database_server(DEBIAN) as server:
        server.run(f"ALTER ROLE {OWNER} SUPERUSER")
        upgrade(Database(server.url(), "tests"))
        rows = rows_with_roles(server.url())
        for data in READABLE_DATA.values():
            with session(rows.url, Role.GATEWAY) as connection:
                connection.execute(APPEND, [data])
        for data in UNREADABLE_DATA.values():
            refused = pytest.raises(InsufficientPrivilege, match="can be read")
            with session(rows.url, Role.GATEWAY) as connection, refused:
                connection.execute(APPEND, [data])
