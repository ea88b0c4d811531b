"""The audit chain: the bytes of an entry, its hash, and what makes a chain whole.

    hash = SHA-256(format ‖ seq ‖ prev ‖ SHA-256(body))

`format` is 16 bytes, `seq` 8 bytes big-endian, `prev` the 32 bytes of the hash before (zeros for
the first). The body is JSON that repeats every other column, kept verbatim as text.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.model.spec import canonical_json
from reconciler.core.model.times import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

FORMAT: Final = b"mosaic-audit-v1\n"
GENESIS: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, before it has a place in the chain.

    `actor` is who did it (`user:alice@host`, `peer:beta`, `worker:host`), `subject` what it was
    done to (`grant/beta-tasks`), `data` the rest, as JSON values. No secret enters.
    """

    kind: str
    actor: str
    subject: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Head:
    """The last entry of a chain: `seq` 0 and `GENESIS` where there is none."""

    seq: int
    hash: bytes


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of `federation_audit_log`."""

    seq: int
    at: datetime
    kind: str
    actor: str
    subject: str
    body: str
    prev: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class Broken:
    """The first entry that does not verify, and why."""

    seq: int
    reason: str


@dataclass(frozen=True, slots=True)
class Verified:
    """How far a log verifies: the first entry's hash, the last good one, and what breaks after it.

    `at` is when it was read, by the database's clock.
    """

    first: bytes
    last: Head
    at: datetime
    broken: Broken | None


def chain(head: Head, at: datetime, events: Iterable[Event]) -> tuple[Entry, ...]:
    """Return the entries of `events`, in order, chained to `head`."""
    entries: list[Entry] = []
    prev, seq = head.hash, head.seq
    for event in events:
        seq += 1
        body = canonical_json(
            {
                "seq": seq,
                "at": rfc3339(at),
                "kind": event.kind,
                "actor": event.actor,
                "subject": event.subject,
                "data": dict(event.data),
            }
        )
        digest = entry_hash(seq, prev, body)
        entries.append(Entry(seq, at, event.kind, event.actor, event.subject, body, prev, digest))
        prev = digest
    return tuple(entries)


def entry_hash(seq: int, prev: bytes, body: str) -> bytes:
    """Return the hash of one entry: 32 bytes."""
    body_digest = hashlib.sha256(body.encode()).digest()
    return hashlib.sha256(FORMAT + seq.to_bytes(8, "big") + prev + body_digest).digest()


def check_entry(after: Head, entry: Entry) -> Broken | None:
    """Return what is wrong with `entry` as the one after `after`, or None."""
    if entry.seq != after.seq + 1:
        return Broken(entry.seq, f"got seq {entry.seq}, expected {after.seq + 1}")
    if entry.prev != after.hash:
        return Broken(entry.seq, "prev is not the hash of the entry before")
    if entry.hash != entry_hash(entry.seq, entry.prev, entry.body):
        return Broken(entry.seq, "the hash does not match the body")
    columns = {
        "seq": entry.seq,
        "at": rfc3339(entry.at),
        "kind": entry.kind,
        "actor": entry.actor,
        "subject": entry.subject,
    }
    try:
        body = json.loads(entry.body)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        return Broken(entry.seq, "the body is not a JSON object")
    for name, value in columns.items():
        if body.get(name) != value:
            return Broken(entry.seq, f"column {name!r} differs from the body")
    return None
