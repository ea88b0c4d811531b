"""List peers of every status, live ones first."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from reconciler.cli.shared.context import verb
from reconciler.cli.shared.formatting import ORIGIN, Row, away, hold_of, status_of
from reconciler.cli.shared.listing import Listing, ListOptions, list_options
from reconciler.core.labels import Selector, read_selector
from reconciler.core.model.states import PeerStatus
from reconciler.store.views.peers import PeerFilter, list_peers

if TYPE_CHECKING:
    from reconciler.core.model.documents import PeerView
    from reconciler.store.db import Tx


MAX_GRANTS: Final = 5  # of a peer in a table; `-o json` has all


def _certificate_ends(row: Row) -> str:
    """Return when the certificate of an active outbound peer ends, or `-`."""
    certificate = row.get("certificate")
    if certificate is None or certificate["status"] != "issued":
        return "-"
    return away(certificate["notAfter"])


def _grants(row: Row) -> list[str]:
    """Return our grants to an inbound peer, or the one that an outbound peer gave us."""
    remote_grant = row.get("grant")
    return [str(remote_grant["name"])] if remote_grant is not None else list(row["grants"])


def _name_list(names: list[str]) -> str:
    """Return names as a line that somebody can read: the first ones, and how many there are."""
    more = len(names) - MAX_GRANTS
    return ", ".join(names[:MAX_GRANTS]) + (f", and {more:,} more" if more > 0 else "")


def _withdrawn(row: Row) -> str:
    """Return what an outbound peer's gateway took back of its grant, or `-`."""
    withdrawn = row.get("withdrawn")
    return f"{withdrawn['what']}, learned {away(withdrawn['learnedAt'])}" if withdrawn else "-"


COLUMNS = (
    ("NAME", lambda row: row["name"]),
    ("STATUS", status_of),
    ("OVER THERE", _withdrawn),
    ("DIRECTION", lambda row: row["direction"]),
    ("ENDPOINT", lambda row: row["endpoint"] or "-"),
    ("GRANTS", lambda row: _name_list(_grants(row)) or "-"),
    ("CERTIFICATE EXPIRES", _certificate_ends),
    ("HELD", hold_of),
)


WIDE = (
    ("CALLED", lambda row: row["displayName"]),
    ("LABELS", lambda row: ",".join(f"{name}={value}" for name, value in row["labels"].items())),
    ("ID", lambda row: row["id"]),
    *ORIGIN,
)


class SelectorType(click.ParamType[Selector]):
    """A selector of labels, as kubectl takes it."""

    name = "selector"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Selector:
        """Return the selector."""
        try:
            return value if isinstance(value, Selector) else read_selector(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command(help=__doc__)
@click.option(
    *("-l", "--selector"),
    type=SelectorType(),
    metavar="LABELS",
    default=Selector(),
    help="Only peers whose labels match: region=eu, region!=eu, region, 'region in (eu,us)'.",
)
@list_options("peer", PeerStatus)
@verb
def command(selector: Selector, options: ListOptions) -> None:
    def read(tx: Tx) -> list[PeerView]:
        peers = list_peers(tx, PeerFilter(statuses=options.statuses))
        return [each for each in peers if selector.selects(each.labels)]

    Listing("peer", COLUMNS, WIDE, options, filtered=bool(selector.requirements)).print(read)
