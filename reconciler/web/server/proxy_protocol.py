"""The PROXY protocol (haproxy.org, "The PROXY protocol, versions 1 & 2"): who a proxy speaks for.

A proxy that passes TLS on cannot add a header to a request; it says who connected to it in octets
before the first of TLS. Nothing is read beyond them: what follows is the client's.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from reconciler.core.model.origin import Address

MAX_V1: Final = 107  # octets of a line, with its end (section 2.1)
LOCAL: Final = b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"  # the header of who speaks for itself

_SIGNATURE: Final = LOCAL[:12]
_V1: Final = re.compile(r"PROXY TCP([46]) (\S+) \S+ ([0-9]{1,5}) [0-9]{1,5}", re.ASCII)
_LOCAL, _PROXY = 0x20, 0x21  # version 2 and its command (section 2.2)
_SIZES: Final = {0x11: 4, 0x21: 16}  # octets of an address of TCP over IPv4, over IPv6


async def read_source(read: Callable[[int], Awaitable[bytes]]) -> Address | None:
    """Return the client that a PROXY header names; None where it speaks for the proxy itself.

    `read` returns exactly so many octets.

    Raises:
        ValueError: what came is no such header.
    """
    start = await read(len(_SIGNATURE))
    if start == _SIGNATURE:
        return await _read_v2(read)
    if start.startswith(b"PROXY "):
        return await _read_v1(start, read)
    raise ValueError("the connection does not begin with a PROXY header")


async def _read_v1(line: bytes, read: Callable[[int], Awaitable[bytes]]) -> Address | None:
    while not line.endswith(b"\r\n"):
        if len(line) >= MAX_V1:
            raise ValueError(f"a PROXY line of more than {MAX_V1} octets")
        line += await read(1)
    text = line[:-2].decode("ascii", "replace")
    if text.split()[1:2] == ["UNKNOWN"]:
        return None
    match = _V1.fullmatch(text)
    if match is None:
        raise ValueError(f"a PROXY line that cannot be read: {text!r}")
    address = ipaddress.ip_address(match[2])
    if address.version != int(match[1]):
        raise ValueError(f"a PROXY line that names an address of another family: {text!r}")
    return str(address), int(match[3])


async def _read_v2(read: Callable[[int], Awaitable[bytes]]) -> Address | None:
    command, family, *length = await read(4)
    body = await read(int.from_bytes(bytes(length), "big"))
    if command == _LOCAL:
        return None
    if command != _PROXY:
        raise ValueError(f"a PROXY header of version and command 0x{command:02x}")
    size = _SIZES.get(family)
    if size is None:  # a UNIX socket, UDP, or not told
        return None
    if len(body) < 2 * size + 4:
        raise ValueError("a PROXY header that is too short for its addresses")
    source = ipaddress.ip_address(body[:size])
    return str(source), int.from_bytes(body[2 * size : 2 * size + 2], "big")
