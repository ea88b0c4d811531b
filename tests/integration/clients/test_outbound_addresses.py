"""Where a URL that somebody else wrote may lead: never to a machine of ours, however it is spelled.

A canary listens on every loopback address, and nothing may ever connect to it.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any, Final

import pytest

from reconciler.clients.http.address_rules import may_reach
from reconciler.core.setting_values import ProxyRules, read_proxy_rules
from tests.support.gateways.liar import lying, server_certificate
from tests.support.gateways.questions import CA, QUICK, call, connect, refusal, status
from tests.support.ports import free_port
from tests.support.services.connect_proxy import connect_proxy
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DIRECT: Final = ProxyRules()
REFUSED: Final = ("peer_address_refused", "invitation_invalid")
REACHED_LOOPBACK: Final = ip_network("127.0.0.1/32")


def _wide(text: str) -> str:
    """Return ASCII as its full-width forms, which IDNA 2003 maps back (UTS 46)."""
    return "".join(chr(ord(each) + 0xFEE0) for each in text)


SPELLINGS: Final = (
    # IPv4, as inet_aton(3) and browsers read it
    *("127.0.0.1", "127.1", "127.0.1", "2130706433", "017700000001", "0x7f000001", "0X7F000001"),
    *("0177.0.0.1", "0177.0.0.01", "0x7f.0.0.1", "0x7f.0x0.0x0.0x1", "0x7f.1", "127.0x1"),
    *(
        "00000177.0.0.1",
        "0x0000007f.0.0.1",
        "127.000.000.001",
        "127.0.0.1.",
        "127.0.0.1..",
        "127.1.",
    ),
    *("127.255.255.254", "127.0.0.2", "0", "0.0.0.0", "0x0", "00", "0.", "0.0.0.0."),
    # IPv6 that is loopback, and every form that holds an IPv4 address
    *("[::1]", "[0:0:0:0:0:0:0:1]", "[0000:0000:0000:0000:0000:0000:0000:0001]", "[::0001]"),
    *("[::]", "[::0.0.0.1]", "[::127.0.0.1]", "[::7f00:1]", "[::7F00:1]"),
    *("[::ffff:127.0.0.1]", "[::FFFF:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]"),
    *("[::ffff:0:127.0.0.1]", "[::ffff:0:7f00:1]", "[0:0:0:0:ffff:0:7f00:1]"),
    *("[64:ff9b::127.0.0.1]", "[64:ff9b::7f00:1]", "[64:ff9b::a9fe:a9fe]", "[64:ff9b:1::7f00:1]"),
    *("[64:ff9b:1:7f00:0:100::]", "[64:ff9b:1::8.8.8.8]", "[64:ff9b:0:1::7f00:1]"),
    *("[2002:7f00:1::]", "[2002:7f00:1::1]", "[2001:0:7f00:1::]", "[2001:0:808:808::80ff:fffe]"),
    *("[2600::5efe:127.0.0.1]", "[2600::200:5efe:7f00:1]", "[fe80::5efe:7f00:1]"),
    # of this link, this site, this machine
    *("[fe80::1]", "[fe80::1%25lo]", "[fe80::1%lo]", "[fe80::1%1]", "[::1%25lo]", "[::1%lo]"),
    *("[2600::1%25lo]", "[fec0::1]", "[fc00::1]", "[fd00:ec2::254]", "[ff02::1]", "[100::1]"),
    *("[2001:db8::1]", "[3fff::1]", "[5f00::1]", "[3ffe::1]", "[2001:2::1]", "[2001:10::1]"),
    *("localhost", "LOCALHOST", "LocalHost.", "localhost..", "a.localhost", "a.b.LOCALHOST."),
    # what some parser takes for one of them
    *("%31%32%37.0.0.1", "127%2e0.0.1", "127.0.0.1%00.example", "127.0.0.1%2f.example"),
    *("%6cocalhost", "localhost%2e", "[::1]%2f", "127.0.0.1%20", "127.0.0.1 .example"),
    *(_wide("127.0.0.1"), f"{_wide('127')}.0.0.1", "127。0。0。1", "127｡0｡0｡1", "①②⑦.0.0.1"),
    *(_wide("localhost"), "ⓛocalhost", "loc\u00adalhost", "127.0.0.1\u200b", "\u0660.0.0.0"),
    *("0x7f.0.0.zz.1", "0x7f.1."),
    *("alpha.example@127.0.0.1", "alpha.example\\@127.0.0.1", "127.0.0.1#.example", "::1"),
    *("127.0.0.1?.example", "127..1", ".127.0.0.1", "127.0.0.1,alpha.example", "127.0.0.256"),
    # other machines of ours
    *("10.0.0.7", "172.16.0.1", "192.168.1.1", "169.254.169.254", "2852039166", "0xa9fea9fe"),
    *("0251.0376.0251.0376", "100.100.100.200", "192.0.0.192", "168.63.129.16", "198.18.0.1"),
    *("192.0.2.1", "198.51.100.1", "203.0.113.1", "192.88.99.1", "224.0.0.1", "240.0.0.1"),
)


@dataclass
class Canary:
    """What listens where nobody may come, and who came."""

    port: int
    visits: list[str] = field(default_factory=list)


@contextmanager
def canary_on(*addresses: str) -> Iterator[Canary]:
    canary = Canary(free_port())
    with ExitStack() as stack:
        listeners = [stack.enter_context(_listen(address, canary.port)) for address in addresses]
        threads = [threading.Thread(target=_accept, args=(each, canary)) for each in listeners]
        for thread in threads:
            thread.start()
        yield canary
        for listener in listeners:
            listener.shutdown(socket.SHUT_RDWR)  # wakes accept(2)
        for thread in threads:
            thread.join(PATIENCE_S)


def _listen(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return socket.create_server((address, port), family=family)


def _accept(listener: socket.socket, canary: Canary) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            canary.visits.append(str(listener.getsockname()[0]))


@pytest.fixture(scope="module")
def canary() -> Iterator[Canary]:
    with canary_on("0.0.0.0", "::1") as canary:
        yield canary


@pytest.fixture(scope="module")
def proxy_rules() -> Iterator[ProxyRules]:
    """Rules of a proxy that reaches whatever it is asked for."""
    with connect_proxy() as proxy:
        yield read_proxy_rules({"HTTPS_PROXY": proxy.url}, used=True)
        assert proxy.targets == [], "the proxy was asked for none of them"


def test_there_are_eighty_spellings() -> None:
    assert len(set(SPELLINGS)) == len(SPELLINGS) >= 80


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_no_spelling_of_an_address_of_ours_is_called(
    canary: Canary, proxy_rules: ProxyRules, monkeypatch: pytest.MonkeyPatch, spelling: str
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", _no_lookup)
    for rules in (DIRECT, proxy_rules):
        error = refusal(f"https://{spelling}:{canary.port}", connect, allow=(), rules=rules)
        assert error.code in REFUSED, error.message
        assert error.message.isprintable()
    assert canary.visits == []


def _no_lookup(host: Any, *_: object, **__: object) -> Any:
    raise AssertionError(f"{host!r} was looked up")


@pytest.mark.parametrize(
    "name",
    *[("localhost.localdomain", "ip6-localhost", "db", "alpha.local", "metadata.google.internal")],
)
def test_a_proxy_is_not_asked_for_a_name_of_this_site(proxy_rules: ProxyRules, name: str) -> None:
    error = refusal(f"https://{name}", status, allow=(), rules=proxy_rules)
    assert error.code == "peer_address_refused"
    assert "NO_PROXY" in error.hint


@pytest.mark.parametrize(
    "answers",
    [
        ["127.0.0.1"],
        ["8.8.8.8", "127.0.0.1"],
        ["127.0.0.1", "8.8.8.8"],
        ["::ffff:0:7f00:1"],
        ["fe80::1%lo"],
    ],
)
def test_a_name_that_has_one_address_of_ours_is_called_at_none(
    canary: Canary, monkeypatch: pytest.MonkeyPatch, answers: list[str]
) -> None:
    _resolve_to(monkeypatch, answers)
    error = refusal(f"https://mixed.example:{canary.port}", connect, allow=())
    assert error.code == "peer_address_refused"
    assert canary.visits == []


def test_a_name_that_resolves_to_something_else_later_is_called_where_it_was_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with ExitStack() as stack:
        honest = stack.enter_context(lying(CA, "rebind.example"))
        other = stack.enter_context(socket.create_server(("127.0.0.2", honest.port)))
        other.settimeout(0)
        lookups = _resolve_to(monkeypatch, ["127.0.0.1"], ["127.0.0.2"])
        call(f"https://rebind.example:{honest.port}", connect, allow=(REACHED_LOOPBACK,))
        with pytest.raises(BlockingIOError):
            other.accept()
    assert (len(lookups), len(honest.heard)) == (1, 2), "two connections, and one lookup"


def _resolve_to(monkeypatch: pytest.MonkeyPatch, *answers: list[str]) -> list[object]:
    """Let every name have the first addresses, then the second, and so on."""
    lookups: list[object] = []

    def resolve(host: object, port: int, *_: object, **__: object) -> Any:
        if str(host) in ("127.0.0.1", "127.0.0.2"):  # a connection
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))]
        lookups.append(host)
        chosen = answers[min(len(lookups), len(answers)) - 1]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in chosen]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return lookups


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.0.0.7", "10.0.0.0/8"),
        ("::ffff:10.0.0.7", "10.0.0.0/8"),
        ("fd00::7", "fd00::/8"),
        ("fe80::7%lo", "fe80::/10"),
        ("64:ff9b:1::a00:7", "64:ff9b:1::/48"),
    ],
)
def test_what_is_allowed_may_be_called(address: str, network: str) -> None:
    assert may_reach(ip_address(address), (ip_network(network),))
    assert not may_reach(ip_address(address), ())


@pytest.mark.parametrize("address", ["64:ff9b::7f00:1", "::127.0.0.1", "2002:7f00:1::"])
def test_to_allow_loopback_allows_no_tunnel_to_it(address: str) -> None:
    assert not may_reach(ip_address(address), (ip_network("127.0.0.0/8"),))


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "8.8.8.8", "192.31.196.1", "223.255.255.255", "2606:4700::1111", "2a00::1"],
)
def test_what_is_global_may_be_called(address: str) -> None:
    assert may_reach(ip_address(address), ())


@pytest.mark.parametrize(
    "endless",
    [
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n",
        b"X-Header: more\r\n",
        b"x",
        b"",
    ],
    ids=["continue", "hints", "headers", "garbage", "silence"],
)
def test_an_answer_that_never_begins_ends_in_time(tmp_path: Path, endless: bytes) -> None:
    head = b"HTTP/1.1 200 OK\r\n" if endless.startswith(b"X-") else b""
    with _streaming(tmp_path, head, endless) as port:
        began = time.monotonic()
        error = refusal(f"https://127.0.0.1:{port}", connect)
        assert error.code == "peer_unreachable"
        assert time.monotonic() - began < QUICK.total_s + QUICK.connect_s + PATIENCE_S / 10


@contextmanager
def _streaming(folder: Path, head: bytes, endless: bytes) -> Iterator[int]:
    """Answer with `head`, then with `endless` for ever."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (folder / "server.pem").write_bytes(server_certificate(CA, "127.0.0.1"))
    context.load_cert_chain(folder / "server.pem")

    def stream() -> None:
        raw, _ = listener.accept()
        try:
            with context.wrap_socket(raw, server_side=True) as connection:
                connection.settimeout(PATIENCE_S)
                connection.recv(4096)
                connection.sendall(head)
                while endless:
                    connection.sendall(endless)
                connection.recv(4096)
        except OSError:
            pass  # the client has hung up, as it should

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=stream)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
