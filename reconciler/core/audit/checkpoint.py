"""Checkpoints of the audit log: its newest record at a moment, stored outside the database."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reconciler.core.audit.chain import Head
from reconciler.core.canonical_json import canonical_json
from reconciler.core.model.times import parse_rfc3339, rfc3339

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.core.audit.verification import Verification

FORMAT: Final = "mosaic-checkpoint-v1"
MAX_CHECKPOINT: Final = 4096  # octets

FILE_NAME: Final = re.compile(r"audit-([0-9]{8}T[0-9]{6}Z)-([0-9]+)\.json", re.ASCII)
_DIGEST: Final = re.compile(r"sha256:([0-9a-f]{64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The record `seq` of the log that begins with the record of the hash `log`, and its hash.

    `at` is when that was read, by the database's clock. As text it is one line of JSON.
    """

    log: bytes
    seq: int
    hash: bytes
    at: datetime

    @classmethod
    def of(cls, verification: Verification) -> Checkpoint:
        """Return the checkpoint of a log that verified."""
        return cls(
            verification.first, verification.last.seq, verification.last.hash, verification.at
        )

    @property
    def heads(self) -> tuple[Head, Head]:
        """The two records that the log must have."""
        return Head(1, self.log), Head(self.seq, self.hash)

    @property
    def file_name(self) -> str:
        """The name of its file, which sorts by time."""
        return f"audit-{self.at:%Y%m%dT%H%M%SZ}-{self.seq}.json"

    def text(self) -> str:
        """Return the text, which is what is signed."""
        document = {
            "format": FORMAT,
            "log": f"sha256:{self.log.hex()}",
            "seq": self.seq,
            "hash": f"sha256:{self.hash.hex()}",
            "at": rfc3339(self.at),
        }
        return canonical_json(document) + "\n"

    @classmethod
    def parse(cls, content: bytes) -> Checkpoint:
        """Return what `text` printed; raise `ValueError` for anything else."""
        if len(content) > MAX_CHECKPOINT:
            raise ValueError(f"it has {len(content):,} octets, more than {MAX_CHECKPOINT:,}")
        try:
            document = json.loads(content)
            checkpoint = cls(
                log=_digest(document["log"]),
                seq=document["seq"],
                hash=_digest(document["hash"]),
                at=parse_rfc3339(document["at"]),
            )
            whole = type(checkpoint.seq) is int and checkpoint.text().encode() == content
        except (ValueError, TypeError, KeyError, RecursionError):
            whole = False
        if not whole:
            raise ValueError("it is not what `audit checkpoint` prints")
        return checkpoint


def _digest(text: str) -> bytes:
    match = _DIGEST.fullmatch(text)
    if match is None:
        raise ValueError("it is not a SHA-256 digest")
    return bytes.fromhex(match[1])
