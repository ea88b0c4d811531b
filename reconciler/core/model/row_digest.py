"""The digest that a row has if it is what its manifest declares.

It is of what a plan compares, but for the place of the manifest and the peer of a grant, which are
compared beside it. PostgreSQL computes it as a row is written (migration 0018), so that a plan need
not read the rows that are equal. A test holds both together.
"""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from reconciler.core.model.scope import REMEMBERED, Scope

_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)  # of PostgreSQL's timestamptz
_MICROSECOND: Final = timedelta(microseconds=1)
_LIVE: Final = "'true',NULL,'false'"  # managed, under no hold, not ended


def peer_row_digest(
    name: str,
    digest: str,
    *,
    protect: bool,
    direction: str,
    display_name: str,
    endpoint: str | None,
    labels: dict[str, str],
) -> str:
    """Return the digest of a peer's live row, in hex; `digest` is that of the spec."""
    return _digest(
        f"{_quote_nullable(name)},'{digest}',{_LIVE},{_boolean(protect)},'{direction}'"
        f",{_quote_nullable(display_name)},{_quote_nullable(endpoint)}"
        f",{_quote_nullable(jsonb_text(labels))}"
    )


def grant_row_digest(
    name: str,
    digest: str,
    *,
    protect: bool,
    subject_user_id: str,
    scope: Scope,
    suspended: bool,
    lifetime: timedelta,
    expires_at: datetime,
) -> str:
    """Return the digest of a grant's live row, in hex, as `peer_row_digest`; not of its peer."""
    # microseconds since 2000, as `timestamptz_send` writes them
    end = (expires_at - _EPOCH) // _MICROSECOND & 0xFFFF_FFFF_FFFF_FFFF
    return _digest(
        f"{_quote_nullable(name)},'{digest}',{_LIVE},{_boolean(protect)}"
        f",{_quote_nullable(subject_user_id)},{_quote_nullable(_scope_text(scope))}"
        f",{_boolean(suspended)},'{lifetime.total_seconds():.6f}','{end:016x}'"
    )


def jsonb_text(value: Any) -> str:
    """Return a JSON value as PostgreSQL prints a `jsonb`: of two keys, the shorter is first."""
    match value:
        case dict():
            members = sorted(value.items(), key=lambda each: (len(each[0].encode()), each[0]))
            return f"{{{', '.join(f'{jsonb_text(key)}: {jsonb_text(of)}' for key, of in members)}}}"
        case list():
            return f"[{', '.join(map(jsonb_text, value))}]"
        case _:
            return json.dumps(value, ensure_ascii=False)


@lru_cache(REMEMBERED)
def _scope_text(scope: Scope) -> str:
    return jsonb_text(scope.as_json())


def _digest(columns: str) -> str:
    return hashlib.sha256(columns.encode()).hexdigest()


def _boolean(value: bool) -> str:
    return "'true'" if value else "'false'"


def _quote_nullable(text: str | None) -> str:
    """Return a text as PostgreSQL's `quote_nullable` does: quoted, no two rows read alike."""
    if text is None:
        return "NULL"
    quoted = text.replace("'", "''")
    return "E'" + quoted.replace("\\", "\\\\") + "'" if "\\" in text else f"'{quoted}'"
