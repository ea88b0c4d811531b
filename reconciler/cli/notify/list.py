"""List the targets of notices, what waits for each, and the last error.

A target is named by `[[notify]]` in `mosaic.toml`, or in the file of MOSAIC_NOTIFY_FILE.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from reconciler.cli.shared.context import read_settings, read_transaction, verb
from reconciler.cli.shared.formatting import away
from reconciler.cli.shared.output import output_option, show_list
from reconciler.config.notify import read_targets
from reconciler.core.model.times import rfc3339
from reconciler.core.notices.model import FILTERABLE
from reconciler.core.notices.target import OF_COMMITS
from reconciler.store.notices.targets import TargetState, states

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.cli.shared.formatting import Row
    from reconciler.core.notices.target import Target


def _events(row: Row) -> str:
    """Return what a target is told; one of another process's settings may be unknown here."""
    events = row["events"]
    if events is None:
        return "not in these settings"
    return {_EVERY: "all", _OF_COMMITS: "status of commits"}.get(tuple(events), ", ".join(events))


_EVERY: Final = tuple(map(str, FILTERABLE))
_OF_COMMITS: Final = tuple(map(str, OF_COMMITS))


def _error(row: Row) -> str:
    error = row["lastError"]
    if error is None:
        return "-"
    over = "" if row["attempts"] else " (over)"
    return f"{away(error['at'])}: {error['message']}{over}"


COLUMNS = (
    ("NAME", lambda row: row["name"]),
    ("KIND", lambda row: row["kind"]),
    ("EVENTS", _events),
    ("QUEUE", lambda row: f"{row['queue']:,}"),
    ("GIVEN UP", lambda row: f"{row['givenUp']:,}"),
    ("LAST SUCCESS", lambda row: away(row["lastSuccess"]) if row["lastSuccess"] else "-"),
    ("LAST ERROR", _error),
)


@click.command(help=__doc__)
@output_option
@verb
def command(output: str) -> None:
    settings = read_settings()
    targets = {each.name: each for each in read_targets(settings)}
    with read_transaction(settings, "notify list") as tx:
        known = {each.name: each for each in states(tx)}
    rows = [_document(name, targets.get(name), known.get(name)) for name in sorted(targets | known)]
    show_list(rows, COLUMNS, output, "there are no targets; see docs/notices.md")


# of a target to which no process has sent yet
_UNSEEN = TargetState("", "", 0, None, 0, None, False, None, None, None, 0, None)


def _document(name: str, target: Target | None, known: TargetState | None) -> dict[str, Any]:
    state = known or _UNSEEN
    error = None
    if state.last_error is not None:
        error = {"at": _time(state.last_error_at), "message": state.last_error}
    return {
        "name": name,
        "kind": str(target.kind) if target is not None else state.kind,
        "events": list(target.events) if target is not None else None,
        "queue": state.queue,
        "oldest": _time(state.oldest),
        "attempts": state.attempts,
        "nextAttempt": _time(state.next_attempt_at),
        "disabled": state.disabled,
        "lastSuccess": _time(state.last_success_at),
        "lastError": error,
        "givenUp": state.given_up,
        "givenUpAt": _time(state.given_up_at),
    }


def _time(at: datetime | None) -> str | None:
    return rfc3339(at) if at is not None else None
