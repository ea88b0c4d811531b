"""The client certificate in a request's headers, as a proxy forwards it: strict, or refused.

A proxy sets one of three headers. What is read here decides who somebody is, so one spelling is
accepted of each, and everything else is malformed: a second header, a second certificate, text
around it, a quote that does not close.
"""

from __future__ import annotations

import base64
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

CLIENT_CERT: Final = "client-cert"  # RFC 9440; also HAProxy
X_SSL_CLIENT_CERT: Final = "x-ssl-client-cert"  # nginx
X_FORWARDED_CLIENT_CERT: Final = "x-forwarded-client-cert"  # Envoy

KNOWN: Final = 1024  # texts whose octets are remembered: proxies send the same ones again

_BYTES: Final = re.compile(r":([A-Za-z0-9+/]+={0,2}):", re.ASCII)  # RFC 8941 3.3.5
_ESCAPED: Final = re.compile(r"(?:[!-$&-~]|%[0-9A-Fa-f]{2})+", re.ASCII)
_PEM: Final = re.compile(
    r"-----BEGIN CERTIFICATE-----\r?\n"
    r"((?:[A-Za-z0-9+/]{1,76}\r?\n)*[A-Za-z0-9+/]{1,76}={0,2}\r?\n)"
    r"-----END CERTIFICATE-----(?:\r?\n)?",
    re.ASCII,
)
# A value is quoted if it holds one of `,;="`; `\"` stands for a quote. A backslash before that,
# `\\"`, may end the value or not, depending on who reads it.
_PAIR: Final = re.compile(
    r"[ \t]*(?P<key>[A-Za-z]+)="
    r'(?:"(?P<quoted>(?:[^"\\]|\\(?!\\")[\x20-\x7e])*)"|(?P<bare>[^",;]*))'
    r"(?P<end>[,;]|\Z)",
    re.ASCII,
)


class CertificateMissing(ValueError):
    """No header carries a certificate."""


class CertificateMalformed(ValueError):
    """What arrived is not exactly one certificate in exactly one header."""


def certificate_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return the DER that the headers of a request carry; names are in lower case, as in ASGI.

    Whether the DER is a certificate is not known yet.

    Raises:
        CertificateMissing, CertificateMalformed.
    """
    values = [(_NAMES[name], value) for name, value in headers if name in _NAMES]
    if not values:
        raise CertificateMissing("no header carries a client certificate")
    if len(values) > 1:
        listed = ", ".join(sorted(name for name, _ in values))
        raise CertificateMalformed(f"got {len(values)} client certificates ({listed}), expected 1")
    name, value = values[0]
    try:
        return _READERS[name](value.decode("ascii"))
    except ValueError as error:
        reason = "it is not ASCII" if isinstance(error, UnicodeDecodeError) else error
        raise CertificateMalformed(f"{name} cannot be read: {reason}") from None


@lru_cache(KNOWN)
def _client_cert(text: str) -> bytes:
    match = _BYTES.fullmatch(text)
    if match is None:
        raise ValueError("expected base64 between two colons (RFC 9440)")
    return base64.b64decode(match[1], validate=True)


@lru_cache(KNOWN)
def _escaped_pem(text: str) -> bytes:
    if not _ESCAPED.fullmatch(text):
        raise ValueError("expected URL-encoded PEM")
    match = _PEM.fullmatch(unquote(text, "ascii", "strict"))  # a plus sign is one of base64
    if match is None:
        raise ValueError("expected the URL-encoded PEM of one certificate, and nothing else")
    return base64.b64decode("".join(match[1].split()), validate=True)


def _forwarded(text: str) -> bytes:
    """Return the certificate of the last element, which the nearest proxy added."""
    certificates = [value for key, value in _last_element(text) if key == "Cert"]
    if len(certificates) != 1:
        raise ValueError(f"its last element has {len(certificates)} times Cert=, expected one")
    return _escaped_pem(certificates[0])


def _last_element(text: str) -> list[tuple[str, str]]:
    element: list[tuple[str, str]] = []
    position, end = 0, ";"
    while end:
        match = _PAIR.match(text, position)
        if match is None:
            raise ValueError("expected elements of key=value, with closed quotes")
        if end == ",":
            element = []
        quoted = match["quoted"]
        element.append((match["key"], match["bare"] if quoted is None else quoted))
        position, end = match.end(), match["end"]
    return element


_READERS: Final[Mapping[str, Callable[[str], bytes]]] = {
    CLIENT_CERT: _client_cert,
    X_SSL_CLIENT_CERT: _escaped_pem,
    X_FORWARDED_CLIENT_CERT: _forwarded,
}
_NAMES: Final = {name.encode(): name for name in _READERS}
