"""Signatures of Standard Webhooks 1.0: HMAC-SHA-256 of id, time and body, in base64.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

PREFIX: Final = "whsec_"
MIN_KEY: Final = 24  # octets, by the specification
MAX_KEY: Final = 64


def read_keys(text: str) -> tuple[bytes, ...]:
    """Return the keys of secrets, one a line; the receiver may know any one of them.

    Raises:
        ValueError: a line is no secret, or there is none. The message does not show it.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise ValueError("it is empty")
    return tuple(_read_key(number, line) for number, line in enumerate(lines, 1))


def _read_key(number: int, line: str) -> bytes:
    if not line.startswith(PREFIX):
        raise ValueError(f"line {number} does not begin with {PREFIX}")
    try:
        key = base64.b64decode(line.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"line {number} is not base64 after {PREFIX}") from None
    if not MIN_KEY <= len(key) <= MAX_KEY:
        raise ValueError(
            f"line {number} has a key of {len(key)} octets, expected {MIN_KEY} to {MAX_KEY}"
        )
    return key


def signature_of(message_id: bytes, timestamp: str, body: bytes, key: bytes) -> str:
    """Return the signature of a message by a key, as the header `webhook-signature` lists it."""
    message = b".".join((message_id, timestamp.encode(), body))
    return f"v1,{base64.b64encode(hmac.digest(key, message, 'sha256')).decode()}"


def signed_headers(
    notice_id: str, timestamp_s: int, body: bytes, keys: Sequence[bytes]
) -> dict[str, str]:
    """Return the headers that prove who sent a body and when; the id is the same at each retry."""
    timestamp = str(timestamp_s)
    signatures = (signature_of(notice_id.encode(), timestamp, body, key) for key in keys)
    return {
        "webhook-id": notice_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": " ".join(signatures),
    }
