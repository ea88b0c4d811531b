"""Who may ask the private listener: the token, and the host names that it answers to."""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from reconciler.web.private.problems import HOST_UNKNOWN, UNAUTHENTICATED, Denied

if TYPE_CHECKING:
    from collections.abc import Sequence

    Fields = Sequence[tuple[bytes, bytes]]  # of a request, names in lower case, as in ASGI

TOKEN_HEADER: Final = b"x-mosaic-token"

_HOST: Final = re.compile(r"(\[[0-9A-Fa-f:.]{2,45}\]|[^:\[\]]{1,255})(?::[0-9]{1,5})?", re.ASCII)


def values_of(fields: Fields, name: bytes) -> list[str]:
    """Return the values of a field, however often it is there."""
    return [value.decode("latin-1") for each, value in fields if each == name]


@dataclass(frozen=True, slots=True)
class Access:
    """Who may ask: with `token`, or anybody if it is None; under one of `hosts`, or an address."""

    token: bytes | None = field(default=None, repr=False)
    hosts: frozenset[str] = frozenset()

    def require_host(self, fields: Fields) -> None:
        """Refuse a host name that is not ours: a browser may have been led here under another.

        Raises:
            Denied: `host_unknown`.
        """
        values = values_of(fields, b"host")
        match = _HOST.fullmatch(values[0]) if len(values) == 1 else None
        if match is None or not self._serves(match[1].strip("[]").lower().removesuffix(".")):
            detail = "name an address, localhost, or a host of MOSAIC_PRIVATE_HOSTS in Host"
            raise Denied(HOST_UNKNOWN, detail)

    def require_token(self, fields: Fields, *, forwarded: bool = False) -> None:
        """Refuse who does not know the token.

        Bearer and the password of Basic are taken. A `forwarded` request may carry a client's own
        Authorization, and the proxy's token in X-Mosaic-Token.

        Raises:
            Denied: `private_token_invalid`.
        """
        if self.token is None:
            return
        presented = [_credential(each) for each in values_of(fields, b"authorization")]
        if forwarded:
            presented += [each.encode("latin-1") for each in values_of(fields, TOKEN_HEADER)]
        expected = hashlib.sha256(self.token).digest()  # of one length, whatever is presented
        matches = [hmac.compare_digest(hashlib.sha256(p).digest(), expected) for p in presented]
        if not any(matches):
            raise Denied(UNAUTHENTICATED, "send the token of MOSAIC_PRIVATE_TOKEN_FILE as Bearer")

    def _serves(self, name: str) -> bool:
        if name == "localhost" or name in self.hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _credential(value: str) -> bytes:
    """Return the token of Bearer, or the password of Basic (RFC 7617); empty for others."""
    scheme, _, presented = value.partition(" ")
    presented = presented.strip()
    match scheme.lower():
        case "bearer":
            return presented.encode("latin-1")
        case "basic":
            try:
                return base64.b64decode(presented, validate=True).partition(b":")[2]
            except ValueError:
                return b""
    return b""
