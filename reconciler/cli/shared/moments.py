"""Moments and durations as a command line takes them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from reconciler.core.model.times import format_duration, parse_duration, parse_moment
from reconciler.errors import NeedsEdit

if TYPE_CHECKING:
    from reconciler.store.db import Tx


class MomentType(click.ParamType["datetime | timedelta"]):
    """The type of an argument or an option that is a moment."""

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime | timedelta:
        """Return what the text says."""
        try:
            return parse_moment(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class DurationType(click.ParamType[timedelta]):
    """A duration such as `30s`, `5m` or `24h`, from `shortest` up to `longest`."""

    name = "duration"

    def __init__(
        self, longest: timedelta = timedelta.max, shortest: timedelta = timedelta()
    ) -> None:
        self._longest, self._shortest = longest, shortest

    def convert(
        self,
        value: Any,
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> timedelta:
        """Return the duration of a text."""
        if isinstance(value, timedelta):
            return value
        try:
            duration = parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if duration > self._longest:
            self.fail(f"got {value!r}, expected up to {format_duration(self._longest)}", param, ctx)
        if duration < self._shortest:
            least = format_duration(self._shortest)
            self.fail(f"got {value!r}, expected {least} or more", param, ctx)
        return duration


DURATION: Final = DurationType()


def absolute(tx: Tx, moment: datetime | timedelta, name: str) -> datetime:
    """Return a moment by the database's clock; `name` is the argument's, for an error.

    Raises:
        NeedsEdit: `usage`: it is before the calendar begins.
    """
    if isinstance(moment, datetime):
        return moment
    try:
        return tx.now() - moment
    except OverflowError:
        raise NeedsEdit(
            "usage",
            f"{name}: {format_duration(moment)} ago is before the calendar begins",
            hint="write a shorter duration, or a date",
        ) from None
