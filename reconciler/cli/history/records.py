"""Rows of the audit log and what hangs on them, as outputs show them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from reconciler.core.model.times import rfc3339

Row = Mapping[str, Any]


def as_json(value: object) -> Any:
    """Return a value as JSON has it: times RFC 3339, names camelCase."""
    match value:
        case dict():
            return {_camel(name): as_json(each) for name, each in value.items()}
        case list() | tuple():
            return [as_json(each) for each in value]
        case datetime():
            return rfc3339(value)
        case UUID():
            return str(value)
        case _:
            return value


def commit_text(row: Row) -> str:
    """Return a commit on one line: its hash, subject, author and signer; `-` for none."""
    commit = row["commit"]
    if not commit:
        return "-"
    signed = f", signed by {commit['signer']}" if commit.get("signer") else ""
    return f"{commit['id'][:12]} {commit['subject']} ({commit['author']}{signed})"


def record_line(record: Row) -> str:
    """Return a record of the audit log on one line, with its number."""
    reason = f": {record['reason']}" if record["reason"] else ""
    commit = f"  {commit_text(record)}" if record["commit"] else ""
    return f"#{record['seq']} {record['at']} {record['kind']} by {record['actor']}{reason}{commit}"


def _camel(name: str) -> str:
    return re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), name)
