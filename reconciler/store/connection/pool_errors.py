"""What SQLAlchemy raises: the driver's errors in its own, and those of its pool."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from reconciler.errors import Retry
from reconciler.store.connection.statement_errors import statement_failure, translated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.store.connection.connector import Connector


@contextmanager
def pool_translated(connector: Connector) -> Iterator[None]:
    """Turn the errors of a pool into ours, as `translated` does with those of the driver.

    Raises:
        Conflict, MosaicError.
    """
    try:
        with translated(connector):
            yield
    except DBAPIError as error:
        lost = error.connection_invalidated  # a limit of idle time ends the session too, say
        failure = statement_failure(error.orig, connector, lost=lost)
        # the traceback still leads to the statement
        raise failure.with_traceback(error.__traceback__) from None
    except PoolTimeoutError:
        raise Retry(
            "database_unavailable",
            "every connection of this process stayed in use",
            hint="try again; if it lasts, look for what waits in pg_stat_activity",
        ) from None
    except SQLAlchemyError as error:
        raise Retry(
            "database_unavailable", f"{connector.address} failed: {type(error).__name__}"
        ) from None
