"""The manifest of a backup: what is in it, with SHA-256 sums, and of which database it is."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from reconciler.core.audit.chain import Head
from reconciler.core.canonical_json import canonical_json
from reconciler.core.model.times import parse_rfc3339, rfc3339

if TYPE_CHECKING:
    from datetime import datetime

FORMAT: Final = "mosaic-backup-v1"
ROWS: Final = "rows/"
SETTINGS: Final = "settings/mosaic.toml"
MAX_FILE: Final = 4 * 1024 * 1024  # octets of a member that is no table

_FORMAT: Final = re.compile(r"mosaic-backup-v[0-9]{1,6}", re.ASCII)
_DIGEST: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_TABLE: Final = re.compile(r"federation_[a-z_]{1,50}", re.ASCII)
_COLUMN: Final = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)
# A name is a path below a folder, whose parts begin with no dot: none leads elsewhere.
_NAME: Final = re.compile(
    r"(rows|keys|secrets|provisioners|ca|root-key|settings)(/[A-Za-z0-9_-][A-Za-z0-9._-]{0,80}){1,2}",
    re.ASCII,
)


class OtherFormat(Exception):
    """A manifest of another format than ours: its name, and the version that wrote it."""

    def __init__(self, name: str, version: str) -> None:
        super().__init__(name)
        self.name, self.version = name, version


@dataclass(frozen=True, slots=True)
class Member:
    """A file of a backup: its name, its octets, and their SHA-256 in hex."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class TableRows:
    """The rows of a table, in the order in which tables refer to each other."""

    name: str
    columns: tuple[str, ...]
    rows: int

    @property
    def member(self) -> str:
        """The name of the member that has them."""
        return f"{ROWS}{self.name}.copy"


@dataclass(frozen=True, slots=True)
class DatabaseState:
    """What a snapshot of a database is of: its schema, its server, its restores, its audit log."""

    migration: str
    system_identifier: str
    epoch: int
    audit: Head
    at: datetime


@dataclass(frozen=True, slots=True)
class BackupManifest:
    """All that a backup says of itself; as text it is one line of JSON."""

    version: str
    database: DatabaseState
    tables: tuple[TableRows, ...]
    members: tuple[Member, ...]

    def text(self) -> str:
        """Return the text, of which the archive has the sum."""
        state = self.database
        document = {
            "format": FORMAT,
            "version": self.version,
            "at": rfc3339(state.at),
            "migration": state.migration,
            "systemIdentifier": state.system_identifier,
            "epoch": state.epoch,
            "audit": {"seq": state.audit.seq, "hash": state.audit.hash.hex()},
            "tables": [asdict(each) for each in self.tables],
            "members": [asdict(each) for each in self.members],
        }
        return canonical_json(document) + "\n"

    @classmethod
    def parse(cls, content: bytes) -> BackupManifest:
        """Return what `text` wrote; raise `ValueError` for anything else.

        Raises:
            OtherFormat: a later version of the program wrote it.
        """
        try:
            document = json.loads(content)
            manifest = cls(
                version=document["version"],
                database=_state(document),
                tables=tuple(_table(each) for each in document["tables"]),
                members=tuple(_member(each) for each in document["members"]),
            )
            whole = manifest.text().encode() == content
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            whole = False
        if not whole:
            raise _other_format(content) or ValueError(f"it is not a manifest of format {FORMAT}")
        names = [each.name for each in manifest.members]
        rows = [each.member for each in manifest.tables]
        if len(set(names)) != len(names) or rows != [name for name in names if _is_rows(name)]:
            raise ValueError("its members and its tables do not agree")
        for each in manifest.members:
            if not _is_rows(each.name) and each.size > MAX_FILE:
                raise ValueError(f"{each.name} has {each.size:,} octets, more than {MAX_FILE:,}")
        return manifest

    def files(self, folder: str) -> tuple[str, ...]:
        """Return the names of the members below a folder."""
        return tuple(each.name for each in self.members if each.name.startswith(f"{folder}/"))


def _other_format(content: bytes) -> OtherFormat | None:
    try:
        document = json.loads(content)
        name, version = document["format"], str(document["version"])
        other = name != FORMAT and _FORMAT.fullmatch(name)
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    return OtherFormat(name, version) if other else None


def _is_rows(name: str) -> bool:
    return name.startswith(ROWS)


def _state(document: dict[str, Any]) -> DatabaseState:
    audit = document["audit"]
    if not _is_count(document["epoch"]) or not _is_count(audit["seq"]):
        raise ValueError
    return DatabaseState(
        migration=str(document["migration"]),
        system_identifier=str(document["systemIdentifier"]),
        epoch=document["epoch"],
        audit=Head(audit["seq"], bytes.fromhex(audit["hash"])),
        at=parse_rfc3339(document["at"]),
    )


def _table(document: dict[str, Any]) -> TableRows:
    table = TableRows(document["name"], tuple(document["columns"]), document["rows"])
    named = _TABLE.fullmatch(table.name) and all(map(_COLUMN.fullmatch, table.columns))
    if not named or not table.columns or not _is_count(table.rows):
        raise ValueError
    return table


def _member(document: dict[str, Any]) -> Member:
    member = Member(document["name"], document["size"], document["sha256"])
    named = _NAME.fullmatch(member.name) and _DIGEST.fullmatch(member.sha256)
    if not named or not _is_count(member.size):
        raise ValueError
    return member


def _is_count(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value < 2**62
