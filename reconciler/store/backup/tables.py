"""All rows of a database in one snapshot, and back: by COPY, as text, a table at a time.

Not by `pg_dump`: its output is SQL, which runs with every right of who restores it, and one of
PostgreSQL 18 is not for 15. Here the migrations make the schema, and an archive holds values only.
"""

from __future__ import annotations

from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Any, Final

from psycopg import sql

from reconciler.core.backup.manifest import DatabaseState, TableRows
from reconciler.errors import Refused
from reconciler.store.audit import position
from reconciler.store.schema import revisions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from reconciler.store.db import Tx

# what the migrations write, and no program after them
BY_MIGRATIONS: Final = frozenset({"alembic_version", "federation_moves"})
_COLUMNS: Final = """
SELECT c.relname AS name, array_agg(a.attname::text ORDER BY a.attnum) AS columns
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'
    AND c.relname LIKE 'federation\\_%' AND a.attnum > 0 AND NOT a.attisdropped
    AND a.attgenerated = '' GROUP BY c.relname ORDER BY c.relname
"""
_REFERENCES: Final = """
SELECT DISTINCT of_table.relname AS name, other.relname AS other
FROM pg_constraint AS k JOIN pg_class AS of_table ON of_table.oid = k.conrelid
JOIN pg_class AS other ON other.oid = k.confrelid
WHERE k.contype = 'f' AND k.conrelid <> k.confrelid
    AND of_table.relnamespace = current_schema()::regnamespace ORDER BY 1, 2
"""
_SEQUENCES: Final = """
SELECT a.attrelid::regclass::text AS name, a.attname AS column_name,
    pg_get_serial_sequence(a.attrelid::regclass::text, a.attname) AS sequence
FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
WHERE c.relnamespace = current_schema()::regnamespace AND c.relname LIKE 'federation\\_%'
    AND a.attidentity <> '' ORDER BY 1
"""


def database_state(tx: Tx) -> DatabaseState:
    """Return what the snapshot of a transaction is of."""
    row = tx.one("SELECT system_identifier, epoch, now() AS at FROM federation_control")
    return DatabaseState(
        migration=revisions(tx).current or "",
        system_identifier=row["system_identifier"],
        epoch=row["epoch"],
        audit=position.head(tx),
        at=row["at"],
    )


def tables(tx: Tx) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return the tables and their columns, each after those that it refers to."""
    columns = {row["name"]: tuple(row["columns"]) for row in tx.rows(_COLUMNS)}
    graph: dict[str, set[str]] = {name: set() for name in columns}
    for row in tx.rows(_REFERENCES):
        graph[row["name"]].add(row["other"])
    order = TopologicalSorter(graph).static_order()
    return tuple((name, columns[name]) for name in order if name not in BY_MIGRATIONS)


def copy_out(tx: Tx, name: str, columns: tuple[str, ...], write: Callable[[bytes], Any]) -> int:
    """Write the rows of a table; return how many there are."""
    statement = sql.SQL("COPY {} ({}) TO STDOUT").format(sql.Identifier(name), _list(columns))
    cursor = _cursor(tx)
    with cursor.copy(statement) as copy:
        for chunk in copy:
            write(bytes(chunk))
    return int(cursor.rowcount)


def copy_in(tx: Tx, rows: TableRows, chunks: Iterable[bytes]) -> None:
    """Replace the rows of a table by others.

    Raises:
        Refused: `backup_invalid`: they are not as many as is said.
    """
    _empty(tx, rows.name)
    name, columns = sql.Identifier(rows.name), _list(rows.columns)
    cursor = _cursor(tx)
    with cursor.copy(sql.SQL("COPY {} ({}) FROM STDIN").format(name, columns)) as copy:
        for chunk in chunks:
            copy.write(chunk)
    if cursor.rowcount != rows.rows:
        raise Refused(
            "backup_invalid",
            f"{rows.member} has {cursor.rowcount:,} rows, its manifest says {rows.rows:,}",
            hint="nothing was restored from it; use another backup",
        )


def set_sequences(tx: Tx) -> None:
    """Let every sequence go on after the rows that were copied in."""
    for row in tx.rows(_SEQUENCES):
        statement = sql.SQL("SELECT setval({}, (SELECT coalesce(max({}), 0) + 1 FROM {}), false)")
        _cursor(tx).execute(
            statement.format(
                sql.Literal(row["sequence"]),
                sql.Identifier(row["column_name"]),
                sql.Identifier(row["name"]),
            )
        )


def _empty(tx: Tx, name: str) -> None:
    """Remove what migrations have written: the row of a table that is made of one."""
    table = sql.Identifier(name)
    if _cursor(tx).execute(sql.SQL("SELECT FROM {} LIMIT 1").format(table)).fetchone() is None:
        return
    triggers = tx.rows(
        "SELECT tgname FROM pg_trigger WHERE tgrelid = CAST(:name AS regclass)"
        " AND NOT tgisinternal AND tgenabled = 'A' AND tgname LIKE '%\\_kept'",
        name=name,
    )
    for verb in ("DISABLE", None, "ENABLE ALWAYS"):
        if verb is None:
            _cursor(tx).execute(sql.SQL("DELETE FROM {}").format(table))
            continue
        for row in triggers:
            trigger = sql.Identifier(row["tgname"])
            statement = sql.SQL("ALTER TABLE {} {} TRIGGER {}")
            _cursor(tx).execute(statement.format(table, sql.SQL(verb), trigger))


def _list(columns: tuple[str, ...]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def _cursor(tx: Tx) -> Any:
    return tx.driver.cursor()
