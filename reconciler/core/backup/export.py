"""What an export of the audit log says was taken away after a backup, to take it away again."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reconciler.core.audit.certificate_events import (
    CertificateIssued,
    CertificateRevokedAtCa,
    CertificateRevokedElsewhere,
)
from reconciler.core.audit.chain import Head, check_record
from reconciler.core.audit.events import parse_event
from reconciler.core.audit.record_lines import is_certificate, record_of
from reconciler.core.audit.row_events import (
    GrantResumed,
    GrantRevoked,
    GrantSuspended,
    HoldReleased,
    PeerRevoked,
)
from reconciler.core.model.times import rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable

    from reconciler.core.audit.chain import Record
    from reconciler.core.audit.event_base import RowRef


@dataclass(frozen=True, slots=True)
class TakenAway:
    """Something that was held or revoked: of which row, why, by whom; `held` is an operator's."""

    row: RowRef
    reason: str
    held: bool


@dataclass(slots=True)
class LaterRecords:
    """What the records after a backup took away, by id of the row; `last` is the newest of them.

    What was given back meanwhile is left out: a hold that was lifted is not taken again.
    """

    last: Head
    suspended: dict[str, TakenAway] = field(default_factory=dict)
    grants: dict[str, TakenAway] = field(default_factory=dict)
    peers: dict[str, TakenAway] = field(default_factory=dict)
    serials: set[str] = field(default_factory=set)


def read_export(lines: Iterable[str], head: Head) -> LaterRecords:
    """Return what an export tells after the record `head`, which it must continue.

    Raises:
        ValueError: a line is no record, or the chain breaks: with the number of the record.
    """
    later = LaterRecords(head)
    for number, line in enumerate(lines, 1):
        if not line.strip() or is_certificate(line):
            continue
        try:
            record = record_of(line)
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        if record.seq < head.seq or (record.seq == head.seq and record.hash == head.hash):
            continue  # the backup has it
        if record.seq <= head.seq:
            raise ValueError(f"its record {record.seq} is not the one that the backup ends with")
        if (broken := check_record(later.last, record)) is not None:
            raise ValueError(f"it does not continue the backup at {broken.seq}: {broken.reason}")
        later.last = Head(record.seq, record.hash)
        _take(later, record)
    return later


def _take(later: LaterRecords, record: Record) -> None:
    event = parse_event(record.kind, record.subject, json.loads(record.body)["data"])
    by = f"{record.actor}, {rfc3339(record.at)}; again after a restore"
    match event:
        case GrantSuspended():
            later.suspended[event.row.id] = _taken(event.row, event.reason, by, held=True)
        case GrantRevoked():
            held = event.hold is not None
            later.grants[event.row.id] = _taken(event.row, event.reason, by, held=held)
        case PeerRevoked():
            later.peers[event.row.id] = _taken(event.row, event.reason, by, held=event.held)
        case GrantResumed() | HoldReleased():
            later.suspended.pop(event.row.id, None)
            for ended in (later.grants, later.peers):
                if (taken := ended.get(event.row.id)) is not None:
                    ended[event.row.id] = TakenAway(taken.row, taken.reason, held=False)
        case CertificateIssued():
            later.serials.update(event.supersedes)
        case CertificateRevokedAtCa() | CertificateRevokedElsewhere():
            later.serials.add(event.serial)
        case _:
            pass


def _taken(row: RowRef, reason: str, by: str, *, held: bool) -> TakenAway:
    return TakenAway(row, f"{reason} ({by})".lstrip(), held)
