"""Where an endpoint is: an https origin (RFC 6454), in the one spelling that certificates know.

A setting of such a URL is fixed in certificates and revocation lists, so what no certificate can
be made for, and what peers would spell in another way, is refused or rewritten here.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from urllib.parse import SplitResult

Address = tuple[str, int]  # host and port

EXPECTED: Final = "expected https://host or https://host:port, and nothing after it"
HTTPS_PORT: Final = 443
MAX_NAME: Final = 253  # octets of a DNS name as text, RFC 1035 3.1
MAX_COMMON_NAME: Final = 64  # characters, RFC 5280 appendix A: ub-common-name

# underscores are no host name's (RFC 952), but containers' names have them, and TLS takes them
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)


def read_origin(text: str) -> str:
    """Return an https origin in its one spelling; raise `ValueError`, saying why it is none.

    The host is in lower case, without a dot at its end, an international name as A-labels (IDNA
    2008, RFC 5891), an IPv6 address as RFC 5952 has it. Port 443 goes without saying.
    """
    if not text.isprintable() or " " in text or "\\" in text:  # urlsplit drops some in silence
        raise ValueError(f"it holds a space, a backslash or a control character; {EXPECTED}")
    try:
        parts = urlsplit(text)
        host = parts.hostname
    except ValueError:
        raise ValueError(f"its host is malformed; {EXPECTED}") from None
    if parts.scheme != "https" or not host:
        raise ValueError(EXPECTED)
    extra = {
        "a user or a password": "@" in parts.netloc,
        "a path": parts.path not in ("", "/"),
        "a query": "?" in text,
        "a fragment": "#" in text,
    }
    for what, present in extra.items():
        if present:
            raise ValueError(f"it holds {what}; {EXPECTED}")
    port = _port(parts)
    spelled = f"[{_ipv6(host)}]" if "[" in parts.netloc else _name(host)
    return f"https://{spelled}" + ("" if port in (None, HTTPS_PORT) else f":{port}")


def _port(parts: SplitResult) -> int | None:
    try:
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError(f"its port is not one of 1 to 65535; {EXPECTED}")
    return port


def address_of(origin: str) -> Address:
    """Return host and port of an https origin."""
    parts = urlsplit(origin)
    return parts.hostname or "", parts.port or HTTPS_PORT


def origin_at(address: Address) -> str:
    """Return the https origin of host and port, unread."""
    return f"https://{address_text(address)}"


def address_text(address: Address) -> str:
    """Return host and port as a URL has them: an IPv6 address in brackets."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def server_names(origins: tuple[str, ...], listen: Address) -> tuple[str, ...]:
    """Return the names of the endpoint's certificate: public hosts first, then the local ones.

    The first is its common name, which has room for `MAX_COMMON_NAME` characters.
    """
    hosts = (*(address_of(origin)[0] for origin in origins), listen[0], "localhost")
    names = tuple(dict.fromkeys(filter(None, map(_as_certified, hosts))))
    return tuple(sorted(names, key=lambda name: len(name) > MAX_COMMON_NAME))


def _as_certified(host: str) -> str:
    """Return a host as certificates spell it; empty for one that names no machine (`0.0.0.0`)."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower()
    return "" if address.is_unspecified else str(address)


def _ipv6(host: str) -> str:
    try:
        address = ipaddress.IPv6Address(host)
    except ValueError:
        raise ValueError(f"{host!r} is not an IPv6 address") from None
    if address.scope_id is not None:
        raise ValueError("an address with a zone (%) is valid only on this machine")
    if address.ipv4_mapped is not None:
        raise ValueError(f"write the IPv4 address that it stands for: {address.ipv4_mapped}")
    return str(_reachable(address))


def _name(host: str) -> str:
    if host.startswith("*"):
        raise ValueError("a wildcard is not the address of a host")
    name = _mapped(host).removesuffix(".")
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        try:
            return str(_reachable(ipaddress.IPv4Address(name)))
        except ipaddress.AddressValueError:
            raise ValueError(f"{name!r} is not an IPv4 address") from None
    spelled = ".".join(map(_label, labels))
    if len(spelled) > MAX_NAME:
        raise ValueError(f"its name has {len(spelled)} characters, expected up to {MAX_NAME}")
    return spelled


def _reachable(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    if address.is_unspecified or address.is_multicast:
        raise ValueError(f"nobody can connect to {address}: name the address that peers use")
    return address


def _mapped(host: str) -> str:
    """Return a host in lower case, and its other letters as UTS 46 maps them."""
    if host.isascii():
        return host.lower()
    import idna  # noqa: PLC0415  # its tables take longer to load than most commands run

    try:
        return idna.uts46_remap(host, std3_rules=False, transitional=False)
    except idna.IDNAError as error:
        raise ValueError(f"its host is not an international name: {error}") from None


def _label(label: str) -> str:
    if label.isascii() and not label.startswith("xn--"):
        if not _LABEL.fullmatch(label):
            raise ValueError(
                f"{label!r} is not a label of a host name (1 to 63 of a-z, 0-9, - and _)"
            )
        return label
    import idna  # noqa: PLC0415  # as above

    try:
        return idna.alabel(label).decode()
    except idna.IDNAError as error:
        raise ValueError(f"{label!r} is not a label of an international name: {error}") from None
