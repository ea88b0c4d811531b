"""Who may ask the private listener: with the token in any of its places, under a host of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reconciler.web.private.access import Access
from tests.support.gateways.certified import Certified, certify
from tests.support.gateways.enrollee import Rows, grant_manifest, peer_manifest
from tests.support.gateways.private_server import assert_problem, raw_answer, serving_private

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx


@pytest.fixture(scope="module")
def rows(shared_database_url: str) -> Rows:
    return Rows(shared_database_url)


@pytest.fixture(scope="module")
def certificate(rows: Rows) -> Certified:
    """A certificate of a grant that stays active."""
    rows.apply(peer_manifest(), grant_manifest("beta-tasks"))
    return certify(rows, "beta-tasks")


@pytest.fixture(scope="module")
def client(rows: Rows) -> Iterator[httpx.Client]:
    with serving_private(rows.url) as running, running.client() as made:
        yield made


def test_the_token_is_asked_for_in_each_of_its_places(rows: Rows, certificate: Certified) -> None:
    access = Access(b"correct-horse-battery")
    with serving_private(rows.url, access) as running, running.client() as client:
        cert = certificate.headers()
        for headers in (
            {"Authorization": "Bearer correct-horse-battery"},
            {"Authorization": "bearer  correct-horse-battery"},
            {"Authorization": "Basic YW55Ym9keTpjb3JyZWN0LWhvcnNlLWJhdHRlcnk="},
            {"X-Mosaic-Token": "correct-horse-battery"},
            {"Authorization": "Bearer a-clients-own", "X-Mosaic-Token": "correct-horse-battery"},
        ):
            answer = client.get("/authorize/x", headers=cert | headers)
            assert answer.status_code == 200, headers
        for headers in (
            {},
            {"Authorization": "Bearer correct-horse-batter"},
            {"Authorization": "Bearer"},
            {"Authorization": "correct-horse-battery"},
            {"Authorization": "Basic Y29ycmVjdC1ob3JzZS1iYXR0ZXJ5Og=="},  # as the user
            {"Authorization": "Basic !!"},
            {"Authorization": "Bearer é"},
            {"X-Mosaic-Token": ""},
            {"X-Mosaic-Token": "Bearer correct-horse-battery"},
        ):
            named = {**cert, **headers}
            sent = [(n.encode(), v.encode("latin-1")) for n, v in named.items()]
            answer = client.get("/authorize", headers=sent)
            assert_problem(answer, 401, "private_token_invalid")
            assert "www-authenticate" not in answer.headers
        for probe in ("/livez", "/readyz"):
            assert client.get(probe).status_code == 200
        answer = client.get("/metrics", headers={"X-Mosaic-Token": "correct-horse-battery"})
        assert_problem(answer, 401, "private_token_invalid")
        assert answer.headers["www-authenticate"].startswith("Basic ")


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "", "[::1"),
        *("2130706433x", "localhost:x", "127.0.0.1:80:80", "mosaic.internal.", "[evil]"),
    ],
)
def test_another_host_is_421_and_authorize_and_probes_check_none(
    client: httpx.Client, certificate: Certified, host: str
) -> None:
    named = {"Host": host}
    assert_problem(client.get("/", headers=named), 421, "host_unknown")
    assert client.get("/readyz", headers=named).status_code == 200
    assert client.get("/livez", headers=named).status_code == 200
    headers = certificate.headers() | named
    assert client.get("/authorize", headers=headers).status_code == 200


def test_an_address_localhost_and_a_host_of_the_settings_are_served(rows: Rows) -> None:
    access = Access(hosts=frozenset({"mosaic.internal"}))
    with serving_private(rows.url, access) as running, running.client() as client:
        for host in ("127.0.0.1", "10.1.2.3:80", "[::1]:1", "localhost", "MOSAIC.internal:1"):
            assert_problem(client.get("/x", headers={"Host": host}), 404, "not_found")
        for target in (
            *("/authorized", "/authorize%3Ftype=x", "//authorize", "/x/../authorize", "*"),
            *("/Authorize", "/livez/", "/readyz/../authorize"),
        ):
            head = f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
            assert raw_answer(running.port, head.encode()).startswith(b"HTTP/1.1 404 "), target
        other = b"GET http://127.0.0.1/authorize HTTP/1.1\r\nHost: localhost\r\n"
        answer = raw_answer(running.port, other + b"Connection: close\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 400 "), "its target and its Host name two hosts"
