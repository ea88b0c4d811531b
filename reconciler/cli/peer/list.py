"""List peers of every status, live ones first."""

from __future__ import annotations

import click

from reconciler.cli.shared.context import verb
from reconciler.cli.shared.formatting import Row, away, hold_of, status_of
from reconciler.cli.shared.listing import list_options, print_list
from reconciler.core.model.states import PeerStatus
from reconciler.store.views.peers import list_peers


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
    ("GRANTS", lambda row: ", ".join(_grants(row)) or "-"),
    ("CERTIFICATE EXPIRES", _certificate_ends),
    ("HELD", hold_of),
)


@click.command(help=__doc__)
@list_options("peer", PeerStatus)
@verb
def command(statuses: tuple[str, ...], live: bool, output: str) -> None:
    print_list("peer", list_peers, COLUMNS, statuses, live=live, output=output)
