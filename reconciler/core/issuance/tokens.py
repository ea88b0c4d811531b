"""Enrollment tokens: their spelling, their sum, and the HMAC that is all we keep of a secret.

    mosf1_<public id>_<secret>_<crc>

The public id is 16 of `[a-z2-7]`; the secret 43 of unpadded base64url (256 bits, and may hold `_`,
so a token is split by length); the sum 8 lower hex of the CRC-32 of all before its `_`. Prefix and
sum are for scanners and typos. Any other spelling is refused, never repaired.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import zlib
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

DEFAULT_TOKEN_LIFE: Final = timedelta(hours=1)
MAX_TOKEN_LIFE: Final = timedelta(days=7)
CLAIM_LIFE: Final = timedelta(hours=24)
MAX_UNANSWERED: Final = 10  # issuances that one claim may leave without an answer

PUBLIC_ID_RANDOM_BYTES: Final = 10
SECRET_RANDOM_BYTES: Final = 32
PEPPER_BYTES: Final = 32

_TOKEN: Final = re.compile(
    r"mosf1_(?P<id>[a-z2-7]{16})_(?P<secret>[A-Za-z0-9_-]{43})_(?P<crc>[0-9a-f]{8})", re.ASCII
)


@dataclass(frozen=True, slots=True)
class Token:
    """A token of the right spelling; whether it is known is another question."""

    public_id: str
    secret: str = field(repr=False)

    def __str__(self) -> str:
        return f"mosf1_{self.public_id}_…"

    def spelled(self) -> str:
        """Return the token as it is handed to a peer, once."""
        body = f"mosf1_{self.public_id}_{self.secret}"
        return f"{body}_{_crc(body)}"


def new_token(public_id_random: bytes, secret_random: bytes) -> Token:
    """Return a token of `PUBLIC_ID_RANDOM_BYTES` and `SECRET_RANDOM_BYTES` random bytes."""
    if (len(public_id_random), len(secret_random)) != (PUBLIC_ID_RANDOM_BYTES, SECRET_RANDOM_BYTES):
        raise ValueError("got random bytes of the wrong length")
    public_id = base64.b32encode(public_id_random).decode().lower()
    secret = base64.urlsafe_b64encode(secret_random).decode().rstrip("=")
    return Token(public_id, secret)


def parse_token(presented_token: str) -> Token | None:
    """Return the token, or None for any text that is not exactly one."""
    match = _TOKEN.fullmatch(presented_token)
    if match is None or not presented_token.endswith(_crc(presented_token[:-9])):
        return None
    token = Token(match["id"], match["secret"])
    # 256 bits take 42 2/3 characters: the last one has spare bits, which must be zero
    decoded = base64.urlsafe_b64decode(token.secret + "=")
    spelled_again = base64.urlsafe_b64encode(decoded).decode().rstrip("=")
    return token if spelled_again == token.secret else None


def token_mac(pepper: bytes, token: Token) -> bytes:
    """Return the HMAC-SHA-256 of the token under the pepper: 32 bytes, what the database holds."""
    message = f"mosf1:{token.public_id}:{token.secret}".encode()
    return hmac.new(pepper, message, hashlib.sha256).digest()


def same_mac(one: bytes, other: bytes) -> bool:
    """Compare two HMACs in constant time."""
    return hmac.compare_digest(one, other)


def _crc(text: str) -> str:
    return format(zlib.crc32(text.encode()), "08x")
