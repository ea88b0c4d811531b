"""The PROXY header, as octets: who it names, what is none, and that no more is read than it."""

from __future__ import annotations

import asyncio

import pytest

from reconciler.web.server.proxy_protocol import read_source

HELLO = b"\x16\x03\x01"  # what comes next belongs to TLS
V2 = b"\r\n\r\n\x00\r\nQUIT\n"
IPV4 = bytes([198, 51, 100, 7, 10, 0, 0, 1]) + (50123).to_bytes(2, "big") + b"\x20\xfb"
IPV6 = bytes.fromhex("20010db8" + "0" * 22 + "07" + "0" * 32) + b"\x00\x50\x20\xfb"


def source_of(octets: bytes) -> tuple[tuple[str, int] | None, bytes]:
    """Return what the header names, and the octets that were left alone."""
    left = bytearray(octets)

    async def read(size: int) -> bytes:
        if len(left) < size:
            raise ConnectionResetError
        part = bytes(left[:size])
        del left[:size]
        return part

    return asyncio.run(read_source(read)), bytes(left)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"PROXY TCP4 198.51.100.7 10.0.0.1 50123 8443\r\n", ("198.51.100.7", 50123)),
        (b"PROXY TCP6 2001:db8::7 ::1 80 8443\r\n", ("2001:db8::7", 80)),
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY UNKNOWN ffff::1 ffff::1 65535 65535\r\n", None),
        (V2 + b"\x21\x11\x00\x0c" + IPV4, ("198.51.100.7", 50123)),
        (V2 + b"\x21\x11\x00\x10" + IPV4 + b"\x04\x00\x01a", ("198.51.100.7", 50123)),  # a TLV
        (V2 + b"\x21\x21\x00\x24" + IPV6, ("2001:db8::7", 80)),
        (V2 + b"\x20\x00\x00\x00", None),  # LOCAL: the proxy's own health check
        (V2 + b"\x20\x11\x00\x0c" + IPV4, None),
        (V2 + b"\x21\x00\x00\x00", None),  # not told
        (V2 + b"\x21\x31\x00\xd8" + bytes(216), None),  # a UNIX socket
    ],
)
def test_a_header_names_the_client_and_nothing_after_it_is_read(
    header: bytes, expected: tuple[str, int] | None
) -> None:
    assert source_of(header + HELLO) == (expected, HELLO)


@pytest.mark.parametrize(
    "octets",
    [
        HELLO * 10,
        b"GET / HTTP/1.1\r\n\r\n",
        b"PROXY TCP4 2001:db8::7 ::1 80 8443\r\n",
        b"PROXY TCP4 198.51.100.777 10.0.0.1 1 1\r\n",
        b"PROXY TCP4 198.51.100.7\r\n",
        b"PROXY UDP4 198.51.100.7 10.0.0.1 1 1\r\n",
        b"PROXY TCP4 \xff\xfe 10.0.0.1 1 1\r\n",
        b"PROXY " + b"a" * 200 + b"\r\n",
        V2 + b"\x31\x11\x00\x0c" + IPV4,  # a version that does not exist
        V2 + b"\x22\x11\x00\x0c" + IPV4,  # a command that does not exist
        V2 + b"\x21\x21\x00\x0c" + IPV4,  # too short for the family that it names
    ],
)
def test_what_is_no_header_is_refused(octets: bytes) -> None:
    with pytest.raises(ValueError, match=r"PROXY|address"):
        source_of(octets)
