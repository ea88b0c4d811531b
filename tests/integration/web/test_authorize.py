"""`/authorize` of the private listener: a proxy asks, and the rows decide."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from tests.support.gateways.certified import Certified, certify, make_certificate
from tests.support.gateways.enrollee import Rows, grant_manifest, peer_manifest
from tests.support.gateways.private_server import (
    PrivateRunning,
    assert_problem,
    raw_answer,
    serving_private,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

SCOPE: Final = """
    resources:
      - {type: tasks, verbs: [list, get], filter: {teams: [platform], personal: false}}
      - {type: notes, verbs: [list]}
    maxRowsPerQuery: 50
"""
HEADERS: Final = ("Client-Cert", "X-SSL-Client-Cert", "X-Forwarded-Client-Cert")


def manifests(**changes: Any) -> tuple[str, str]:
    grant = grant_manifest("beta-tasks", **changes)
    resources = "    resources: [{type: tasks, verbs: [list, get]}]\n    maxRowsPerQuery: 500\n"
    assert resources in grant
    return peer_manifest(), grant.replace(resources, SCOPE.lstrip("\n"))


@pytest.fixture(scope="module")
def rows(shared_database_url: str) -> Rows:
    return Rows(shared_database_url)


@pytest.fixture(scope="module")
def certificate(rows: Rows) -> Certified:
    """A certificate of a grant that stays active."""
    rows.apply(*manifests())
    return certify(rows, "beta-tasks")


@pytest.fixture(scope="module")
def private(rows: Rows) -> Iterator[PrivateRunning]:
    with serving_private(rows.url) as running:
        yield running


@pytest.fixture(scope="module")
def client(private: PrivateRunning) -> Iterator[httpx.Client]:
    with private.client() as made:
        yield made


@pytest.mark.parametrize("header", HEADERS)
def test_a_certificate_of_an_active_grant_has_authority(
    client: httpx.Client, certificate: Certified, rows: Rows, header: str
) -> None:
    answer = client.get("/authorize", headers=certificate.headers(header))

    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    grant_id = str(rows.one("SELECT id FROM federation_grants WHERE status = 'active'"))
    expires = certificate.certificate.not_valid_after_utc.strftime("%Y-%m-%dT%H:%M:%SZ")
    named = {name: v for name, v in answer.headers.items() if name.startswith("x-mosaic-")}
    assert named == {
        "x-mosaic-grant-id": grant_id,
        "x-mosaic-grant": "beta-tasks",
        "x-mosaic-peer": "beta",
        "x-mosaic-subject": "maria@alpha.example",
        "x-mosaic-serial": certificate.serial,
        "x-mosaic-expires": expires,
        "x-mosaic-max-rows": "50",
    }
    document = answer.json()
    assert document["holds"] is True
    assert document["resource"] is None
    assert document["certificate"] == {
        "serial": certificate.serial,
        "fingerprint": certificate.fingerprint,
        "notAfter": expires,
    }
    grant = document["grant"]
    assert list(grant) == [
        *("id", "name", "peer", "subjectUserId", "scope", "status", "expiresAt"),
    ]
    assert (grant["id"], grant["status"]) == (grant_id, "active")


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "M-SEARCH"])
@pytest.mark.parametrize("path", ["/authorize", "/authorize/", "/authorize/a/../b%2F?x=1&type=y"])
def test_any_method_and_path_below_is_a_question(
    client: httpx.Client, certificate: Certified, method: str, path: str
) -> None:
    body = b"x" * 100_000 if method in ("POST", "PUT") else b""
    answer = client.request(method, path, headers=certificate.headers(), content=body)
    assert answer.status_code == 200
    assert answer.headers["x-mosaic-grant"] == "beta-tasks"
    assert bool(answer.content) == (method != "HEAD")
    denied = client.request(method, path, headers=make_certificate().headers(), content=body)
    assert denied.status_code == 403


@pytest.mark.parametrize(
    ("path", "headers", "filter_"),
    [
        (
            "/authorize?type=tasks&verb=get",
            {},
            {"teams": ["platform"], "personal": False},
        ),
        ("/authorize?type=notes&verb=list", {}, {}),
        ("/authorize", {"X-Mosaic-Resource": "notes", "X-Mosaic-Verb": "list"}, {}),
        (
            "/authorize?type=credentials&verb=list",  # headers win
            {"X-Mosaic-Resource": "notes", "X-Mosaic-Verb": "list"},
            {},
        ),
        (
            "/authorize/x?type=credentials&verb=list",
            {"X-Mosaic-Resource": "notes", "X-Mosaic-Verb": "list"},
            {},
        ),
    ],
)
def test_a_question_that_the_scope_grants_is_answered_with_its_filter(
    client: httpx.Client,
    certificate: Certified,
    path: str,
    headers: dict[str, str],
    filter_: dict[str, Any],
) -> None:
    answer = client.get(path, headers={**certificate.headers(), **headers})
    assert answer.status_code == 200, answer.text
    raw = answer.headers["x-mosaic-filter"]
    assert raw.isascii()
    assert " " not in raw
    assert json.loads(raw) == filter_
    assert answer.json()["resource"]["filter"] == filter_


@pytest.mark.parametrize(
    ("resource", "verb"),
    [
        *(("notes", "get"), ("projects", "list"), ("credentials", "list"), ("Tasks", "list")),
        *(("tasks", "delete"), ("tasks", "LIST"), ("*", "list"), ("tasks,notes", "list")),
    ],
)
def test_a_question_that_the_scope_does_not_grant_is_403(
    client: httpx.Client, certificate: Certified, resource: str, verb: str
) -> None:
    headers = certificate.headers()
    by_query = client.get("/authorize", params={"type": resource, "verb": verb}, headers=headers)
    assert_problem(by_query, 403, "scope_denied")
    named = {"X-Mosaic-Resource": resource, "X-Mosaic-Verb": verb}
    assert_problem(client.get("/authorize/a", headers=headers | named), 403, "scope_denied")


@pytest.mark.parametrize(
    "query",
    [
        *("type=tasks", "verb=list", "type=&verb=", "type=tasks&verb=", "type&verb", "type=tasks&"),
        *("type=tasks&verb=list&type=notes", "type=tasks&verb=list&verb=list", "x=1", "x"),
        *("type=tasks&verbs=list", "resource=tasks&verb=list", "type=tasks;verb=list", "%"),
        *("type=%FF&verb=list&x=", "type=tasks&verb=list&", "TYPE=tasks&VERB=list"),
    ],
)
def test_a_query_that_is_no_whole_question_is_400(
    client: httpx.Client, certificate: Certified, query: str
) -> None:
    answer = client.get(f"/authorize?{query}", headers=certificate.headers())
    assert_problem(answer, 400, "request_malformed")


@pytest.mark.parametrize(
    "headers",
    [
        [("X-Mosaic-Resource", "tasks")],
        [("X-Mosaic-Verb", "list")],
        [("X-Mosaic-Resource", ""), ("X-Mosaic-Verb", "")],
        [("X-Mosaic-Resource", "tasks"), ("X-Mosaic-Verb", "")],
        [("X-Mosaic-Resource", "tasks"), ("X-Mosaic-Verb", "list"), ("X-Mosaic-Verb", "list")],
        [("X-Mosaic-Resource", "x"), ("X-Mosaic-Resource", "tasks"), ("X-Mosaic-Verb", "list")],
    ],
)
def test_headers_that_are_no_whole_question_are_400(
    client: httpx.Client, certificate: Certified, headers: list[tuple[str, str]]
) -> None:
    for path in ("/authorize", "/authorize/x", "/authorize?type=tasks&verb=list"):
        sent = [*certificate.headers().items(), *headers]
        assert_problem(client.get(path, headers=sent), 400, "request_malformed")


def test_no_certificate_is_401_and_an_unreadable_one_400(
    client: httpx.Client, certificate: Certified
) -> None:
    assert_problem(client.get("/authorize"), 401, "certificate_missing")
    twice = {**certificate.headers(), **certificate.headers("X-SSL-Client-Cert")}
    again = [*certificate.headers().items(), *certificate.headers().items()]
    for headers in (
        twice,
        again,
        {"Client-Cert": "::"},
        {"Client-Cert": ":AAAA:"},
        {"Client-Cert": f":{b64encode(certificate.der + b'more').decode()}:"},
        {"X-SSL-Client-Cert": ""},
        {"X-SSL-Client-Cert": certificate.escaped.replace("%20", "+")},
        {"X-Forwarded-Client-Cert": f'Cert="{certificate.escaped}",By=b'},
    ):
        assert_problem(client.get("/authorize", headers=headers), 400, "request_malformed")


def test_a_certificate_with_the_serial_of_another_is_unknown(
    client: httpx.Client, certificate: Certified
) -> None:
    other = make_certificate(certificate.certificate.serial_number)
    assert other.serial == certificate.serial
    assert_problem(client.get("/authorize", headers=other.headers()), 403, "certificate_unknown")


def test_what_a_proxy_would_never_send_is_no_2xx(
    private: PrivateRunning, certificate: Certified
) -> None:
    """Folded, doubled, hidden behind a NUL or in a body, and larger than a head may be."""
    pem = certificate.certificate.public_bytes(Encoding.PEM)
    folded = pem.strip().replace(b"\n", b"\r\n\t")
    own = "".join(f"{k}: {v}\r\n" for k, v in certificate.headers().items()).encode()
    for headers in (
        b"X-SSL-Client-Cert: " + folded + b"\r\n",
        own.replace(b": ", b":\x00", 1),
        own.replace(b"Client-Cert", b"Client-Cert ", 1),
        own.replace(b"Client-Cert", b"Client_Cert", 1),
        own + b"X-Forwarded-Client-Cert:\r\n",
        own + own,
        own + b"X-A: " + b"a" * 300_000 + b"\r\n",
        b"Content-Length: %d\r\n\r\n" % len(own) + own,
        b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n" + own,
    ):
        head = b"GET /authorize HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + headers + b"\r\n"
        answer = raw_answer(private.port, head)
        assert answer.startswith(b"HTTP/1.1 4"), (headers, answer)
        assert b" 200 " not in answer


@pytest.fixture
def ending(database_url: str) -> Iterator[Ending]:
    """A certificate of a grant that a test ends."""
    rows = Rows(database_url)
    rows.apply(*manifests())
    certificate = certify(rows, "beta-tasks")
    with serving_private(rows.url) as running, running.client() as client:
        made = Ending(rows, certificate, client)
        assert made.code() == ""
        yield made


@dataclass(frozen=True)
class Ending:
    rows: Rows
    certificate: Certified
    client: httpx.Client

    def code(self) -> str:
        """The reason of the answer now, empty if there is authority."""
        answer = self.client.get("/authorize", headers=self.certificate.headers())
        return "" if answer.status_code == 200 else str(answer.json()["code"])


def test_every_end_is_told_at_the_next_question(ending: Ending) -> None:
    """The four reasons of the rows, each added to those after it in the order."""
    rows = ending.rows
    rows.run("UPDATE federation_certificates SET not_after = now() - interval '1 s'")
    assert ending.code() == "certificate_ended"
    rows.apply(*manifests(suspended="true"))
    assert ending.code() == "grant_suspended"
    rows.run("UPDATE federation_grants SET expires_at = now()")
    assert ending.code() == "grant_ended"
    rows.tamper("UPDATE federation_peers SET status = 'revoked', revoked_at = now()")
    assert ending.code() == "peer_ended"


def test_a_revocation_of_the_certificate_and_a_removal_count_at_once(ending: Ending) -> None:
    ending.rows.run("UPDATE federation_certificates SET status = 'revoking'")
    assert ending.code() == "certificate_ended"
    ending.rows.apply(peer_manifest())
    assert ending.code() == "grant_ended"
