"""What the catalog says of the roles: what they may do, and what differs from the table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.privileges import FUNCTIONS, LOGINS, Privilege, Role, table_privileges
from reconciler.errors import NeedsEdit
from reconciler.store.schema import revisions

if TYPE_CHECKING:
    from reconciler.store.db import Tx

PUBLIC: Final = "public"  # as GRANT names it, and as no role can be named
# The objects of ours: relations of the tables' schema by these names, and functions.
_OURS: Final = "(name LIKE 'federation\\_%' OR name = 'alembic_version')"
_TABLES: Final = f"""
SELECT name, columns FROM (
    SELECT c.relname AS name, array_agg(a.attname::text ORDER BY a.attnum) AS columns
    FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
        AND a.attnum > 0 AND NOT a.attisdropped GROUP BY c.oid) AS tables
WHERE {_OURS} ORDER BY name
"""
_SEQUENCES: Final = f"""
SELECT name FROM (SELECT relname AS name FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relkind = 'S') AS sequences
WHERE {_OURS} ORDER BY name
"""
_FUNCTIONS: Final = f"""
SELECT signature FROM (SELECT proname AS name,
        format('%s(%s)', proname, oidvectortypes(proargtypes)) AS signature
    FROM pg_proc WHERE pronamespace = current_schema()::regnamespace) AS functions
WHERE {_OURS} ORDER BY signature
"""
# What is granted, to whom but the object's owner. A default that is not written down counts too.
_GRANTED: Final = f"""
WITH granted AS (
    SELECT CASE relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END AS kind, relname AS name,
        '' AS column_name, relowner AS owner, (aclexplode(relacl)).*
    FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relkind <> 'i'
    UNION ALL
    SELECT 'TABLE', relname, attname, relowner, (aclexplode(attacl)).*
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    WHERE relnamespace = current_schema()::regnamespace AND NOT attisdropped
    UNION ALL
    SELECT 'FUNCTION', proname, oidvectortypes(proargtypes), proowner,
        (aclexplode(coalesce(proacl, acldefault('f', proowner)))).*
    FROM pg_proc WHERE pronamespace = current_schema()::regnamespace
    UNION ALL
    SELECT 'SCHEMA', nspname, '', nspowner,
        (aclexplode(coalesce(nspacl, acldefault('n', nspowner)))).*
    FROM pg_namespace WHERE oid = current_schema()::regnamespace
    UNION ALL
    SELECT 'DATABASE', datname, '', datdba,
        (aclexplode(coalesce(datacl, acldefault('d', datdba)))).*
    FROM pg_database WHERE datname = current_database()
)
SELECT kind, CASE kind WHEN 'FUNCTION' THEN format('%s(%s)', name, column_name) ELSE name END
        AS name, privilege_type AS verb, coalesce(r.rolname, '{PUBLIC}') AS role,
    CASE kind WHEN 'FUNCTION' THEN '' ELSE column_name END AS column_name
FROM granted LEFT JOIN pg_roles AS r ON r.oid = grantee
WHERE grantee <> owner AND grantee <> (SELECT relowner FROM pg_class
        WHERE oid = to_regclass('federation_audit_head'))
    AND (kind IN ('SCHEMA', 'DATABASE') OR {_OURS})
"""
_FACTS: Final = """
SELECT current_schema() AS schema, current_database() AS database, r.rolname AS owner,
    r.rolsuper AS owner_is_superuser, c.relowner
FROM pg_class AS c JOIN pg_roles AS r ON r.oid = c.relowner
WHERE c.oid = to_regclass('federation_audit_head')
"""
_ROLES: Final = """
SELECT rolname AS name, rolcanlogin AS login, rolsuper OR rolcreaterole OR rolcreatedb
        OR rolreplication OR rolbypassrls AS powerful,
    ARRAY(SELECT g.rolname::text FROM pg_auth_members AS m JOIN pg_roles AS g ON g.oid = m.roleid
        WHERE m.member = r.oid ORDER BY 1) AS member_of
FROM pg_roles AS r WHERE rolname = ANY(:names) ORDER BY rolname
"""
_MADE: Final = f"""
SELECT EXISTS (SELECT FROM (SELECT relname AS name, relnamespace, (aclexplode(relacl)).grantee
        FROM pg_class) AS granted JOIN pg_roles AS r ON r.oid = grantee
    WHERE relnamespace = current_schema()::regnamespace AND {_OURS} AND r.rolname = ANY(:names)
) AS made
"""
_OTHER_DATABASES: Final = """
SELECT DISTINCT d.datname AS name FROM pg_shdepend AS s
JOIN pg_database AS d ON d.oid = s.dbid JOIN pg_roles AS r ON r.oid = s.refobjid
WHERE s.refclassid = 'pg_authid'::regclass AND r.rolname = ANY(:names)
    AND d.datname <> current_database() ORDER BY 1
"""
_DEFAULTS: Final = """
SELECT count(*) AS closed FROM pg_default_acl WHERE defaclnamespace = 0 AND defaclobjtype = 'f'
    AND defaclrole = (
        SELECT relowner FROM pg_class WHERE oid = to_regclass('federation_audit_head'))
    AND NOT EXISTS (SELECT FROM aclexplode(defaclacl) WHERE grantee <> defaclrole)
"""


@dataclass(frozen=True, slots=True)
class Catalog:
    """What there is: the schema of our tables, their owner, the objects to grant, the roles."""

    name: str
    schema: str
    owner: str
    owner_is_superuser: bool
    tables: dict[str, tuple[str, ...]]
    sequences: tuple[str, ...]
    functions: tuple[str, ...]

    roles: dict[str, dict[str, Any]]

    @classmethod
    def read(cls, tx: Tx) -> Catalog:
        """Return what there is.

        Raises:
            NeedsEdit: `schema_missing`.
        """
        facts = tx.row(_FACTS)
        if facts is None:
            raise NeedsEdit(
                "schema_missing",
                "the database has no tables to grant",
                hint="run `mosaic federation db upgrade` first",
            )
        return cls(
            name=facts["database"],
            schema=facts["schema"],
            owner=facts["owner"],
            owner_is_superuser=facts["owner_is_superuser"],
            tables={row["name"]: tuple(row["columns"]) for row in tx.rows(_TABLES)},
            sequences=tuple(row["name"] for row in tx.rows(_SEQUENCES)),
            functions=tuple(row["signature"] for row in tx.rows(_FUNCTIONS)),
            roles={row["name"]: row for row in tx.rows(_ROLES, names=list(LOGINS))},
        )

    def privileges(self) -> frozenset[Privilege]:
        """Return all that roles of ours should have here, and nobody else."""
        granted = set(table_privileges(self.tables))
        for role in Role:
            granted.add(Privilege("DATABASE", self.name, "CONNECT", role))
            granted.add(Privilege("SCHEMA", self.schema, "USAGE", role))
        for signature in FUNCTIONS.keys() & set(self.functions):
            roles = FUNCTIONS[signature]
            granted |= {Privilege("FUNCTION", signature, "EXECUTE", role) for role in roles}
        return frozenset(granted)


def other_databases(tx: Tx) -> tuple[str, ...]:
    """Return the other databases of the server in which roles of ours have rights."""
    rows = tx.rows(_OTHER_DATABASES, names=list(LOGINS))
    return tuple(row["name"] for row in rows)


def roles_are_made(tx: Tx) -> bool:
    """Tell whether the roles have rights in this database; they belong to the whole server.

    Any right to a table of ours tells: which one is missing is for `role_differences` to say.
    """
    return bool(tx.one(_MADE, names=list(Role))["made"])


def differences_if_made(tx: Tx) -> tuple[str, ...]:
    """Return the `role_differences` of a database that has the roles, and none of another."""
    return role_differences(tx) if roles_are_made(tx) else ()


def role_differences(tx: Tx, *, of_ours: bool = False) -> tuple[str, ...]:
    """Return what differs from the table; with `of_ours`, only what `make_roles` corrects."""
    database = Catalog.read(tx)
    differing = [f"the role {name} is missing" for name in LOGINS if name not in database.roles]
    for name, row in database.roles.items():
        if row["powerful"]:
            differing.append(f"the role {name} has attributes beyond LOGIN and INHERIT")
        memberships = set(row["member_of"])
        for role in sorted(memberships ^ set(LOGINS[name])):
            verb = "is a member of" if role in memberships else "is not a member of"
            differing.append(f"the role {name} {verb} {role}")
    if database.owner_is_superuser:
        differing.append(f"the owner of the tables, {database.owner}, is a superuser")
    defaults = tx.row(_DEFAULTS)
    if defaults is None or not defaults["closed"]:
        differing.append(f"functions that {database.owner} makes are open to {PUBLIC}")
    granted, expected = _granted(tx), database.privileges()
    if revisions(tx).unknown:
        granted &= expected  # a later version grants more, which this one cannot judge
    ours = {*LOGINS, PUBLIC}
    differing += [f"{each.role} lacks {each}" for each in sorted(expected - granted)]
    differing += [
        f"{each.role} has {each}, and should not"
        for each in sorted(granted - expected)
        if each.role in ours or not of_ours
    ]
    return tuple(differing)


def _granted(tx: Tx) -> set[Privilege]:
    return {
        Privilege(row["kind"], row["name"], row["verb"], row["role"], row["column_name"])
        for row in tx.rows(_GRANTED)
    }
