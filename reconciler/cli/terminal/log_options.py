"""`-v`, `--log-level` and `--log-format`: what every verb logs to standard error, and how."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from reconciler.cli.terminal.streams import print_events, verbatim_errors
from reconciler.log import LEVELS, LOG_FORMATS, TEXT, configure

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")

VARIABLE: Final = "MOSAIC_LOG_FORMAT"
_STATE: Final = f"{__name__}.state"  # of a context's meta: name, then value


def log_options(default_level: str, *, long_running: bool) -> Callable[[F], F]:
    """Return what adds the options; a long-running verb prints nothing that is not an event."""

    def remember(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
        if ctx.resilient_parsing:  # of shell completion, which logs nothing
            return
        # called for each of the options
        state = ctx.meta.setdefault(_STATE, {"default": default_level, "lasting": long_running})
        state[param.name] = value
        if param.name == "log_format":
            ctx.ensure_object(dict)["log_format"] = value
        use_log_format(state.get("log_format") or format_of_environment())

    level: Any = {"expose_value": False, "callback": remember, "is_eager": True}
    every = "Log everything, as --log-level debug does."
    lowest = "The lowest level that is logged to stderr."
    form = f"How it is logged ({VARIABLE})."

    def add(function: F) -> F:
        for option in (
            click.option("--log-format", type=click.Choice(LOG_FORMATS), help=form, **level),
            click.option("--log-level", type=click.Choice(LEVELS), help=lowest, **level),
            click.option("-v", "--verbose", is_flag=True, help=every, **level),
        ):
            function = option(function)
        return function

    return add


def format_of_environment() -> str:
    """Return the format that the environment names, before it is read as a setting."""
    named = os.environ.get(VARIABLE, "")
    return named if named in LOG_FORMATS else TEXT


def use_log_format(log_format: str) -> None:
    """Log in a format from now on, at the level of this command's options."""
    ctx = click.get_current_context(silent=True)
    state = ctx.meta.get(_STATE) if ctx is not None else None
    if state is None:  # no verb: what is logged has the defaults of `logging`
        print_events(log_format)
        return
    level = state.get("log_level") or ("debug" if state.get("verbose") else state["default"])
    configure(level, log_format, verbatim_errors())
    print_events(log_format, output=state["lasting"])
