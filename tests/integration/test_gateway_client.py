"""The client of another gateway, against one that lies: it believes little, and tells nothing."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import time
import traceback
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.clients.gateway import GatewayClient
from reconciler.clients.outward import MAX_ANSWER, Limits, may_reach
from reconciler.core.tokens import Token, new_token
from reconciler.core.values import LOOPBACK
from reconciler.crypto.authority import new_authority
from reconciler.crypto.certificates import fingerprint_of
from reconciler.crypto.csr import make_csr
from reconciler.crypto.keys import generate_key
from reconciler.errors import MosaicError, Refused, Retry
from tests.support.liar import API, ROOTS, Liar, Said, lying

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from reconciler.core.values import Network

CA = new_authority("Alpha", datetime.now(UTC))
NEXT = new_authority("Alpha", datetime.now(UTC))
PIN = fingerprint_of(CA.root)
TOKEN = new_token(b"0123456789", b"s" * 32)
KEY = generate_key()
STATUS = f"GET {API}/enroll"
ENROLL = f"POST {API}/enroll"
PICKUP = f"POST {API}/certificates/pickup"
QUICK = Limits(connect_s=1, read_s=1, total_s=2)

GRANT: dict[str, Any] = {
    "id": "0197a000-0000-7000-8000-000000000001",
    "name": "beta-tasks",
    "peer": "beta",
    "subjectUserId": "alice",
    "scope": {"resources": [{"type": "tasks", "verbs": ["list"]}], "maxRowsPerQuery": 5},
    "status": "active",
    "expiresAt": "2030-01-01T00:00:00Z",
}
ISSUED: dict[str, Any] = {
    "certificate": CA.root,
    "chain": [CA.intermediate],
    "serial": "1f",
    "fingerprint": f"sha256:{'0' * 64}",
    "notBefore": "2026-01-01T00:00:00Z",
    "notAfter": "2026-01-02T00:00:00Z",
    "renewAfter": "2026-01-01T16:00:00Z",
    "grant": GRANT,
}


@pytest.fixture
def liar() -> Iterator[Liar]:
    with lying(CA) as found:
        yield found


def call(
    liar: Liar | str,
    ask: Callable[[GatewayClient], Awaitable[Any]],
    *,
    pin: str = PIN,
    allow: tuple[Network, ...] = LOOPBACK,
    limits: Limits = QUICK,
) -> Any:
    async def run() -> Any:
        url = liar if isinstance(liar, str) else liar.url
        async with GatewayClient.pinned(url, pin, allow, limits=limits) as client:
            return await ask(client)

    return asyncio.run(run())


def refusal(*args: Any, **kwargs: Any) -> MosaicError:
    with pytest.raises(MosaicError) as caught:
        call(*args, **kwargs)
    return caught.value


async def connect(client: GatewayClient) -> GatewayClient:
    return client


async def status(client: GatewayClient) -> Any:
    return await client.token_status(TOKEN)


async def enroll(client: GatewayClient) -> Any:
    return await client.enroll(TOKEN, make_csr(KEY))


async def pickup(client: GatewayClient) -> Any:
    return await client.pickup(KEY)


def as_json(document: Any, http_status: int = 200, **headers: str) -> Said:
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Said(http_status, json.dumps(document).encode(), named)


def test_first_contact_sends_nothing_and_the_rest_goes_over_a_verified_connection(
    liar: Liar,
) -> None:
    liar.say(STATUS, as_json({"status": "open", "expiresAt": "2030-01-01T00:00:00Z", "new": 1}))
    state = call(liar, status)
    assert (state.status, state.expires_at.year) == ("open", 2030)
    assert liar.calls() == [ROOTS, ROOTS, STATUS]
    for _, headers, body in liar.heard[:2]:
        assert not {"authorization", "dpop", "cookie"} & {name.lower() for name in headers}
        assert body == b""
    assert liar.heard[2][1]["Host"] == f"127.0.0.1:{liar.port}"


def test_more_roots_are_taken_over_the_verified_connection_with_the_pinned_one_first(
    liar: Liar,
) -> None:
    both = NEXT.root + CA.root
    liar.say(ROOTS, Said(200, both.encode()))
    assert call(liar, connect).roots == (CA.root, NEXT.root)


def test_the_clock_of_the_other_side_is_known(liar: Liar) -> None:
    client = call(liar, connect)
    assert abs(client.server_time - datetime.now(UTC)) < timedelta(seconds=5)


def test_a_wrong_pin_is_refused_before_anything_is_sent(liar: Liar) -> None:
    error = refusal(liar, enroll, pin=fingerprint_of(NEXT.root))
    assert (type(error), error.code) == (Refused, "pin_mismatch")
    assert liar.calls() == [ROOTS]


def test_a_pinned_root_that_did_not_sign_the_server_is_of_no_use() -> None:
    with lying(NEXT) as impostor:  # it hands out the right root, and has not its key
        impostor.say(ROOTS, Said(200, CA.root.encode()))
        error = refusal(impostor, enroll)
        assert error.code == "peer_unreachable"
        assert "certificate does not verify" in error.message
        assert impostor.calls() == [ROOTS]


def test_a_certificate_for_another_name_is_refused() -> None:
    with lying(CA, "elsewhere.example") as other:
        error = refusal(other, enroll)
        assert error.code == "peer_unreachable"
        assert "127.0.0.1" in error.message
        assert other.calls() == [ROOTS]


def test_a_name_is_verified_as_a_name_though_the_connection_goes_to_its_address() -> None:
    with lying(CA, "localhost") as named:
        client = call(f"https://localhost:{named.port}", connect)
        assert client.roots == (CA.root,)
        assert named.heard[0][1]["Host"] == f"localhost:{named.port}"


def test_a_name_that_changes_its_mind_is_not_asked_again(
    liar: Liar, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    real = socket.getaddrinfo

    def rebinding(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        if host in ("rebind.example", b"rebind.example"):
            asked.append(host)
            target = "127.0.0.1" if len(asked) == 1 else "10.0.0.1"
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (target, port))]
        return real(host, port, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    with lying(CA, "rebind.example") as named:
        call(f"https://rebind.example:{named.port}", connect)
    assert len(asked) == 1


def test_an_address_that_is_not_public_is_refused_unless_allowed(liar: Liar) -> None:
    error = refusal(liar, connect, allow=())
    assert error.code == "peer_address_refused"
    assert "MOSAIC_ALLOW_ADDRESSES=127.0.0.1" in error.hint
    assert liar.heard == []


@pytest.mark.parametrize("spelling", ["2130706433", "0x7f.1", "localhost", "127.1"])
def test_no_spelling_of_loopback_slips_through(liar: Liar, spelling: str) -> None:
    error = refusal(f"https://{spelling}:{liar.port}", connect, allow=())
    assert error.code == "peer_address_refused"


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("10.1.2.3", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("fe80::1", False),
        ("fd00::1", False),
        ("fec0::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("64:ff9b::a00:1", False),
        ("64:ff9b::808:808", True),
        ("2002:7f00:1::", False),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert may_reach(ip_address(address), ()) is public


def test_an_allowed_network_holds_for_mapped_addresses_too() -> None:
    assert may_reach(ip_address("::ffff:10.0.0.7"), (ip_network("10.0.0.0/8"),))


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1", "ftp://x", "https://", "127.0.0.1", "https://u:p@h"]
)
def test_only_https_is_spoken(url: str) -> None:
    error = refusal(url, connect)
    assert error.code == "invitation_invalid"
    assert "u:p" not in error.message


def test_a_server_without_tls_is_unreachable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as plain:
        error = refusal(f"https://127.0.0.1:{plain.getsockname()[1]}", connect)
    assert (type(error), error.code) == (Retry, "peer_unreachable")


def test_a_closed_port_and_an_unknown_name_are_told_plainly() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert refusal(f"https://127.0.0.1:{port}", connect).code == "peer_unreachable"
    error = refusal("https://no-such-host.invalid", connect)
    assert error.code == "peer_unreachable"
    assert "resolve" in error.message  # or no resolver answered in time


@pytest.mark.parametrize("first", [True, False])
def test_a_redirect_is_not_followed(liar: Liar, first: bool) -> None:
    away = Said(302, headers=(("Location", f"{liar.url}/elsewhere"),))
    liar.say(ROOTS if first else ENROLL, away)
    error = refusal(liar, enroll)
    assert error.code == "peer_wrong_answer"
    assert "redirect" in error.message
    assert "GET /elsewhere" not in liar.calls()


@pytest.mark.parametrize("first", [True, False])
def test_an_answer_without_end_is_cut_off(liar: Liar, first: bool) -> None:
    liar.say(ROOTS if first else ENROLL, Said(200 if first else 201, b"x" * (MAX_ANSWER + 1)))
    error = refusal(liar, enroll)
    assert error.code == "peer_wrong_answer"
    assert "larger" in error.message


@pytest.mark.parametrize("first", [True, False])
def test_an_answer_that_drips_ends_in_time(liar: Liar, first: bool) -> None:
    liar.say(ROOTS if first else ENROLL, Said(200, b" " * 1000, drip_s=0.2))
    began = time.monotonic()
    error = refusal(liar, enroll)
    assert time.monotonic() - began < 2 * QUICK.total_s
    assert error.code == "peer_unreachable"


def test_silence_ends_in_time(liar: Liar) -> None:
    liar.say(ENROLL, Said(201, b"  ", drip_s=5))
    assert refusal(liar, enroll).code == "peer_unreachable"


def test_a_connection_that_breaks_is_a_retry(liar: Liar) -> None:
    liar.say(ENROLL, Said(hang_up=True))
    error = refusal(liar, enroll)
    assert (type(error), error.code) == (Retry, "peer_unreachable")
    assert liar.calls().count(ENROLL) == 1


def test_a_compressed_answer_is_not_unpacked(liar: Liar) -> None:
    liar.say(ENROLL, as_json(ISSUED, 201, content_encoding="gzip"))
    call(liar, enroll)  # it is read as it is: nothing is ever unpacked


def changed(**fields: Any) -> dict[str, Any]:
    return {**ISSUED, **fields}


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"", "JSON object"),
        (b"null", "JSON object"),
        (b"[" * 100_000, "JSON object"),
        (b'{"certificate": "\xff"}', "JSON object"),
        (json.dumps({}).encode(), "certificate"),
        (json.dumps(changed(serial=31)).encode(), "serial"),
        (json.dumps(changed(serial="../x")).encode(), "serial"),
        (json.dumps(changed(chain="x")).encode(), "chain"),
        (json.dumps(changed(chain=["x"] * 9)).encode(), "chain"),
        (json.dumps(changed(notAfter="tomorrow")).encode(), "notAfter"),
        (json.dumps(changed(notAfter=1)).encode(), "notAfter"),
        (json.dumps(changed(grant={**GRANT, "status": "fine"})).encode(), "grant.status"),
        (json.dumps(changed(grant={**GRANT, "id": "x"})).encode(), "grant.id"),
        (json.dumps(changed(grant={**GRANT, "scope": {"a": "\0"}})).encode(), "grant.scope"),
        (json.dumps(changed(grant={**GRANT, "scope": {"a": float("nan")}})).encode(), "grant"),
        (json.dumps(changed(grant={**GRANT, "name": "a\nb"})).encode(), "grant.name"),
    ],
)
def test_a_malformed_answer_is_named_and_not_quoted(liar: Liar, body: bytes, named: str) -> None:
    liar.say(ENROLL, Said(201, body))
    error = refusal(liar, enroll)
    assert error.code == "peer_wrong_answer"
    assert named in error.message


def test_a_whole_answer_is_read(liar: Liar) -> None:
    liar.say(PICKUP, as_json({**ISSUED, "later": {"more": True}}))
    issued = call(liar, pickup)
    assert issued.grant.as_json() == GRANT
    assert issued.chain == (CA.intermediate,)
    assert liar.heard[-1][1]["DPoP"].count(".") == 2


def problem(code: str, detail: str = "because", **more: Any) -> dict[str, Any]:
    return {"code": code, "detail": detail, "correlationId": "c0ffee", **more}


@pytest.mark.parametrize(
    ("http_status", "document", "code", "kind"),
    [
        (410, problem("token_spent"), "token_spent", Refused),
        (401, problem("token_invalid"), "token_invalid", Refused),
        (422, problem("key_in_use"), "key_in_use", Refused),
        (409, problem("enrollment_in_progress", retryable=True), "enrollment_in_progress", Retry),
        (409, problem("renewal_contested", retryable=False), "renewal_contested", Refused),
        (429, problem("rate_limited"), "rate_limited", Retry),
        (503, problem("ca_unavailable"), "ca_unavailable", Retry),
        (503, "no json", "unavailable", Retry),
        (502, "no json", "unavailable", Retry),
        (500, problem("internal"), "peer_refused", Refused),
        (500, problem("keyring_invalid"), "peer_refused", Refused),
        (410, problem("keyring_invalid"), "peer_refused", Refused),
        (401, problem("token_spent"), "peer_refused", Refused),
        (418, problem("teapot"), "peer_refused", Refused),
        (404, "no json", "peer_refused", Refused),
    ],
)
def test_a_refusal_keeps_its_code_only_where_we_know_it_under_its_status(
    liar: Liar, http_status: int, document: Any, code: str, kind: type
) -> None:
    liar.say(ENROLL, as_json(document, http_status, retry_after="7"))
    error = refusal(liar, enroll)
    assert (error.code, type(error)) == (code, kind)
    if isinstance(error, Retry):
        assert error.retry_after == timedelta(seconds=7)
    if document != "no json":
        assert "because" in error.message
        assert "c0ffee" in error.hint


@pytest.mark.parametrize(
    ("told", "seconds"), [("", 5), ("soon", 5), ("-1", 5), ("0", 0), ("9" * 400, 3600), ("٣", 5)]
)
def test_how_long_to_wait_is_believed_within_reason(liar: Liar, told: str, seconds: int) -> None:
    headers = (("Retry-After", told),) if told.isascii() else ()
    liar.say(ENROLL, Said(429, headers=headers))
    error = refusal(liar, enroll)
    assert isinstance(error, Retry)
    assert error.retry_after == timedelta(seconds=seconds)


@pytest.mark.parametrize("answer", ["echo", "wrong", "drip", "hang up"])
def test_no_secret_is_in_any_message_or_log(
    liar: Liar, answer: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    spelled = TOKEN.spelled()
    said = {
        "echo": as_json(problem("token_spent", f"{spelled}\x1b[2J"), 410),
        "wrong": as_json({"certificate": 1, "x": spelled}, 201),
        "drip": Said(201, spelled.encode(), drip_s=0.3),
        "hang up": Said(hang_up=True),
    }[answer]
    liar.say(ENROLL, said)
    error = refusal(liar, enroll)
    told = error.message + error.hint + repr(error) + caplog.text
    told += "".join(traceback.format_exception(error))
    assert TOKEN.secret not in told
    assert "\x1b" not in error.message


def test_a_proof_that_is_echoed_is_not_shown(liar: Liar, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.clients.gateway.make_proof", lambda *_: "a.proof.of")
    liar.say(PICKUP, as_json(problem("proof_invalid", "got a.proof.of"), 401))
    error = refusal(liar, pickup)
    assert error.code == "proof_invalid"
    assert "a.proof.of" not in error.message


def test_the_values_show_no_secret() -> None:
    assert "ssss" not in repr(Token("a" * 16, "s" * 43))
