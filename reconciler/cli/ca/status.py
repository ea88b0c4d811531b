"""Show the CA's version, health, root pin and provisioners.

The provisioners must be exactly those of this gateway, and the revocation list must be made every
30 seconds.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from reconciler.cli.shared.context import open_database, read_settings, verb
from reconciler.cli.shared.output import output_option, show_facts
from reconciler.clients.step_ca.client import CaClient, CaProvisioner
from reconciler.config import Settings, require
from reconciler.core.issuance.crl_locations import read_crl_locations
from reconciler.core.model.times import format_duration, rfc3339
from reconciler.core.privileges import Role
from reconciler.crypto.ca_material import CLAIMS, CRL_PERIOD, CRL_POLICY, PROVISIONERS, TEMPLATES
from reconciler.crypto.certificates import fingerprint_of, read_crl
from reconciler.crypto.ott import Provisioner
from reconciler.embedded.stepca import upgrade
from reconciler.embedded.stepca.config import read_ca_config
from reconciler.errors import MosaicError, Refused
from reconciler.operations.gateway_files import read_roots
from reconciler.operations.placement import move_facts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.core.issuance.crl_locations import CrlLocations
    from reconciler.crypto.certificates import CrlFacts
    from reconciler.store.db import Database


MAX_CRL_AGE: Final = 2 * CRL_PERIOD + timedelta(minutes=1)  # what clocks may differ by


@click.command(help=__doc__)
@output_option
@verb
def command(output: str) -> None:
    settings = read_settings()
    facts, places = asyncio.run(_ask(settings))
    facts["move"] = None
    if places is not None and places.moving:
        with ExitStack() as stack:
            database: Database | None = None
            with suppress(MosaicError):  # without the rows, the end of the move is not known
                database = stack.enter_context(open_database(settings, "ca status", Role.READER))
            facts["move"] = move_facts(places, database)
    show_facts(facts, output)
    if facts["differences"]:
        raise Refused(
            "ca_refused",
            f"the CA is not configured for this gateway: {'; '.join(facts['differences'])}",
            hint="restore the ca.json that `ca init` wrote, or correct it, and restart step-ca;"
            " `ca init`, run again, corrects what it says of the revocation list",
        )


async def ca_facts(settings: Settings) -> dict[str, Any]:
    """Return what the CA is, and how its provisioners differ from ours.

    Raises:
        Retry: `ca_unavailable`. NeedsEdit: `config_invalid`.
    """
    return (await _ask(settings))[0]


async def _ask(settings: Settings) -> tuple[dict[str, Any], CrlLocations | None]:
    roots = read_roots(require(settings.ca_root, "ca_root"))
    folder = require(settings.ca_provisioners, "ca_provisioners")
    ours = [Provisioner.load(folder / f"{name}.json") for name in PROVISIONERS]
    url = require(settings.ca_url, "ca_url")
    async with CaClient(url, roots) as ca:
        listed = await ca.provisioners()
        expected = sorted(f"JWK {each.name} {each.kid}" for each in ours)
        seen = sorted(f"{each.type} {each.name} {each.kid}" for each in listed)
        differences = [
            *([] if seen == expected else [f"got {seen}, expected {expected}"]),
            *(each for one in listed for each in _differences(one, settings)),
        ]
        issuers = await ca.intermediates()
        crl = read_crl(await ca.crl(), issuers[0])
        return {
            "url": url,
            "version": await ca.version(),
            "health": await ca.health(),
            "rootPins": [fingerprint_of(root) for root in roots],
            "intermediates": [fingerprint_of(each) for each in issuers],
            "crl": {
                "number": crl.number,
                "thisUpdate": rfc3339(crl.this_update),
                "nextUpdate": rfc3339(crl.next_update),
            },
            "provisioners": seen,
            "expected": expected,
            "provisionersAreOurs": not differences,
            "differences": [
                *differences,
                *_issuer_differences(crl.issuer_key_id, _places(listed)),
                *crl_differences(crl, settings),
            ],
        }, _places(listed)


def _issuer_differences(issuer_key_id: str, places: CrlLocations | None) -> Iterator[str]:
    """Yield that certificates name the list of another issuer than the one that signs them."""
    named = "" if places is None else places.list_url.rpartition("/")[2]
    if named not in {"", issuer_key_id}:
        yield (
            f"crl: certificates name the list of the issuer key {named}, and the intermediate has"
            f" the key {issuer_key_id}: sign a new intermediate for the same key"
        )


def crl_differences(crl: CrlFacts, settings: Settings) -> Iterator[str]:
    """Yield how the CA makes its revocation list in another way than ours.

    The CA does not say how: the `ca.json` of a home does, elsewhere the age of the list.
    """
    if settings.home is not None and settings.embedded:
        yield from upgrade.crl_differences(read_ca_config(settings.home.ca)[0])
        return
    age = datetime.now(UTC) - crl.this_update
    if age > MAX_CRL_AGE:
        yield (
            f"crl: its list was made {format_duration(age)} ago, and is to be made every"
            f" {format_duration(CRL_PERIOD)}: set {json.dumps(CRL_POLICY)} in its ca.json"
        )


def _places(listed: tuple[CaProvisioner, ...]) -> CrlLocations | None:
    """Return what the provisioners tell of places; what cannot be read is a difference."""
    for each in listed:
        with suppress(ValueError):
            return read_crl_locations(each.options.get("templateData") or {})
    return None


def _differences(listed: CaProvisioner, settings: Settings) -> Iterator[str]:
    """Yield how a provisioner's claims and template differ from ours."""
    ours = CLAIMS.get(listed.name, {})
    for name in sorted(ours.keys() | listed.claims.keys()):
        got, expected = listed.claims.get(name), ours.get(name)
        if got != expected:
            yield f"{listed.name}: {name}: got {got!r}, expected {expected!r}"
    template = str(listed.options.get("templateFile", "")).rpartition("/")[2]
    if template != TEMPLATES.get(listed.name):
        yield f"{listed.name}: template: got {template!r}, expected {TEMPLATES.get(listed.name)!r}"
    try:
        places = read_crl_locations(listed.options.get("templateData") or {})
    except ValueError as error:
        yield f"{listed.name}: {error}"
        return
    for name, got, wanted in (
        ("oidArc", places.oid_arc, settings.oid_arc),
        ("crlUrls", places.public_url, settings.public_url),
    ):
        if wanted is not None and got != wanted:
            yield f"{listed.name}: {name}: got {got!r}, expected {wanted!r}"
