"""URLs of settings: the one spelling that certificates and peers know, or words."""

from __future__ import annotations

import re
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.model.origin import MAX_COMMON_NAME, read_origin, server_names

LONG: Final = "a" * 63


@pytest.mark.parametrize(
    ("written", "spelled"),
    [
        ("https://müller.example:8443", "https://xn--mller-kva.example:8443"),
        ("https://MÜLLER.example", "https://xn--mller-kva.example"),
        ("https://XN--MLLER-KVA.example", "https://xn--mller-kva.example"),
        ("https://straße.example", "https://xn--strae-oqa.example"),
        ("https://faß。example", "https://xn--fa-hia.example"),
        ("https://\uff11\uff12\uff17.0.0.1", "https://127.0.0.1"),
        ("HTTPS://Gateway.Example/", "https://gateway.example"),
        ("https://gateway.example.", "https://gateway.example"),
        ("https://gateway.example:443", "https://gateway.example"),
        ("https://gateway.example:0443", "https://gateway.example"),
        ("https://gateway.example:", "https://gateway.example"),
        ("https://my_gateway:8443", "https://my_gateway:8443"),
        ("https://[0:0::1]:8443", "https://[::1]:8443"),
        ("https://[2001:DB8::1]", "https://[2001:db8::1]"),
        (f"https://{LONG}.example", f"https://{LONG}.example"),
    ],
)
def test_an_origin_is_written_in_its_one_spelling(written: str, spelled: str) -> None:
    assert read_origin(written) == spelled
    assert read_origin(spelled) == spelled


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("https://*.example", "wildcard"),
        ("https://gateway.example/prefix", "a path"),
        ("https://gateway.example?x", "a query"),
        ("https://gateway.example?", "a query"),
        ("https://gateway.example#", "a fragment"),
        ("https://user@gateway.example", "a user or a password"),
        ("https://user:secret@gateway.example", "a user or a password"),
        ("https://gateway.example:0", "1 to 65535"),
        ("https://gateway.example:65536", "1 to 65535"),
        ("https://gateway.example:+1", "1 to 65535"),
        ("https://gateway.example:८443", "1 to 65535"),
        ("http://gateway.example", "expected https://host"),
        ("gateway.example", "expected https://host"),
        ("https://", "expected https://host"),
        ("", "expected https://host"),
        ("https://a b.example", "a space"),
        ("https://a\tb.example", "control character"),
        ("https://a\\b.example", "a backslash"),
        ("https://a%20b.example", "'a%20b' is not a label"),
        ("https://-a.example", "'-a' is not a label"),
        ("https://a..example", "'' is not a label"),
        (f"https://{LONG}a.example", "is not a label"),
        ("https://" + ".".join([LONG] * 3 + ["b" * 62]), "254 characters, expected up to 253"),
        ("https://" + "ü" * 60 + ".example", "Label too long"),
        ("https://xn--zzzz.example", "is not a label of an international name"),
        ("https://☃.example", "is not a label of an international name"),
        ("https://a\u2044b.example", "is not a label of an international name"),
        ("https://127.1", "not an IPv4 address"),
        ("https://2130706433", "not an IPv4 address"),
        ("https://0x7f.1", "not an IPv4 address"),
        ("https://0.0.0.0:8443", "nobody can connect"),
        ("https://[::]:8443", "nobody can connect"),
        ("https://[::ffff:192.0.2.1]", "the IPv4 address that it stands for: 192.0.2.1"),
        ("https://[fe80::1%25eth0]", "a zone"),
        ("https://[v1.x]", "not an IPv6 address"),
        ("https://[::1", "malformed"),
    ],
)
def test_what_is_no_place_of_a_gateway_is_refused_with_the_reason(
    written: str, reason: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)) as refused:
        read_origin(written)
    assert "secret" not in str(refused.value)


@given(st.text(max_size=80), st.integers(0, 70_000))
def test_whatever_is_written_is_spelled_once_and_for_all_or_refused(host: str, port: int) -> None:
    try:
        spelled = read_origin(f"https://{host}:{port}")
    except ValueError:
        return
    assert spelled.isascii()
    assert read_origin(spelled) == spelled


def test_a_name_that_is_no_common_name_comes_after_one_that_is() -> None:
    long = f"{LONG}.{LONG}.example"
    names = server_names((f"https://{long}", "https://gateway.example"), ("0.0.0.0", 1))
    assert names == ("gateway.example", "localhost", long)
    assert len(names[0]) <= MAX_COMMON_NAME
