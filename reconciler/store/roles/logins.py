"""What the logins of the server could do in this database, as its catalog says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reconciler.core.privileges import COMMAND_LINE

if TYPE_CHECKING:
    from reconciler.store.db import Tx

# A member of the owner's role, as every superuser is, can change the function and the triggers.
_WRITERS: Final = """
SELECT r.rolname AS name,
    pg_has_role(r.oid, c.relowner, 'MEMBER')
        OR has_table_privilege(r.oid, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER') AS owns,
    has_function_privilege(r.oid, 'federation_append_events(text, jsonb)', 'EXECUTE') AS appends
FROM pg_roles AS r, pg_class AS c
WHERE r.rolcanlogin AND c.oid = to_regclass('federation_audit_log')
    AND has_database_privilege(r.oid, current_database(), 'CONNECT') ORDER BY r.rolname
"""
_SESSION: Final = """
SELECT r.rolname AS name, r.rolsuper AS superuser,
    pg_has_role(r.oid, c.relowner, 'MEMBER') AS owner,
    has_column_privilege(r.oid, to_regclass('federation_certificates')::oid, 'cert_pem', 'UPDATE')
        AND has_column_privilege(r.oid, to_regclass('federation_grants')::oid, 'scope', 'UPDATE')
        AS everything,
    EXISTS (SELECT FROM pg_roles AS p WHERE p.rolname = :person AND pg_has_role(r.oid, p.oid,
        'MEMBER')) AS person
FROM pg_roles AS r, pg_class AS c
WHERE r.rolname = session_user AND c.oid = to_regclass('federation_audit_log')
"""


@dataclass(frozen=True, slots=True)
class AuditWriters:
    """The logins that could replace the audit log, and those that could only append to it."""

    replacing: tuple[str, ...]
    appending: tuple[str, ...]

    def as_json(self) -> dict[str, list[str]]:
        """Return the JSON form."""
        return {"replace": list(self.replacing), "append": list(self.appending)}


def audit_writers(tx: Tx) -> AuditWriters:
    """Return which logins could have written to the audit log."""
    rows = tx.rows(_WRITERS)
    return AuditWriters(
        tuple(row["name"] for row in rows if row["owns"]),
        tuple(row["name"] for row in rows if row["appends"] and not row["owns"]),
    )


def excess_of_session(tx: Tx) -> tuple[str, str]:
    """Return this session's login, and what it is beyond one part of a gateway; empty if nothing.

    A person's login may do what two parts may, and is meant to.
    """
    row = tx.one(_SESSION, person=COMMAND_LINE)
    excess = ""
    if row["superuser"]:
        excess = "a superuser of the server"
    elif row["owner"]:
        excess = "the owner of the tables"
    elif row["everything"] and not row["person"]:
        excess = "allowed to do what every part of a gateway does"
    return row["name"], excess
