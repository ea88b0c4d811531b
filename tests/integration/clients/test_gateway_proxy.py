"""The way to another gateway through an HTTP proxy: only where it is asked for, and by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reconciler.clients.http.destination import proxy_for
from reconciler.core.setting_values import ProxyRules, read_proxy_rules
from reconciler.errors import NeedsEdit
from tests.support.gateways.liar import API, Liar, lying
from tests.support.gateways.questions import CA, as_json, call, connect, refusal, status
from tests.support.ports import free_port
from tests.support.services.connect_proxy import connect_proxy

if TYPE_CHECKING:
    from collections.abc import Iterator

STATUS = f"GET {API}/enroll"


@pytest.fixture
def liar() -> Iterator[Liar]:
    with lying(CA) as liar:
        yield liar


def through(url: str, no_proxy: str = "") -> ProxyRules:
    return read_proxy_rules({"HTTPS_PROXY": url, "NO_PROXY": no_proxy}, used=True)


def test_all_of_it_goes_through_the_proxy_that_the_environment_names(liar: Liar) -> None:
    liar.say(STATUS, as_json({"status": "open", "expiresAt": "2030-01-01T00:00:00Z"}))
    with connect_proxy() as proxy:
        rules = through(proxy.url.replace("//", "//ana:s3cr3t@"))
        assert call(liar, status, rules=rules).status == "open"
        assert set(proxy.targets) == {f"127.0.0.1:{liar.port}"}
        assert len(proxy.targets) == 2, "the first contact, and the verified connection"
        assert set(proxy.credentials) == {"Basic YW5hOnMzY3IzdA=="}
        assert call(liar, connect, rules=rules).proxy == proxy.url


def test_the_proxy_looks_the_name_up(liar: Liar) -> None:
    with connect_proxy() as proxy:
        url = f"https://alpha.invalid:{liar.port}"
        error = refusal(url, status, rules=through(proxy.url))
        assert "certificate does not verify" in error.message, "it is for 127.0.0.1"
        assert proxy.targets[0] == f"alpha.invalid:{liar.port}"


@pytest.mark.parametrize("no_proxy", ["*", "127.0.0.1", "x.example, 127.0.0.0/8"])
def test_what_no_proxy_names_is_reached_directly(liar: Liar, no_proxy: str) -> None:
    with connect_proxy() as proxy:
        call(liar, connect, rules=through(proxy.url, no_proxy))
        assert proxy.targets == []


def test_unless_it_is_asked_for_no_proxy_is_used_and_a_failure_says_so(
    liar: Liar, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connect_proxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        rules = read_proxy_rules({"all_proxy": proxy.url}, used=False)
        call(liar, connect, rules=rules)
        error = refusal(f"https://127.0.0.1:{free_port()}", status, rules=rules)
        assert "a proxy is set (all_proxy)" in error.hint
        assert "MOSAIC_PEER_PROXY=environment" in error.hint
        assert proxy.targets == []


def test_a_proxy_that_refuses_is_quoted(liar: Liar) -> None:
    with connect_proxy("403 Forbidden by policy") as proxy:
        error = refusal(liar, status, rules=through(proxy.url.replace("//", "//ana:s3cr3t@")))
    assert (error.code, "403 Forbidden by policy" in error.message) == ("peer_unreachable", True)
    assert proxy.url in error.hint
    assert "s3cr3t" not in f"{error.message} {error.hint}"


def test_a_proxy_that_is_not_there_is_named(liar: Liar) -> None:
    with connect_proxy() as proxy:
        rules = through(proxy.url)
    error = refusal(liar, status, rules=rules)
    assert "through the proxy" in error.message
    assert proxy.url in error.hint


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "a.localhost.", "127.1", "0x7f000001", "[::1]", "10.0.0.7"]
)
def test_an_address_is_judged_by_its_spelling_though_the_proxy_would_look_it_up(host: str) -> None:
    with connect_proxy() as proxy:
        error = refusal(f"https://{host}:1", status, allow=(), rules=through(proxy.url))
        assert (error.code, proxy.targets) == ("peer_address_refused", [])


@pytest.mark.parametrize("url", ["socks5://127.0.0.1:1", "ftp://x", "http://", "http://[::1"])
def test_what_is_no_http_proxy_is_a_setting_to_correct(url: str) -> None:
    for variable in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        with pytest.raises(NeedsEdit, match=f"^{variable}: got") as caught:
            proxy_for(read_proxy_rules({variable: url}, used=True), "alpha.example", 443)
        assert caught.value.code == "config_invalid"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, None),
        ({"HTTPS_PROXY": ""}, None),
        ({"HTTPS_PROXY": "proxy:3128"}, "http://proxy:3128"),
        ({"HTTPS_PROXY": "http://a", "https_proxy": "http://b"}, "http://b"),
        ({"ALL_PROXY": "http://a"}, "http://a"),
        ({"ALL_PROXY": "http://a", "HTTPS_PROXY": "http://b"}, "http://b"),
        ({"HTTP_PROXY": "http://a"}, None),
    ],
)
def test_the_variables_mean_what_they_mean_to_curl(
    environ: dict[str, str], expected: str | None
) -> None:
    assert read_proxy_rules(environ, used=True).url == expected


@pytest.mark.parametrize(
    ("no_proxy", "host", "direct"),
    [
        ("alpha.example", "alpha.example", True),
        ("alpha.example", "a.alpha.example", True),
        (".example", "alpha.example", True),
        ("alpha.example:8443", "alpha.example", True),
        ("alpha.example:1", "alpha.example", False),
        ("beta.example", "alpha.example", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "alpha.example", False),
        ("fd00::/8", "fd00::7", True),
        ("nonsense/x, alpha.example", "alpha.example", True),
        ("*.example", "alpha.example", True),
        ("ample", "alpha.example", False),
        ("ALPHA.example", "alpha.EXAMPLE.", True),
        ("[::1]:8443", "::1", True),
        ("127.0.0.1:8443", "127.0.0.1", True),
        ("127.0.0.1:1", "127.0.0.1", False),
    ],
)
def test_no_proxy_takes_names_ports_and_networks(no_proxy: str, host: str, direct: bool) -> None:
    assert (proxy_for(through("http://proxy:3128", no_proxy), host, 8443) is None) is direct
