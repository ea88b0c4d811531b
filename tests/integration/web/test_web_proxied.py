"""The endpoint behind a proxy that passes TLS on and says, before it, who connected."""

from __future__ import annotations

import ipaddress
import logging
import socket
import ssl
from typing import TYPE_CHECKING

import pytest

from reconciler.core.setting_values import RateLimit
from reconciler.web.server import listener
from reconciler.web.server.proxy_protocol import LOCAL
from tests.support.commands.in_process import Quick
from tests.support.gateways.web_server import Parts, Running, serving
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
ELSEWHERE = (ipaddress.ip_network("10.0.0.0/8"),)
FROM_A = b"PROXY TCP4 198.51.100.7 127.0.0.1 50123 8443\r\n"
FROM_B = b"PROXY TCP4 198.51.100.8 127.0.0.1 50123 8443\r\n"


@pytest.fixture
def proxied(web_parts: Parts) -> Iterator[Running]:
    with serving(web_parts, rate_limit=RateLimit(0.001, 2), trusted_proxies=LOOPBACK) as server:
        yield server


def ask(running: Running, header: bytes, path: str = "/federation/v1/crl") -> int:
    """Return the status of one request over a connection that begins with `header`."""
    with socket.create_connection(("127.0.0.1", running.port), timeout=PATIENCE_S) as raw:
        raw.sendall(header)
        with running.tls.wrap_socket(raw, server_hostname="127.0.0.1") as connection:
            head = f"GET {path} HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.1\r\n\r\n"
            connection.sendall(head.encode())
            return int(connection.recv(4096).split()[1])


def test_each_client_behind_the_proxy_has_a_limit_of_its_own(proxied: Running) -> None:
    # what a client says of itself, within TLS, changes nothing
    assert [ask(proxied, FROM_A) for _ in range(3)][2] == 429
    assert ask(proxied, FROM_B) != 429
    assert ask(proxied, LOCAL, "/healthz") == 200


def test_the_log_names_the_client(proxied: Running, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "reconciler.web.middleware"):
        ask(proxied, FROM_A)
        wait_until(lambda: "from 198.51.100.7" in caplog.text, "the line, which follows the answer")


def test_a_proxy_that_says_nothing_is_hung_up_on_and_named(
    proxied: Running, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(OSError), proxied.connect():  # noqa: PT011 - reset, or an early end of TLS
        pass
    why = "closed the connection of the proxy 127.0.0.1: the connection does not begin with"
    wait_until(lambda: why in caplog.text, "the line in the log")
    assert ask(proxied, FROM_B) != 429


def test_who_is_no_proxy_speaks_for_nobody(web_parts: Parts) -> None:
    with serving(web_parts, trusted_proxies=ELSEWHERE) as running:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            ask(running, FROM_A)
        assert ask(running, b"", "/healthz") == 200


def test_a_header_that_never_ends_holds_nobody_up(
    web_parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "HANDSHAKE_S", 3.0)
    with serving(web_parts, trusted_proxies=LOOPBACK) as running:
        with socket.create_connection(("127.0.0.1", running.port), timeout=PATIENCE_S) as slow:
            slow.sendall(FROM_A[:20])
            assert ask(running, FROM_A, "/healthz") == 200
            assert slow.recv(1) == b""
        with socket.create_connection(("127.0.0.1", running.port), timeout=PATIENCE_S) as slow:
            slow.sendall(FROM_A[:20])
            assert ask(running, FROM_A, "/healthz") == 200
            running.stop()


def test_health_speaks_as_the_proxy_on_its_machine_does(
    proxied: Running, web_parts: Parts, tmp_path: Path
) -> None:
    (tmp_path / "roots.pem").write_text("".join(web_parts.roots))
    shell = Quick(tmp_path, {"MOSAIC_CA_ROOT": "roots.pem"})
    listen = ("--listen", f"127.0.0.1:{proxied.port}")
    proxies = {"MOSAIC_TRUSTED_PROXIES": "127.0.0.0/8"}
    assert shell.ok("health", *listen, **proxies, MOSAIC_PROXY_PROTOCOL="true").out == "ready\n"
    assert shell("health", *listen, **proxies).code == 1
