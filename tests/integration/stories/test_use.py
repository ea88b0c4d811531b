"""Use of certificates: gathered by who answers, recorded by one function, shown to people."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.authority import Authority
from reconciler.errors import MosaicError
from tests.support.commands.in_process import Quick, shell
from tests.support.gateways.certified import Certified, certify, make_certificate
from tests.support.gateways.enrollee import Rows, grant_manifest, peer_manifest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def mosaic(tmp_path: Path, database_url: str) -> Quick:
    made = shell(tmp_path, database_url)
    made.rows.apply(peer_manifest(), *map(grant_manifest, ("used", "idle", "new")))
    return made


def use(mosaic: Quick, grant: str) -> Any:
    return [each["use"] for each in mosaic.grant(grant)["certificates"]]


async def ask(url: str, *ders: bytes) -> list[bool]:
    """Ask for each, and end: the last use is recorded then."""
    async with Authority(url) as authority:
        return [(await authority.check(der)).allowed for der in ders]


def test_use_is_counted_with_its_first_and_last_time(mosaic: Quick) -> None:
    used, idle = certify(mosaic.rows, "used"), certify(mosaic.rows, "idle")
    assert use(mosaic, "used") == [None]
    before = datetime.now(UTC)
    url = mosaic.rows.url
    assert asyncio.run(ask(url, used.der, used.der, make_certificate().der)) == [True, True, False]
    (recorded,) = use(mosaic, "used")
    assert recorded["count"] == 2
    first, last = (datetime.fromisoformat(recorded[name]) for name in ("first", "last"))
    assert before <= first <= last <= datetime.now(UTC)
    assert use(mosaic, "idle") == [None]

    asyncio.run(ask(url, used.der, idle.der))
    (again,) = use(mosaic, "used")
    assert (again["count"], again["first"]) == (3, recorded["first"])
    assert datetime.fromisoformat(again["last"]) > last
    assert use(mosaic, "idle")[0]["count"] == 1


def test_a_denial_is_no_use(mosaic: Quick) -> None:
    certificate = certify(mosaic.rows, "used")
    mosaic.rows.apply(peer_manifest(), grant_manifest("used", suspended="true"))
    assert asyncio.run(ask(mosaic.rows.url, certificate.der)) == [False]
    assert use(mosaic, "used") == [None]


def test_status_lists_active_grants_that_nobody_used_for_90_days(mosaic: Quick) -> None:
    certificates = {name: certify(mosaic.rows, name) for name in ("used", "idle", "new")}
    asyncio.run(ask(mosaic.rows.url, *(each.der for each in certificates.values())))
    assert mosaic.document("status")["unused"] == []

    mosaic.rows.tamper("UPDATE federation_grants SET activated_at = now() - interval '200 days'")
    mosaic.rows.run(
        "UPDATE federation_certificate_use SET first_at = now() - interval '91 days',"
        " last_at = now() - interval '91 days' WHERE certificate_id IN (SELECT id"
        " FROM federation_certificates WHERE serial = :serial)",
        serial=certificates["idle"].serial,
    )
    mosaic.rows.run(
        "DELETE FROM federation_certificate_use WHERE certificate_id IN (SELECT id"
        " FROM federation_certificates WHERE serial = :serial)",
        serial=certificates["new"].serial,
    )
    listed = mosaic.document("status")["unused"]
    assert [each["name"] for each in listed] == ["new", "idle"]
    assert listed[0]["lastUse"] is None
    shown = mosaic.ok("status").out
    assert "grant new: never used" in shown
    assert "grant idle: last used 91d ago" in shown


def test_what_cannot_be_written_is_written_the_next_time(mosaic: Quick) -> None:
    certificate = certify(mosaic.rows, "used")

    async def through_an_outage() -> None:
        async with Authority(mosaic.rows.url) as authority:
            assert (await authority.check(certificate.der)).allowed
            mosaic.rows.run("ALTER FUNCTION federation_record_use(jsonb) RENAME TO away")
            with pytest.raises(MosaicError):
                await authority.record_use()
            mosaic.rows.run("ALTER FUNCTION away(jsonb) RENAME TO federation_record_use")
            await authority.check(certificate.der)
            await authority.record_use()

    asyncio.run(through_an_outage())
    assert use(mosaic, "used")[0]["count"] == 2


def test_use_that_is_not_recorded_at_the_end_is_told(
    mosaic: Quick, caplog: pytest.LogCaptureFixture
) -> None:
    certificate = certify(mosaic.rows, "used")
    with mosaic.rows.database.transaction() as tx:
        tx.run("LOCK TABLE federation_certificate_use IN SHARE MODE")
        assert asyncio.run(ask(mosaic.rows.url, certificate.der)) == [True]
    assert "the last use of certificates is not recorded: no answer within 2 s" in caplog.text
    assert use(mosaic, "used") == [None]


def asking_role(rows: Rows, password: str) -> str:
    """Make a role that may ask and nothing else; return its URL."""
    role = f"asker_{rows.one('SELECT current_database()')}"
    for statement in (
        f"CREATE ROLE {role} LOGIN PASSWORD '{password}'",
        f"GRANT SELECT ON federation_authority TO {role}",
        f"GRANT EXECUTE ON FUNCTION federation_record_use(jsonb) TO {role}",
        f"GRANT EXECUTE ON FUNCTION federation_restored() TO {role}",
    ):
        rows.run(statement)
    _, _, place = rows.url.partition("@")
    return f"postgresql://{role}:{password}@{place}"


def test_a_role_that_may_only_ask_is_enough_and_can_do_nothing_else(mosaic: Quick) -> None:
    certificate = certify(mosaic.rows, "used")
    url = asking_role(mosaic.rows, "s3cret-s3cret")
    assert asyncio.run(ask(url, certificate.der)) == [True]
    assert use(mosaic, "used")[0]["count"] == 1
    for statement in (
        "SELECT * FROM federation_certificate_use",
        "SELECT * FROM federation_certificates",
        "DELETE FROM federation_certificate_use",
        "UPDATE federation_authority SET subject_user_id = 'x'",
    ):
        with pytest.raises(MosaicError, match=r"denied|cannot update"):
            Rows(url).run(statement)


@pytest.mark.parametrize("der", [b"", b"\x30\x00", b"x" * 5000])
def test_what_is_no_certificate_and_half_a_question_raise(mosaic: Quick, der: bytes) -> None:
    async def check(asked: bytes, **question: str) -> None:
        async with Authority(mosaic.rows.url) as authority:
            await authority.check(asked, **question)

    for question in ({}, {"resource": "tasks"}, {"verb": "list", "resource": ""}):
        certificate: Certified = make_certificate()
        with pytest.raises(MosaicError, match=r"DER|question"):
            asyncio.run(check(certificate.der if question else der, **question))
