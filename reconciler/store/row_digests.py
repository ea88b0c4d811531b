"""The digest of each row of peers and of grants, computed from its columns: that of `row_digest`.

The column is generated (migration 0018), so the two are equal, unless who owns the tables has made
it another. `db check` and `plan --verify` compute it. A test holds both together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from reconciler.store.db import Tx

_OF_BOTH: Final = ("name", "spec_digest", "managed::text", "hold::text")
_COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "federation_peers": (
        *_OF_BOTH,
        *("(status = 'revoked')::text", "protect::text", "direction", "display_name"),
        *("endpoint_url", "labels::text"),
    ),
    "federation_grants": (
        *_OF_BOTH,
        *("(status IN ('revoked', 'expired'))::text", "protect::text", "subject_user_id"),
        *("scope::text", "suspended::text", "extract(epoch FROM lifetime)::text"),
        "encode(timestamptz_send(expires_at), 'hex')",
    ),
}


def _computed(columns: tuple[str, ...]) -> str:
    quoted = " || ',' || ".join(f"quote_nullable({each})" for each in columns)
    return f"sha256(decode(replace({quoted}, '\\', '\\\\'), 'escape'))"


COMPUTED: Final[Mapping[str, str]] = {
    table: _computed(columns) for table, columns in _COLUMNS.items()
}  # expressions


def digest_differences(tx: Tx) -> tuple[str, ...]:
    """Return the tables whose live rows do not have the digest of their columns."""
    generated = {
        row["name"]
        for row in tx.rows(
            "SELECT name FROM unnest(CAST(:names AS text[])) AS name JOIN pg_attribute"
            " ON attrelid = to_regclass(name) AND attname = 'row_digest' AND attgenerated = 's'",
            names=list(COMPUTED),
        )
    }
    wrong = (
        table
        for table, computed in COMPUTED.items()
        if table not in generated
        or tx.rows(
            f"SELECT 1 FROM {table} WHERE status::text NOT IN ('revoked', 'expired')"
            f" AND row_digest <> {computed} LIMIT 1"
        )
    )
    return tuple(f"the digest of each row of {table} is not computed" for table in sorted(wrong))
