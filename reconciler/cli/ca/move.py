"""Move the gateway to another public URL; certificates stay valid.

New certificates name the new URL. The old URL must stay reachable until the last certificate that
names it has expired: `ca status` shows when. Run the command while the gateway is stopped, and run
it again after an interruption. To move back, run it with the old URL.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from reconciler.cli.shared.context import open_database, read_settings, verb
from reconciler.config.document import change_config, read_document
from reconciler.core.model.origin import address_of, address_text, is_loopback, read_origin
from reconciler.core.model.text import printable, without_credentials
from reconciler.core.model.times import rfc3339
from reconciler.core.privileges import Role
from reconciler.core.setting_values import read_listen
from reconciler.embedded.stepca.config import read_ca_config
from reconciler.embedded.stepca.install import find_step_ca
from reconciler.embedded.stepca.move import begin_move, move_ends
from reconciler.embedded.stepca.trial import try_settings
from reconciler.embedded.stepca.upgrade import upgrade_ca
from reconciler.embedded.supervise import sole_gateway
from reconciler.errors import MosaicError, NeedsEdit
from reconciler.operations.placement import ask_places, port_warning

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.config import Settings
    from reconciler.config.home import Home
    from reconciler.core.issuance.crl_locations import CrlLocations

# of the endpoint's certificates, which no row knows: 25 h at most, and time to start it again
SERVERS_LIVE: Final = timedelta(hours=26)


@click.command(help=__doc__)
@click.argument("url")
@click.option(
    "--dir", "folder", metavar="DIR", help="The folder of the CA, if it is not in a home."
)
@verb
def command(url: str, folder: str | None) -> None:
    settings = read_settings()
    try:
        origin = read_origin(url)
    except ValueError as error:
        got = printable(without_credentials(url), 200)
        raise NeedsEdit("usage", f"URL: got {got!r}: {error}", hint="correct it") from None
    home = settings.home if folder is None and settings.embedded else None
    if folder is None and home is None:
        hint = "pass the folder of its ca.json: --dir DIR"
        raise NeedsEdit("usage", "the CA of this gateway is not in a home here", hint=hint)
    ca = home.ca if home is not None else Path(folder or "").absolute()
    with ExitStack() as stack:
        if home is not None:
            stack.enter_context(sole_gateway(home))
        if home is not None and settings.ca_provisioners is not None:
            upgrade_ca(ca, settings.ca_provisioners)
        _, before = read_ca_config(ca)
        step_ca = find_step_ca()
        if step_ca is not None and before.public_url != origin:
            try_settings(ca / ".trial", step_ca, origin, before.oid_arc, settings.listen)
        database = stack.enter_context(open_database(settings, "ca move", Role.READER))
        # ask a CA elsewhere: no certificate names a location that the CA was not started with yet
        in_force = home is not None or _runs_on(settings, before)
        others_live = timedelta() if home is not None else SERVERS_LIVE
        places = begin_move(ca, database, origin, others_live, in_force=in_force)
        if home is not None:
            _change_home(home, origin)
        until = move_ends(places, database)
    _tell(settings, origin, places, until)
    if home is None and not (in_force and places == before):
        click.echo(f"  next: restart step-ca, then each `serve` with MOSAIC_PUBLIC_URL={origin}")


def _runs_on(settings: Settings, places: CrlLocations) -> bool:
    """Tell whether the CA runs, and on these places."""
    try:
        return asyncio.run(ask_places(settings)) == places
    except MosaicError:  # one that does not run reads its new ca.json when it starts
        return False


def _tell(settings: Settings, origin: str, places: CrlLocations, until: datetime) -> None:
    click.echo(f"the gateway is at {origin} now; new certificates name it")
    if places.moving:
        former, end = ", ".join(places.former_urls), rfc3339(until.replace(microsecond=0))
        click.echo(f"  until {end} at the latest, peers use {former} too")
        click.echo(
            "  both URLs must reach it until then; each peer sets the new one in its manifest"
        )
    elsewhere = settings.assigned.get("public_url")
    if elsewhere is not None and not elsewhere.stored and settings.public_url != origin:
        wrong = f"{elsewhere.origin} is {settings.public_url}"
        click.echo(f"  {wrong}: change it to {origin}", err=True)
    after = read_settings(public_url=origin)
    if warning := port_warning(after):
        click.echo(f"  warning: {warning}", err=True)


def _change_home(home: Home, origin: str) -> None:
    """Write the new URL, and an address to listen on that goes with it where the old one did."""
    home.server_certificate.unlink(missing_ok=True)  # it names the old place alone
    stored = {name: assignment.text for name, assignment in read_document(home).items()}
    changed = {"public_url": origin}
    host, port = address_of(origin)
    old_host, old_port = address_of(read_origin(stored.get("public_url", origin)))
    own = read_listen(stored.get("listen", "0.0.0.0:1"))  # no address of its own
    if all(map(is_loopback, (host, old_host, own[0]))) and own[1] == old_port:
        local = "127.0.0.1" if host == "localhost" else host
        changed["listen"] = address_text((local, port))
    change_config(home, changed)
