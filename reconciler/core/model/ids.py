"""Identifiers made from a time and random bytes that the caller brings."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Final, NewType

if TYPE_CHECKING:
    from datetime import datetime

PeerId = NewType("PeerId", uuid.UUID)
GrantId = NewType("GrantId", uuid.UUID)
IssuanceId = NewType("IssuanceId", uuid.UUID)

DEFAULT_OID_ARC: Final = "1.3.6.1.4.1.99999"  # of the otherNames that carry ids

UUID7_RANDOM_BYTES: Final = 10
SERIAL_RANDOM_BYTES: Final = 20

_SERIAL_BITS: Final = 159  # RFC 5280 4.1.2.2: positive, at most 20 octets


def uuid7(at: datetime, random: bytes) -> uuid.UUID:
    """Return a UUIDv7 (RFC 9562 5.7) for `at`, from `UUID7_RANDOM_BYTES` random bytes."""
    if len(random) != UUID7_RANDOM_BYTES:
        raise ValueError(f"got {len(random)} random bytes, expected {UUID7_RANDOM_BYTES}")
    milliseconds = int(at.timestamp() * 1000) & ((1 << 48) - 1)
    noise = int.from_bytes(random, "big")
    rand_a, rand_b = noise >> 68, noise & ((1 << 62) - 1)
    return uuid.UUID(int=(milliseconds << 80) | (7 << 76) | (rand_a << 64) | (2 << 62) | rand_b)


def serial_from(random: bytes) -> str:
    """Return a certificate serial, 1 to 2^159 - 1, as lower-case hex without leading zeros."""
    if len(random) != SERIAL_RANDOM_BYTES:
        raise ValueError(f"got {len(random)} random bytes, expected {SERIAL_RANDOM_BYTES}")
    number = int.from_bytes(random, "big") & ((1 << _SERIAL_BITS) - 1)
    return format(number or 1, "x")
