"""The summary of what failed: what is done, why it failed, what was not attempted."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import click

from reconciler.core.model.text import counted
from reconciler.errors import MosaicError, NeedsEdit, Refused, Retry

if TYPE_CHECKING:
    from collections.abc import Iterator

AGAIN: Final = "the same command can be run again at once"
# nothing was tried: the words were wrong, or a person did not say yes
NO_ATTEMPT: Final = frozenset({"usage", "confirmation_needed", "declined"})


@dataclass(slots=True)
class ApplyProgress:
    """How far an apply has come: all of it is one transaction.

    `planned` is the number of changes, once it is known; `committing` is set when all is written
    and only the commit is left, `committed` when the database has said that it is there.
    """

    planned: int | None = None
    committing: bool = False
    committed: bool = False


@contextmanager
def summarised() -> Iterator[ApplyProgress]:
    """Say on standard error what an apply that fails within the block has left.

    Raises:
        Retry: `database_unavailable`, saying that nobody knows whether it was committed.
    """
    progress = ApplyProgress()
    try:
        yield progress
    except BaseException as error:
        if progress.committed:
            if _is_interruption(error) and progress.planned:
                done = counted(progress.planned, "change")
                _tell(done, "interrupted", "the rest of the output", "every change is committed")
            raise
        if isinstance(error, MosaicError) and error.code in NO_ATTEMPT:
            raise
        if lost_at_commit(progress, error):
            _tell("everything, or nothing", _why(error), "nothing", "run again to find out")
            raise _unknown(error) from None
        left = "every change" if progress.planned is None else counted(progress.planned, "change")
        _tell("nothing", _why(error), left, _then(error))
        raise


@dataclass(slots=True)
class Tally:
    """How many of several things are done, each of which stands by itself."""

    done: int = 0


@contextmanager
def tallied(noun: str, total: int | None = None, *, then: str = AGAIN) -> Iterator[Tally]:
    """Say on standard error how far what fails within the block has come.

    `total` is how many things there are, where that is known.
    """
    tally = Tally()
    try:
        yield tally
    except BaseException as error:
        left = "the rest" if total is None else counted(max(total - tally.done - 1, 0), noun)
        _tell(counted(tally.done, noun), _why(error), left, then)
        raise


def lost_at_commit(progress: ApplyProgress, error: BaseException) -> bool:
    """Tell whether an error leaves it open if the changes are there."""
    refused = isinstance(error, MosaicError) and error.code != "database_unavailable"
    return progress.committing and not refused


def _unknown(error: BaseException) -> BaseException:
    if not isinstance(error, MosaicError):
        return error
    return Retry(
        error.code,
        f"{error.message}; the connection was lost at the commit: either all changes were made,"
        " or none",
        hint="run the same command again: it does what is left, or finds nothing to do",
    )


def _why(error: BaseException) -> str:
    if isinstance(error, MosaicError):  # only its kind: the error itself is printed below
        title = error.outcome.title
        return "an unexpected error" if error.code == "internal" else title[0].lower() + title[1:]
    if isinstance(error, click.exceptions.Exit):
        return "the guard refuses it"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return "interrupted" if _is_interruption(error) else type(error).__name__


def _is_interruption(error: BaseException) -> bool:
    return isinstance(error, (KeyboardInterrupt, click.Abort))


def _then(error: BaseException) -> str:
    if isinstance(error, (Refused, NeedsEdit, click.exceptions.Exit)):
        return "nothing was changed"
    return f"nothing was changed: {AGAIN}"


def _tell(done: str, failed: str, left: str, then: str) -> None:
    click.echo(f"Summary: done: {done}. Failed: {failed}. Not attempted: {left}.", err=True)
    click.echo(f"  {then}", err=True)
