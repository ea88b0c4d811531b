"""Sealing: one value, encrypted under a fresh key that a key-encryption key wraps.

A sealed value is, in order:

    magic     6 bytes   `MSEAL1`
    key id    1 byte length, then ASCII: which key-encryption key wrapped the data key
    wrapped   2 bytes length, big-endian, then what the adapter returned: opaque here
    nonce     12 bytes
    box       AES-256-GCM of the value under the data key, its tag last

The associated data binds the value to its place: purpose, table, column, row and generation, each
with its length before it, so that no two places read alike (NIST SP 800-38D; RFC 5116 5.1).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from reconciler.errors import NeedsEdit

MAGIC: Final = b"MSEAL1"
NONCE_BYTES: Final = 12  # SP 800-38D 8.2.1; random is safe: each data key seals one value
DATA_KEY_BYTES: Final = 32


class KeyWrapper(Protocol):
    """What knows the key-encryption keys. A file today; a KMS fits the same two calls."""

    @property
    def primary(self) -> str:
        """The id of the key that wraps from now on."""

    def wrap(self, data_key: bytes, context: bytes) -> tuple[str, bytes]:
        """Return the id of the primary key, and `data_key` wrapped by it, bound to `context`."""

    def unwrap(self, key_id: str, wrapped: bytes, context: bytes) -> bytes:
        """Return the data key; raise `NeedsEdit` (`keyring_invalid`) where it cannot."""


@dataclass(frozen=True, slots=True)
class SealContext:
    """The place of a sealed value: a value moved elsewhere does not open."""

    purpose: str
    table: str
    column: str
    row_id: str
    generation: int = 1

    def as_bytes(self) -> bytes:
        """Return the five parts, each with its length (4 bytes, big-endian) before it."""
        parts = (self.purpose, self.table, self.column, self.row_id, str(self.generation))
        encoded = [part.encode() for part in parts]
        return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)


def seal(value: bytes, context: SealContext, keys: KeyWrapper) -> bytes:
    """Return `value` sealed for its place."""
    data_key = AESGCM.generate_key(DATA_KEY_BYTES * 8)
    bound = context.as_bytes()
    primary, wrapped = keys.wrap(data_key, bound)
    key_id = primary.encode()
    nonce = os.urandom(NONCE_BYTES)
    head = MAGIC + bytes([len(key_id)]) + key_id + len(wrapped).to_bytes(2, "big") + wrapped
    return head + nonce + AESGCM(data_key).encrypt(nonce, value, head + bound)


def unseal(sealed: bytes, context: SealContext, keys: KeyWrapper) -> bytes:
    """Return the value of a sealed blob.

    Raises:
        NeedsEdit: `keyring_invalid`: the key is missing or wrong, or the blob was altered or moved.
    """
    key_id, wrapped, head = _read_head(sealed)
    bound = context.as_bytes()
    data_key = keys.unwrap(key_id, wrapped, bound)
    nonce, box = sealed[len(head) : len(head) + NONCE_BYTES], sealed[len(head) + NONCE_BYTES :]
    try:
        return AESGCM(data_key).decrypt(nonce, box, head + bound)
    except InvalidTag:
        raise _damaged() from None


def sealed_key_id(sealed: bytes) -> str:
    """Return the id of the key that a sealed blob needs."""
    return _read_head(sealed)[0]


def _read_head(sealed: bytes) -> tuple[str, bytes, bytes]:
    if not sealed.startswith(MAGIC) or len(sealed) < len(MAGIC) + 1:
        raise _damaged()
    id_start = len(MAGIC) + 1
    id_end = id_start + sealed[len(MAGIC)]
    wrapped_start = id_end + 2
    wrapped_end = wrapped_start + int.from_bytes(sealed[id_end:wrapped_start], "big")
    if len(sealed) < wrapped_end + NONCE_BYTES + 16:
        raise _damaged()
    key_id = sealed[id_start:id_end].decode("ascii", "replace")
    return key_id, sealed[wrapped_start:wrapped_end], sealed[:wrapped_end]


def _damaged() -> NeedsEdit:
    return NeedsEdit(
        "keyring_invalid",
        "a sealed value does not open: it was altered, or belongs to another row",
        hint="restore the row from a backup, or enroll again with a new invitation",
    )
