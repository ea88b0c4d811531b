"""A gateway's move: what of it is due now, by the certificates that the rows say are live."""

from __future__ import annotations

from typing import TYPE_CHECKING

from reconciler.core.issuance.crl_locations import (
    CrlReference,
    advance_move,
    crl_url_at,
    end_of_move,
    start_move,
)
from reconciler.core.issuance.invitation import API_PREFIX
from reconciler.crypto.certificates import read_certificate, subject_key_id
from reconciler.embedded.stepca.config import change_places, read_ca_config
from reconciler.store.issuance.read import live_certificates

if TYPE_CHECKING:
    from datetime import datetime, timedelta
    from pathlib import Path

    from reconciler.core.issuance.crl_locations import CrlLocations
    from reconciler.store.db import Database


def begin_move(
    folder: Path, database: Database, origin: str, others_live: timedelta, *, in_force: bool
) -> CrlLocations:
    """Move the CA of a folder to another origin, as far as can be now; return its places.

    Certificates that no row knows, and that name the old place alone, end within `others_live`.
    What is not `in_force`, as the CA does not run on it yet, is taken no further.

    Raises:
        NeedsEdit: `config_invalid`: as `change_places`.
    """
    issuer = subject_key_id((folder / "intermediate_ca.crt").read_text())
    url = crl_url_at(origin, issuer)
    live, now = _live(database, url)

    def change(places: CrlLocations) -> CrlLocations:
        if places.public_url != origin:
            places = start_move(places, url, now + others_live)
        return advance_move(places, live, now) if in_force else places

    return change_places(folder, change)


def continue_move(folder: Path, database: Database) -> CrlLocations:
    """Take the steps of a move that are due; return the CA's places.

    Raises:
        NeedsEdit: `config_invalid`: as `change_places`.
    """
    _, places = read_ca_config(folder)
    if not places.moving:
        return places
    live, now = _live(database, places.certificate_urls[0])
    if advance_move(places, live, now) == places:
        return places
    return change_places(folder, lambda has: advance_move(has, live, now))


def move_ends(places: CrlLocations, database: Database) -> datetime:
    """Return until when certificates name a former place, at the latest."""
    live, now = _live(database, places.certificate_urls[0])
    return end_of_move(places, live, now)


def _live(database: Database, url: str) -> tuple[list[CrlReference], datetime]:
    """Return the live certificates of the list at `url`, and the database's time."""
    with database.transaction() as tx:
        pems, now = live_certificates(tx), tx.now()
    facts = map(read_certificate, pems)
    listed = url.partition(API_PREFIX)[2]  # another issuer's have a list of their own
    return [
        CrlReference(each.crl_urls, each.not_after)
        for each in facts
        if any(place.endswith(listed) for place in each.crl_urls)
    ], now
