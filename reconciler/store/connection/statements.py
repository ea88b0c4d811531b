"""Statements: their parameters, and what a failed one means.

That is told by its SQLSTATE (PostgreSQL, appendix A). Shown is the primary message at most: a
DETAIL line prints the row.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import psycopg

from reconciler.core.model.text import printable
from reconciler.errors import Defect, NeedsEdit, Refused, Retry
from reconciler.store.connection.session import read_only

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.store.connection.connector import Connector


# classes in which a later attempt may succeed, and limits of time that end a session
_RETRIED: Final = ("08", "53", "57", "58", "25P03", "25P04")


class Conflict(Exception):
    """Two transactions were in each other's way; running one again is safe."""


@contextmanager
def translated(
    connector: Connector, connection: psycopg.Connection | None = None
) -> Iterator[None]:
    """Turn the database's errors into ours, without their text: it may hold the row.

    What needs an edit is an outage to a long-running process: a password that was rotated, a file
    that is being replaced or a server that was exchanged may be right at the next attempt.

    Raises:
        Conflict, MosaicError.
    """
    try:
        yield
    except NeedsEdit as error:
        if error.code != "config_invalid" or not connector.lasting:
            raise
        raise Retry("database_unavailable", error.message, hint=error.hint) from error
    except psycopg.Error as error:
        # a limit of idle time ends the session too, say
        lost = connection is not None and connection.closed
        failure = statement_failure(error, connector, lost=lost)
        # the traceback still leads to the statement
        raise failure.with_traceback(error.__traceback__) from None


@contextmanager
def without_conflict() -> Iterator[None]:
    """Turn a conflict with another transaction into `Retry` (`database_unavailable`)."""
    try:
        yield
    except Conflict:
        raise Retry(
            "database_unavailable",
            "this transaction conflicted with another one; nothing was changed",
            hint="run the command again",
        ) from None


def statement_failure(
    cause: BaseException | None, connector: Connector, *, lost: bool = False
) -> Exception:
    """Return what psycopg's error of a statement means; `lost`: the connection is too."""
    failure = _failure(cause, connector, lost=lost)
    if isinstance(failure, NeedsEdit) and connector.lasting:
        return Retry("database_unavailable", failure.message, hint=failure.hint)
    return failure


def _failure(cause: BaseException | None, connector: Connector, *, lost: bool) -> Exception:
    state = getattr(cause, "sqlstate", None)
    diagnostics = getattr(cause, "diag", None)
    constraint = getattr(diagnostics, "constraint_name", None) or ""
    primary = printable(getattr(diagnostics, "message_primary", None) or "", 500)
    match state:
        case "40P01" | "40001":  # deadlock, serialization failure
            return Conflict()
        case "55P03":
            message = "a row or the lock was not released in time"
            return Retry("lock_held", message, hint="try again")
        case "42P01" | "42703" | "42883":  # no such table, column, function
            return NeedsEdit(
                "schema_missing",
                "the database has no current schema",
                hint="run `mosaic federation db upgrade`",
            )
        case "23505":
            return Refused("name_taken", f"the database has such a row already ({constraint})")
        case "25006" if connector.session is not None:
            return read_only(connector.address, connector.session)
        case "42501":
            return NeedsEdit(
                "config_invalid",
                f"{connector.address} denies a statement: {primary}",
                hint="grant the right to the role, or use the role that ran the migrations",
            )
    if lost or _may_pass(cause, state):
        reason = f"{primary} (SQLSTATE {state})" if state else _first_line(cause)
        return Retry(
            "database_unavailable",
            f"{connector.address}: {reason}",
            hint="try again; the server's log says why",
        )
    what = constraint or primary or type(cause).__name__
    return Defect("internal", f"the database refused a statement (SQLSTATE {state}): {what}")


def _may_pass(cause: BaseException | None, state: str | None) -> bool:
    return isinstance(cause, psycopg.OperationalError) if not state else state.startswith(_RETRIED)


def _first_line(cause: BaseException | None) -> str:
    """Return why a connection was lost, in libpq's words: they hold nothing of a row."""
    return printable(str(cause).partition("\n")[0], 500)


_PARAMETER: Final = re.compile(r"(?<![:\w\\]):(\w+)(?![:\w])")  # `:name`, and no cast (`::`)


@lru_cache(maxsize=512)
def in_driver_form(statement: str) -> bytes:
    """Return a statement whose parameters are written as psycopg has them."""
    return _PARAMETER.sub(r"%(\1)s", statement.replace("%", "%%")).encode()


@lru_cache(maxsize=512)
def in_server_form(statement: str) -> tuple[bytes, tuple[str, ...]]:
    """Return a statement whose parameters are numbered, and their names in that order."""
    numbers: dict[str, int] = {}

    def numbered(match: re.Match[str]) -> str:
        return f"${numbers.setdefault(match[1], len(numbers) + 1)}"

    return _PARAMETER.sub(numbered, statement).encode(), tuple(numbers)
