"""What SQLAlchemy raises, which migrations use: the driver's errors in its own."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from reconciler.errors import Retry
from reconciler.store.connection.statement_errors import statement_failure, translated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.store.connection.connector import Connector


@contextmanager
def engine_translated(connector: Connector) -> Iterator[None]:
    """Turn the errors of an engine into ours, as `translated` does with those of the driver.

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
    except SQLAlchemyError as error:
        raise Retry(
            "database_unavailable", f"{connector.address} failed: {type(error).__name__}"
        ) from None
