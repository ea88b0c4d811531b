"""The audit chain: the bytes of a record, its hash, and what makes a chain whole.

    hash = SHA-256(format ‖ seq ‖ prev ‖ SHA-256(body))

`format` is 16 bytes, `seq` 8 bytes big-endian, `prev` the 32 bytes of the hash before (zeros for
the first). The body is JSON that repeats every other column, kept verbatim as text; it also names
the login that wrote the record, which records of former versions do not.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from reconciler.core.canonical_json import canonical_json
from reconciler.core.model.times import rfc3339
from reconciler.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from reconciler.core.audit.events import Event

FORMAT: Final = b"mosaic-audit-v1\n"
GENESIS: Final = bytes(32)


class Head(NamedTuple):
    """The last record of a chain: `seq` 0 and `GENESIS` where there is none."""

    seq: int
    hash: bytes


class Record(NamedTuple):
    """A row of `federation_audit_log`: a tuple, as millions of them are verified at once."""

    seq: int
    at: datetime
    kind: str
    actor: str
    subject: str
    body: str
    prev: bytes
    hash: bytes


@dataclass(frozen=True, slots=True)
class ChainBreak:
    """The first record that does not verify, and why."""

    seq: int
    reason: str


def chain(
    head: Head, at: datetime, actor: str, events: Iterable[Event], *, login: str
) -> tuple[Record, ...]:
    """Return the records of `events`, in order, chained to `head`.

    The database's function `federation_append_events` writes the same bytes.

    `actor` is who did them: `user:alice@host`, `peer:beta`, `worker:host`; `login` is the one by
    which they are written, as the database names it.
    """
    records: list[Record] = []
    prev, seq = head.hash, head.seq
    for event in events:
        seq += 1
        body = canonical_json(
            {
                "seq": seq,
                "at": rfc3339(at),
                "kind": event.kind,
                "actor": actor,
                "login": login,
                "subject": event.subject,
                "data": event.details(),
            }
        )
        digest = record_hash(seq, prev, body)
        records.append(Record(seq, at, event.kind, actor, event.subject, body, prev, digest))
        prev = digest
    return tuple(records)


def record_hash(seq: int, prev: bytes, body: str) -> bytes:
    """Return the hash of one record: 32 bytes."""
    body_digest = hashlib.sha256(body.encode()).digest()
    return hashlib.sha256(FORMAT + seq.to_bytes(8, "big") + prev + body_digest).digest()


def check_records(after: Head, records: Sequence[Record]) -> tuple[int, ChainBreak | None]:
    """Return how many records verify after `after`, and what is wrong with the one that follows.

    One loop without calls of ours: a record takes 8 µs, and `check_record` as much again.
    """
    sha256, decode = hashlib.sha256, _decoder().decode
    seq, link = after
    for count, record in enumerate(records):
        number, at, kind, actor, subject, body, prev, digest = record
        octets = body.encode()
        body_digest = sha256(octets).digest()
        try:
            parsed = decode(octets)
            verified = (
                number == seq + 1
                and prev == link
                and digest
                == sha256(FORMAT + number.to_bytes(8, "big") + prev + body_digest).digest()
                and (parsed.seq, parsed.kind, parsed.actor, parsed.subject)
                == (number, kind, actor, subject)
                and parsed.at == rfc3339(at)
            )
        except (ValueError, RecursionError):
            verified = False
        if not verified:  # or in a form that is seldom
            chain_break = check_record(Head(seq, link), record)
            if chain_break is not None:
                return count, chain_break
        seq, link = number, digest
    return len(records), None


def check_record(after: Head, record: Record) -> ChainBreak | None:
    """Return what is wrong with `record` as the one after `after`, or None."""
    seq, at, kind, actor, subject, body, prev, digest = record
    if seq != after.seq + 1:
        return ChainBreak(seq, f"got seq {seq}, expected {after.seq + 1}")
    if prev != after.hash:
        return ChainBreak(seq, "prev is not the hash of the record before")
    if digest != record_hash(seq, prev, body):
        return ChainBreak(seq, "the hash does not match the body")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        return ChainBreak(seq, "the body is not a JSON object")
    columns = {"seq": seq, "at": rfc3339(at), "kind": kind, "actor": actor, "subject": subject}
    for name, value in columns.items():
        if document.get(name) != value:
            return ChainBreak(seq, f"column {name!r} differs from the body")
    return None


@cache
def _decoder() -> Any:
    """Return the decoder of what a body repeats; the rest is checked to be JSON, and not kept."""
    import msgspec  # noqa: PLC0415 - late: only who verifies many records needs it

    columns = {"seq": int, "at": str, "kind": str, "actor": str, "subject": str}
    return msgspec.json.Decoder(msgspec.defstruct("Columns", columns.items()))


def broken(chain_break: ChainBreak) -> Refused:
    """Return the error of a log that does not verify."""
    return Refused(
        "audit_broken",
        f"the audit log breaks at seq {chain_break.seq}: {chain_break.reason}",
        hint="the records before it are intact; compare the log with a backup, and find out"
        " who changed it",
    )
