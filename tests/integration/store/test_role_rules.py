"""What a role may do in one way only: held by triggers and functions, whoever writes."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Final

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

from reconciler.core.audit.chain import Head, chain, record_hash
from reconciler.core.audit.events import EVENT_TYPES, ReconcilerPaused
from reconciler.core.privileges import Role
from reconciler.store.audit import log as audit
from reconciler.store.db import as_json
from reconciler.store.roles.making import make_roles
from tests.support.commands.in_process import shell
from tests.support.commands.process import write
from tests.support.database.roles import rows_with_roles, session
from tests.support.gateways.enrollee import grant_manifest, peer_manifest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.support.gateways.enrollee import Rows


@pytest.fixture
def rows(database_url: str) -> Rows:
    return rows_with_roles(database_url)


def camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(map(str.title, others))


# every detail that an event may have
DETAILS: Final = sorted(
    {camel_case(each.name) for kind in EVENT_TYPES.values() for each in fields(kind)}
    | {"from", "to"}
)


def enroll(rows: Rows) -> None:
    """Issue a certificate of the grant, as far as its row goes."""
    rows.run(
        "INSERT INTO federation_keys (spki_sha256, grant_id)"
        " SELECT repeat('ab', 32), id FROM federation_grants"
    )
    rows.run(
        "INSERT INTO federation_certificates (id, grant_id, token_id, serial, spki_sha256, csr_pem,"
        " lease_until) SELECT gen_random_uuid(), grant_id, id, 'abc', repeat('ab', 32), 'csr',"
        " clock_timestamp() FROM federation_enrollment_tokens"
    )


def next_record(connection: psycopg.Connection, changes: Mapping[str, object] | None = None) -> str:
    """Return a record that continues the log, as JSON; with `changes` of its body."""
    row = connection.execute(
        "SELECT seq, hash, clock_timestamp() FROM federation_audit_head FOR UPDATE"
    ).fetchone()
    assert row is not None
    (record,) = chain(
        Head(row[0], row[1]), row[2], "user:tests", [ReconcilerPaused("x")], login=Role.GATEWAY
    )
    body = json.dumps(json.loads(record.body) | changes) if changes else record.body
    digest = record_hash(record.seq, record.prev, body)
    return as_json(
        record._asdict() | {"body": body, "prev": record.prev.hex(), "hash": digest.hex()}
    )


REFUSED: Final = (
    (Role.OPERATOR, "SELECT client_key_pem FROM federation_peers"),
    (Role.OPERATOR, "SELECT federation_peers FROM federation_peers"),
    (Role.READER, "SELECT mac FROM federation_enrollment_tokens"),
    (Role.OPERATOR, "UPDATE federation_certificates SET status = 'issued'"),
    (Role.OPERATOR, "UPDATE federation_certificates SET status = 'abandoned'"),
    (Role.OPERATOR, "UPDATE federation_enrollment_tokens SET status = 'claimed'"),
    (Role.OPERATOR, "UPDATE federation_peers SET status = 'active'"),
    (Role.OPERATOR, "UPDATE federation_grants SET subject_user_id = 'eve'"),
    (Role.GATEWAY, "UPDATE federation_grants SET subject_user_id = 'eve'"),
    (Role.GATEWAY, "UPDATE federation_certificates SET grant_id = gen_random_uuid()"),
    (
        Role.GATEWAY,
        "INSERT INTO federation_moves VALUES ('federation_grants', 'revoked', 'active')",
    ),
    (Role.GATEWAY, "UPDATE federation_audit_head SET seq = 0"),
    (Role.GATEWAY, "INSERT INTO federation_audit_log SELECT * FROM federation_audit_log"),
    (Role.AUTHORITY, "SELECT holds FROM federation_authority, federation_grants"),
)


@pytest.mark.parametrize(("role", "statement"), REFUSED)
def test_what_a_role_would_do_to_others_rights_is_refused(
    rows: Rows, role: Role, statement: str
) -> None:
    enroll(rows)
    with session(rows.url, role) as connection, pytest.raises(InsufficientPrivilege):
        connection.execute(statement)


def test_an_operator_revokes_a_certificate_which_is_due_at_the_ca_at_once(rows: Rows) -> None:
    enroll(rows)
    with session(rows.url, Role.OPERATOR) as connection:
        connection.execute("UPDATE federation_certificates SET status = 'revoking'")

    assert rows.rows(
        "SELECT status::text, lease_until, attempts, next_attempt_at <= clock_timestamp() AS due"
        " FROM federation_certificates"
    ) == [{"status": "revoking", "lease_until": None, "attempts": 0, "due": True}]


def test_a_subject_that_was_changed_by_hand_can_be_restored_by_an_operator(rows: Rows) -> None:
    (before,) = rows.rows("SELECT subject_user_id AS subject FROM federation_grants")
    with psycopg.connect(rows.url) as connection:  # a session of a person, which a trigger notes
        connection.execute("UPDATE federation_grants SET subject_user_id = 'eve'")
    restore = "UPDATE federation_grants SET subject_user_id = %s"
    with session(rows.url, Role.OPERATOR) as connection:
        with pytest.raises(InsufficientPrivilege):
            connection.execute(restore, ["mallory"])
        connection.execute(restore, [before["subject"]])

    assert rows.rows("SELECT subject_user_id AS subject FROM federation_grants") == [before]


FORGERIES: Final = {
    "another login": "jsonb_set(record, '{body}', to_jsonb(replace(record ->> 'body',"
    " session_user, 'mosaic_reader')))",
    "another actor than its body": 'record || \'{"actor": "user:eve"}\'',
    "a gap": "record || jsonb_build_object('seq', (record ->> 'seq')::bigint + 1)",
    "another past": "record || jsonb_build_object('prev', repeat('00', 32))",
    "another time": "record || jsonb_build_object('at', now() - interval '1 s')",
    "no hash": "record - 'hash'",
}
UNREADABLE: Final = {
    "another time in its body": {"at": "1999-01-01T00:00:00Z"},
    "no data": {"data": None},
    "a number that is too long to read": {"data": {"x": 10**4000}},
}


@pytest.mark.parametrize("forgery", ["record", *FORGERIES.values()], ids=["it", *FORGERIES])
def test_the_audit_log_takes_a_record_that_continues_it_and_no_other(
    rows: Rows, forgery: str
) -> None:
    with session(rows.url, Role.GATEWAY) as connection, connection.transaction():
        record = next_record(connection)
        append = f"SELECT federation_append_audit(jsonb_build_array({forgery}))"
        statement = f"{append} FROM (SELECT %s::jsonb AS record) AS r"
        if forgery == "record":
            connection.execute(statement, [record])
        else:
            refused = pytest.raises(InsufficientPrivilege, match="not continue the audit log")
            with refused, connection.transaction():
                connection.execute(statement, [record])

    with rows.database.transaction() as tx:
        assert audit.verify(tx).chain_break is None


@pytest.mark.parametrize("changes", UNREADABLE.values(), ids=UNREADABLE)
def test_no_role_appends_what_would_break_the_log_for_ever(
    rows: Rows, changes: Mapping[str, object]
) -> None:
    refused = pytest.raises(InsufficientPrivilege, match=r"continue the audit log|can be read")
    with session(rows.url, Role.GATEWAY) as connection:
        with connection.transaction():
            record = next_record(connection, changes)
            statement = "SELECT federation_append_audit(jsonb_build_array(%s::jsonb))"
            with refused, connection.transaction():
                connection.execute(statement, [record])
        for data in (json.dumps(changes.get("data")), '{"x": ' + "[" * 1500 + "]" * 1500 + "}"):
            event = json.dumps([{"kind": "x", "subject": "x", "data": data}])
            with refused:
                connection.execute("SELECT federation_append_events('x', %s)", [event])


WRONG: Final = (5, "x", ["x"], {"a": 1}, None, True)
READERS: Final = (
    "history",
    "history grant/g",
    "explain grant/g",
    "explain peer/beta",
    "at 2030-01-01",
)


def test_no_record_that_a_role_appends_stops_those_that_read_the_log(
    tmp_path: Path, database_url: str
) -> None:
    mosaic = shell(tmp_path, database_url)
    write(tmp_path / "manifests", beta=peer_manifest(), g=grant_manifest("g"))
    mosaic.ok("apply", "--yes")
    with mosaic.rows.database.transaction() as tx:
        make_roles(tx)
        ids = tx.rows(
            "SELECT id::text, 'grant/g' AS subject FROM federation_grants"
            " UNION ALL SELECT id::text, 'peer/beta' FROM federation_peers"
        )
    events = [
        {
            "kind": kind,
            "subject": row["subject"],
            "data": json.dumps(dict.fromkeys(DETAILS, value) | {"id": row["id"]}),
        }
        for kind in EVENT_TYPES
        for value in WRONG
        for row in ids
    ]
    with session(database_url, Role.OPERATOR) as connection:
        connection.execute("SELECT federation_append_events('user:eve', %s)", [json.dumps(events)])

    for words in (*READERS, "audit list", "audit verify", "status", "drift", "plan"):
        done = mosaic(*words.split())
        assert "internal error" not in done.err, (words, done.err)


POISON: Final = (
    {"count": 2**63 - 1, "first_at": "-infinity", "last_at": "infinity"},
    {"count": -5, "first_at": "4713-01-01 BC", "last_at": "294276-01-01"},
    {"count": 1, "first_at": "2030-01-01", "last_at": "2020-01-01"},
)


def test_who_may_only_ask_cannot_keep_use_from_being_recorded_or_read(rows: Rows) -> None:
    enroll(rows)
    record = "SELECT federation_record_use(%s)"
    with session(rows.url, Role.AUTHORITY) as connection:
        for use in (*POISON, {"count": 1, "first_at": "now", "last_at": "now"}):
            connection.execute(record, [json.dumps([use | {"serial": "abc"}])])

    (use,) = rows.rows(
        "SELECT count, last_at <= clock_timestamp() AS past, first_at >= created_at AS issued"
        " FROM federation_certificate_use JOIN federation_certificates ON id = certificate_id"
    )
    assert use == {"count": 2**53 - 1, "past": True, "issued": True}


def test_a_moment_that_python_has_no_value_for_hides_no_row(rows: Rows) -> None:
    (row,) = rows.rows(
        "SELECT timestamptz 'infinity' AS last, timestamptz '-infinity' AS first,"
        " timestamptz '10000-01-01 00:00+00' AS late, timestamptz '0100-01-01 00:00+00 BC' AS early"
    )
    assert [row[each].year for each in ("first", "early", "late", "last")] == [1, 1, 9999, 9999]
