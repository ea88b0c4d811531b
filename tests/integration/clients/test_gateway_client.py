"""The way to another gateway: who is trusted, where it may lead, and when it ends."""

from __future__ import annotations

import functools
import socket
import threading
import time
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

import pytest

from reconciler.clients.http.address_rules import may_reach
from reconciler.clients.http.channel import MAX_ANSWER
from reconciler.crypto.ca_material import new_ca
from reconciler.crypto.certificates import MAX_BUNDLE, fingerprint_of
from reconciler.errors import Refused, Retry
from tests.support.gateways.liar import (
    API,
    DAY,
    ROOTS,
    Liar,
    Response,
    certificate,
    lying,
    of_unknown_version,
)
from tests.support.gateways.questions import (
    CA,
    ENROLL,
    as_json,
    call,
    connect,
    enroll,
    refusal,
    status,
)
from tests.support.ports import free_port
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator

NEXT = new_ca("Alpha", datetime.now(UTC))
STATUS = f"GET {API}/enroll"


@pytest.fixture
def liar() -> Iterator[Liar]:
    with lying(CA) as liar:
        yield liar


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
    liar.say(ROOTS, Response(200, both.encode()))
    assert call(liar, connect).roots == (CA.root, NEXT.root)


def test_roots_are_kept_as_every_program_reads_them(liar: Liar) -> None:
    """OpenSSL, and so a proxy, reads no line that begins with a space."""
    indented = NEXT.root.replace("\n", "\n ")
    liar.say(ROOTS, Response(200, f"{CA.root}{indented}".encode()))
    assert call(liar, connect).roots == (CA.root, NEXT.root)


def test_each_root_that_is_known_is_trusted_once_the_gateway_has_it() -> None:
    both = Response(200, (NEXT.root + CA.root).encode())
    pins = (fingerprint_of(CA.root), fingerprint_of(NEXT.root))
    with lying(NEXT) as moved:  # a gateway that has replaced its root
        moved.say(ROOTS, both)
        assert call(moved, connect, pin=pins).roots == (NEXT.root, CA.root)
        moved.say(ROOTS, Response(200, NEXT.root.encode()))
        assert call(moved, connect, pin=pins).roots == (NEXT.root,)
        moved.say(ROOTS, Response(200, CA.root.encode()))  # the known one that did not sign it
        assert refusal(moved, connect, pin=pins).code == "peer_unreachable"


def test_roots_that_cannot_be_read_or_lack_the_pinned_one_are_refused(liar: Liar) -> None:
    true = Response(200, CA.root.encode())
    other = "".join(new_ca("Other", datetime.now(UTC)).root for _ in range(MAX_BUNDLE))
    for bundle in (CA.root + of_unknown_version(CA.root), other):
        liar.say(ROOTS, true, Response(200, bundle.encode()))
        assert refusal(liar, connect).code == "pin_mismatch"


def test_the_clock_of_the_other_side_is_known(liar: Liar) -> None:
    client = call(liar, connect)
    assert abs(client.server_time - datetime.now(UTC)) < timedelta(seconds=5)


def test_a_wrong_pin_is_refused_before_anything_is_sent(liar: Liar) -> None:
    error = refusal(liar, enroll, pin=fingerprint_of(NEXT.root))
    assert (type(error), error.code) == (Refused, "pin_mismatch")
    assert liar.calls() == [ROOTS]


def test_a_pinned_root_that_did_not_sign_the_server_is_of_no_use() -> None:
    with lying(NEXT) as impostor:  # it hands out the right root, and has not its key
        impostor.say(ROOTS, Response(200, CA.root.encode()))
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


@pytest.mark.parametrize(
    ("life", "text"), [((-2 * DAY, -DAY), "expired"), ((DAY, 2 * DAY), "not yet valid")]
)
def test_a_server_certificate_out_of_time_may_be_a_matter_of_clocks(
    monkeypatch: pytest.MonkeyPatch, life: tuple[timedelta, timedelta], text: str
) -> None:
    monkeypatch.setattr(
        "tests.support.gateways.liar.certificate", functools.partial(certificate, life=life)
    )
    with lying(CA) as late:
        error = refusal(late, enroll)
        assert error.code == "peer_unreachable"
        assert text in error.message
        assert "check the clocks" in error.message
        assert late.calls() == [ROOTS]


def test_a_name_is_verified_as_a_name_though_the_connection_goes_to_its_address() -> None:
    with lying(CA, "localhost") as named:
        client = call(f"https://localhost:{named.port}", connect)
        assert client.roots == (CA.root,)
        assert named.heard[0][1]["Host"] == f"localhost:{named.port}"


def test_an_address_that_is_not_public_is_refused_unless_allowed(liar: Liar) -> None:
    error = refusal(liar, connect, allow=())
    assert error.code == "peer_address_refused"
    assert "MOSAIC_ALLOW_ADDRESSES=127.0.0.1" in error.hint
    assert liar.heard == []


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


def test_plain_http_where_https_is_due_is_told_as_what_it_is() -> None:
    with socket.create_server(("127.0.0.1", 0)) as plain:

        def answer() -> None:
            raw, _ = plain.accept()
            with raw:
                raw.recv(4096)
                raw.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        error = refusal(f"https://127.0.0.1:{plain.getsockname()[1]}", connect)
        thread.join(PATIENCE_S)
    assert (type(error), error.code) == (Retry, "peer_unreachable")
    assert "it does not speak TLS" in error.message


def test_a_closed_port_and_an_unknown_name_are_told_plainly() -> None:
    closed = refusal(f"https://127.0.0.1:{free_port()}", connect)
    assert (closed.code, closed.message.endswith(": Connection refused")) == (
        "peer_unreachable",
        True,
    )
    error = refusal("https://no-such-host.invalid", connect)
    assert error.code == "peer_unreachable"
    assert "resolve" in error.message  # or no resolver answered in time


@pytest.mark.parametrize("first", [True, False])
def test_a_redirect_is_not_followed(liar: Liar, first: bool) -> None:
    away = Response(302, headers=(("Location", f"{liar.url}/elsewhere"),))
    liar.say(ROOTS if first else ENROLL, away)
    error = refusal(liar, enroll)
    assert error.code == "peer_wrong_answer"
    assert "redirect" in error.message
    assert "GET /elsewhere" not in liar.calls()


@pytest.mark.parametrize("location", ["javascript:1", "http://[::1"])
def test_where_a_redirect_leads_is_not_even_read(liar: Liar, location: str) -> None:
    liar.say(ENROLL, Response(302, headers=(("Location", location),)))
    error = refusal(liar, enroll)
    assert error.code == "peer_wrong_answer"
    assert "redirect" in error.message


@pytest.mark.parametrize("cookie", ["a=b; path=/", "a=\xe9; path=/"])
def test_no_cookie_is_kept(liar: Liar, cookie: str) -> None:
    roots = Response(200, CA.root.encode(), headers=(("Set-Cookie", cookie),))
    liar.say(ROOTS, roots)
    liar.say(STATUS, as_json({"status": "open", "expiresAt": "2030-01-01T00:00:00Z"}))
    assert call(liar, status).status == "open"
    assert not any("cookie" in map(str.lower, headers) for _, headers, _ in liar.heard)


@pytest.mark.parametrize("first", [True, False])
def test_an_answer_without_end_is_cut_off(liar: Liar, first: bool) -> None:
    liar.say(ROOTS if first else ENROLL, Response(200 if first else 201, b"x" * (MAX_ANSWER + 1)))
    error = refusal(liar, enroll)
    assert error.code == "peer_wrong_answer"
    assert "larger" in error.message


@pytest.mark.parametrize("first", [True, False])
def test_an_answer_in_many_small_chunks_is_cut_off(liar: Liar, first: bool) -> None:
    liar.say(ROOTS if first else ENROLL, Response(200, b" " * MAX_ANSWER, chunked=True))
    error = refusal(liar, enroll)
    assert error.code == "peer_wrong_answer"
    assert "small parts" in error.message


DRIPS: Final = 1000
DRIP_S: Final = 0.2  # so all of it would take minutes


@pytest.mark.parametrize("first", [True, False])
def test_an_answer_that_drips_ends_in_time(liar: Liar, first: bool) -> None:
    liar.say(ROOTS if first else ENROLL, Response(200, b" " * DRIPS, drip_s=DRIP_S))
    began = time.monotonic()
    error = refusal(liar, enroll)
    assert time.monotonic() - began < DRIPS * DRIP_S / 2, "it did not wait for the whole answer"
    assert error.code == "peer_unreachable"


def test_silence_ends_in_time(liar: Liar) -> None:
    liar.say(ENROLL, Response(201, b"  ", drip_s=5))
    assert refusal(liar, enroll).code == "peer_unreachable"


def test_a_connection_that_breaks_is_a_retry(liar: Liar) -> None:
    liar.say(ENROLL, Response(hang_up=True))
    error = refusal(liar, enroll)
    assert (type(error), error.code) == (Retry, "peer_unreachable")
    assert liar.calls().count(ENROLL) == 1
