"""The server's certificate: from our own CA, kept, and renewed while it serves."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from starlette.responses import Response

from reconciler.core.model.backoff import Backoff
from reconciler.core.model.origin import server_names
from reconciler.crypto.certificates import read_certificate
from reconciler.crypto.csr import make_csr
from reconciler.crypto.keys import generate_key
from reconciler.errors import Retry
from reconciler.web.limits import Capacity, Limits
from reconciler.web.server import certificate as certificates
from reconciler.web.server.certificate import ServerCertificate
from reconciler.web.server.server import Server
from tests.support.gateways.step_ca import Authority, authority
from tests.support.gateways.web_server import ANY_PORT, UNLIMITED, Parts, Running, serving
from tests.support.waiting import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.types import Receive, Scope, Send

NO_LIMITS = Limits(Capacity(), UNLIMITED)


async def down(csr_pem: str, names: tuple[str, ...], lifetime: timedelta) -> tuple[str, ...]:
    raise Retry("ca_unavailable", "down")


def serial_of(running: Running) -> str:
    with running.connect() as connection:
        der = connection.getpeercert(binary_form=True)
        assert der is not None
        return read_certificate(ssl.DER_cert_to_PEM_cert(der)).serial


def test_the_certificate_is_of_our_ca_and_names_where_we_are_reached(running: Running) -> None:
    with running.connect() as connection:
        der = connection.getpeercert(binary_form=True)
        assert der is not None
        facts = read_certificate(ssl.DER_cert_to_PEM_cert(der))
        assert connection.version() == "TLSv1.3"
        assert connection.selected_alpn_protocol() == "http/1.1"
    assert set(facts.general_names) == {"ip:127.0.0.1", "dns:localhost"}
    assert facts.not_after - facts.not_before <= timedelta(hours=24, minutes=2)


def test_tls_before_1_2_is_refused(running: Running) -> None:
    running.tls.maximum_version = ssl.TLSVersion.TLSv1_2
    with running.connect() as connection:
        assert connection.version() == "TLSv1.2"
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        running.tls.minimum_version = running.tls.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        running.connect()


def test_a_renewed_certificate_is_served_to_new_connections_while_old_ones_go_on(
    running: Running,
) -> None:
    before = serial_of(running)
    with running.client() as client:
        assert client.get("/healthz").status_code == 200
        running.wait_for(running.certificate.renew())
        assert client.get("/healthz").status_code == 200
    assert serial_of(running) != before


def test_a_certificate_is_renewed_at_two_thirds_of_its_life_through_failures(
    web_parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(certificates, "LONGEST_SLEEP_S", 0.05)
    monkeypatch.setattr(
        certificates, "BACKOFF", Backoff(timedelta(seconds=0.01), timedelta(minutes=1))
    )
    ahead, signed, refused, looks = timedelta(), 0, 0, 0

    async def run() -> None:
        nonlocal ahead
        ca = web_parts.ca()

        async def sign(
            csr_pem: str, names: tuple[str, ...], lifetime: timedelta
        ) -> tuple[str, ...]:
            nonlocal signed, refused
            if signed and refused < 3:
                refused += 1
                raise Retry("ca_unavailable", "down")
            signed += 1
            return await ca.sign_server(csr_pem, names, lifetime)

        def clock() -> datetime:
            nonlocal looks
            looks += 1
            return datetime.now(UTC) + ahead

        certificate = ServerCertificate(sign, ("localhost",), web_parts.roots, clock=clock)
        await certificate.obtain()
        keeping = asyncio.create_task(certificate.keep())
        ahead = timedelta(hours=15)
        looks_before = looks
        await asyncio.to_thread(
            wait_until, lambda: looks > looks_before + 2, "it has looked at the clock"
        )
        assert (signed, refused) == (1, 0)
        ahead = timedelta(hours=16, minutes=1)
        await asyncio.to_thread(wait_until, lambda: signed >= 2, "it is renewed")
        assert refused == 3
        keeping.cancel()
        await ca.aclose()

    asyncio.run(run())


def test_a_restart_serves_the_kept_certificate_while_the_ca_is_down(
    web_parts: Parts, tmp_path: Path
) -> None:
    cache = tmp_path / "server.pem"
    with serving(web_parts, cache=cache) as running:
        serial = serial_of(running)
    assert cache.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["server.pem"]

    async def obtained(names: tuple[str, ...], longest_s: float) -> bool:
        certificate = ServerCertificate(down, names, web_parts.roots, cache=cache)
        obtaining = asyncio.create_task(certificate.obtain())
        done, _ = await asyncio.wait({obtaining}, timeout=longest_s)
        obtaining.cancel()
        return bool(done)

    assert asyncio.run(obtained(("127.0.0.1", "localhost"), PATIENCE_S))
    assert not asyncio.run(obtained(("another.example",), 0.5))
    with serving(web_parts, cache=cache) as running:
        assert serial_of(running) == serial
    text = cache.read_text()
    cache.write_text(text[: len(text) // 2])
    with serving(web_parts, cache=cache) as running:
        assert serial_of(running) != serial


def test_the_port_stays_closed_until_the_ca_signs_and_stop_ends_the_waiting(
    web_parts: Parts,
) -> None:
    async def run() -> None:
        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            raise AssertionError

        event = asyncio.Event()

        async def sign(
            csr_pem: str, names: tuple[str, ...], lifetime: timedelta
        ) -> tuple[str, ...]:
            event.set()
            return await down(csr_pem, names, lifetime)

        waiting = Server(
            app, ANY_PORT, ServerCertificate(sign, ("localhost",), web_parts.roots), NO_LIMITS
        )
        serving_it = asyncio.create_task(waiting.run())
        await asyncio.wait_for(event.wait(), PATIENCE_S)
        assert not waiting.started.is_set()
        await asyncio.wait_for(waiting.stop(), PATIENCE_S)
        await serving_it

    asyncio.run(run())


@pytest.mark.parametrize(
    ("public_url", "host", "names"),
    [
        ("https://127.0.0.1:8443", "127.0.0.1", ("127.0.0.1", "localhost")),
        ("https://gw.example", "0.0.0.0", ("gw.example", "localhost")),
        ("https://[::1]:8443", "::", ("::1", "localhost")),
        ("https://[2001:DB8:0::1]", "Localhost", ("2001:db8::1", "localhost")),
    ],
)
def test_the_names_of_the_certificate(public_url: str, host: str, names: tuple[str, ...]) -> None:
    assert server_names((public_url,), (host, 8443)) == names


def test_an_expired_or_foreign_certificate_of_the_ca_is_not_served(web_parts: Parts) -> None:
    async def run() -> None:
        ca = web_parts.ca()

        async def other_key(
            csr_pem: str, names: tuple[str, ...], lifetime: timedelta
        ) -> tuple[str, ...]:
            return await ca.sign_server(make_csr(generate_key()), names, lifetime)

        certificate = ServerCertificate(other_key, ("localhost",), web_parts.roots)
        with pytest.raises(Retry, match="another key"):
            await certificate.renew()
        foreign = ServerCertificate(ca.sign_server, ("localhost",), ())
        with pytest.raises(Retry, match="pinned root"):
            await foreign.renew()
        await ca.aclose()

    asyncio.run(run())


def test_the_port_opens_once_a_ca_that_was_down_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(
        certificates, "BACKOFF", Backoff(timedelta(seconds=0.1), timedelta(minutes=1))
    )

    async def run(ca: Authority) -> None:
        ca.stop()
        client = ca.client()
        certificate = ServerCertificate(client.sign_server, ("localhost",), ca.roots)
        server = Server(Response("ok"), ANY_PORT, certificate, NO_LIMITS)
        running = asyncio.create_task(server.run())
        await asyncio.to_thread(wait_until, lambda: caplog.messages, "it is told of the CA")
        assert not server.started.is_set()
        await asyncio.to_thread(ca.start)
        await asyncio.wait_for(server.started.wait(), PATIENCE_S)
        await server.stop()
        await running
        await client.aclose()

    with authority(tmp_path) as ca:
        asyncio.run(run(ca))
    assert "no new server certificate (ca_unavailable: " in caplog.text
    assert "the port opens when there is one" in caplog.text
