"""Where the settings say that the gateway is, compared with what its certificates say.

Both are fixed in the CA's configuration. A gateway whose settings differ would refuse whatever its
CA signs, so this is looked at before a port is bound.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from reconciler.clients.step_ca.client import CaClient
from reconciler.config import require
from reconciler.core.issuance.crl_locations import CrlLocations, read_crl_locations
from reconciler.core.model.origin import address_of, is_loopback, origin_at
from reconciler.core.model.times import rfc3339
from reconciler.crypto.ca_material import PEERS
from reconciler.embedded.ports import free_ports, require_free
from reconciler.embedded.stepca.config import move_listener, read_ca_config
from reconciler.embedded.stepca.move import move_ends
from reconciler.errors import NeedsEdit, Refused
from reconciler.operations.gateway_files import read_roots

if TYPE_CHECKING:
    from reconciler.config import Settings
    from reconciler.store.db import Database


def places_in_home(settings: Settings) -> CrlLocations:
    """Return what the CA of a home is configured with, once the settings agree with it.

    Raises:
        NeedsEdit: `config_invalid`, with both values and what to type.
    """
    assert settings.home is not None
    _, places = read_ca_config(settings.home.ca)
    check_places(settings, places)
    return places


async def places_of_ca(settings: Settings, ca: CaClient) -> CrlLocations:
    """Return what a CA elsewhere says that it is configured with, once the settings agree.

    Raises:
        Retry: `ca_unavailable`. Refused: `ca_refused`: it has no provisioner of ours.
        NeedsEdit: `config_invalid`, with both values and what to type.
    """
    places = await provisioned_places(ca)
    check_places(settings, places)
    return places


async def ask_places(settings: Settings) -> CrlLocations:
    """Return what a CA elsewhere says that it is configured with, whatever the settings say.

    Raises:
        MosaicError: as `places_of_ca`.
    """
    roots = read_roots(require(settings.ca_root, "ca_root"))
    async with CaClient(require(settings.ca_url, "ca_url"), roots) as ca:
        return await provisioned_places(ca)


async def provisioned_places(ca: CaClient) -> CrlLocations:
    """Return what a CA says that it is configured with; raises as `places_of_ca`."""
    for each in await ca.provisioners():
        if each.name == PEERS:
            try:
                return read_crl_locations(each.options.get("templateData") or {})
            except ValueError as error:
                raise _not_ours(str(error)) from None
    raise _not_ours(f"it has no provisioner {PEERS!r}")


def public_url_facts(settings: Settings, database: Database | None) -> str:
    """Return where the gateway is, once settings and CA agree about it.

    `database` is read to say how long a move takes.

    Raises:
        MosaicError: as `places_in_home` and `places_of_ca`.
    """
    if settings.embedded:
        places = places_in_home(settings)
    else:
        places = asyncio.run(ask_places(settings))
        check_places(settings, places)
    facts = move_facts(places, database)
    moving = f"; {move_text(facts)}" if facts is not None else ""
    return f"{places.public_url}, as the CA's certificates say{moving}"


def move_facts(places: CrlLocations, database: Database | None) -> dict[str, Any] | None:
    """Return what outputs tell of a move that is under way: `{from, to, until}`; else None."""
    if not places.moving:
        return None
    until = (
        rfc3339(move_ends(places, database).replace(microsecond=0))
        if database is not None
        else None
    )
    return {"from": list(places.former_urls), "to": places.public_url, "until": until}


def move_text(facts: dict[str, Any]) -> str:
    """Return a move as people read it."""
    until = f" until {facts['until']} at the latest" if facts["until"] else ""
    return f"a move is in progress: peers use {', '.join(facts['from'])} too{until}"


def check_places(settings: Settings, places: CrlLocations) -> None:
    """Compare the settings with the CA's.

    Raises:
        NeedsEdit: `config_invalid`, with both values and what to type.
    """
    public_url = require(settings.public_url, "public_url")
    if public_url != places.public_url:
        raise NeedsEdit(
            "config_invalid",
            f"{settings.origin_of('public_url')}: got {public_url!r}, but the certificates of this"
            f" gateway's CA say {places.public_url!r}",
            hint=f"set public_url (MOSAIC_PUBLIC_URL) to {places.public_url}, or move the gateway:"
            f" {move_command(settings, public_url)}",
        )
    if settings.oid_arc != places.oid_arc:
        raise NeedsEdit(
            "config_invalid",
            f"{settings.origin_of('oid_arc')}: got {settings.oid_arc!r}, but the certificates of"
            f" this gateway's CA have {places.oid_arc!r}",
            hint=f"set oid_arc (MOSAIC_OID_ARC) to {places.oid_arc}: the arc of a CA cannot be"
            " changed",
        )


def move_command(settings: Settings, url: str) -> str:
    """Return what to type to move the gateway of these settings."""
    where = "" if settings.embedded else " --dir DIR (the folder of the CA's ca.json)"
    return f"mosaic federation ca move {url}{where}"


def require_ports(settings: Settings) -> None:
    """Refuse an address that the endpoint cannot listen on; a home's step-ca follows `ca_url`.

    Raises:
        NeedsEdit: `config_invalid`, with who has the port and what to type.
    """
    if settings.home is not None and settings.embedded and settings.ca_url is not None:
        move_listener(settings.home.ca, address_of(settings.ca_url))
    hint = "stop that process, or set another address: listen (MOSAIC_LISTEN)"
    public = address_of(settings.public_url) if settings.public_url is not None else None
    if settings.embedded and public is not None and public[1] == settings.listen[1]:
        if is_loopback(public[0]):
            command = move_command(settings, origin_at((public[0], next(free_ports(), 0))))
            hint = f"stop that process, or move the gateway to a free port: {command}"
        else:
            hint += "; peers must reach it at the port of public_url"
    require_free(settings.listen, "the endpoint", hint)


def port_warning(settings: Settings) -> str | None:
    """Return the warning for an endpoint that listens on another port than its URL has."""
    if settings.public_url is None:
        return None
    public, own = address_of(settings.public_url)[1], settings.listen[1]
    if public == own:
        return None
    return (
        f"peers reach {settings.public_url} at port {public}, and the gateway listens on port"
        f" {own}: a proxy or the network must forward the one to the other"
    )


def _not_ours(reason: str) -> Refused:
    return Refused(
        "ca_refused",
        f"the CA does not say where this gateway is: {reason}",
        hint="restore the ca.json that `ca init` wrote, and restart step-ca",
    )
