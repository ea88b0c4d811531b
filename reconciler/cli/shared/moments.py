"""Moments as a command line takes them: RFC 3339, a date, or a duration ago."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from reconciler.core.model.times import format_duration, parse_moment
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
