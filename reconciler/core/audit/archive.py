"""An archive of the audit log: records that were moved out of the database, to a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reconciler.core.audit.events import AuditArchived
from reconciler.core.model.times import rfc3339
from reconciler.errors import Refused

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.core.audit.chain import Head


@dataclass(frozen=True, slots=True)
class Archive:
    """The records from `first` to `last` of the log that begins with the record of the hash `log`.

    `at` is the time of the last. `file` is the name of the file that has them, `sha256` its digest
    (`sha256:<hex>`).
    """

    first: int
    last: Head
    log: bytes
    at: datetime
    file: str
    sha256: str

    def as_json(self) -> dict[str, Any]:
        """Return its document."""
        return {
            "first": self.first,
            "last": self.last.seq,
            "until": rfc3339(self.at),
            "file": self.file,
            "sha256": self.sha256,
        }

    def event(self, state: str) -> AuditArchived:
        """Return the event of its making; `state` is the digest of what is stored with it."""
        return AuditArchived(
            first=self.first,
            last=self.last.seq,
            hash=f"sha256:{self.last.hash.hex()}",
            log=f"sha256:{self.log.hex()}",
            until=self.at,
            file=self.file,
            sha256=self.sha256,
            state=state,
        )

    @property
    def fact(self) -> str:
        """What a person is told of the records that are not in the database."""
        return f"the records up to {self.last.seq:,} ({rfc3339(self.at)}) are archived"

    def refusal(self, command: str) -> Refused:
        """Return the error of what needs archived records; `command` is what reads them."""
        hint = f"`mosaic federation {command}`; the newest archive is {self.file}"
        return Refused("audit_archived", self.fact, hint=hint)

    def note(self, command: str) -> str:
        """Return the note that a list ends where the archive does; `command` shows the others."""
        return f"{self.fact}: `mosaic federation {command}` shows them"
