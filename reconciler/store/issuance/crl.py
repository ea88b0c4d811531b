"""Revocation lists as the CA last signed them, one an issuer, so that serving one needs no CA."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.crypto.certificates import CrlFacts
    from reconciler.store.db import Tx


@dataclass(frozen=True, slots=True)
class StoredCrl:
    """A revocation list in DER, and the span it is for."""

    der: bytes
    this_update: datetime
    next_update: datetime


def store_crl(tx: Tx, facts: CrlFacts, der: bytes) -> None:
    """Keep a list whose signature has verified, unless a later one of its issuer is stored.

    The time decides, not the number: replicas of step-ca give one number twice.
    """
    tx.run(
        "INSERT INTO federation_crls AS stored"
        " (issuer_key_id, der, number, this_update, next_update)"
        " VALUES (:issuer, :der, :number, :this_update, :next_update)"
        " ON CONFLICT (issuer_key_id) DO UPDATE SET der = excluded.der,"
        " number = excluded.number, this_update = excluded.this_update,"
        " next_update = excluded.next_update WHERE stored.this_update <= excluded.this_update"
        " AND stored.der <> excluded.der",
        issuer=facts.issuer_key_id,
        der=der,
        number=facts.number,
        this_update=facts.this_update,
        next_update=facts.next_update,
    )


def newest_crl(tx: Tx, issuer: str | None) -> StoredCrl | None:
    """Return the list of an issuer's key id (hex), or the newest of all; None where none is."""
    row = tx.row(
        "SELECT der, this_update, next_update FROM federation_crls"
        " WHERE CAST(:issuer AS text) IS NULL OR issuer_key_id = :issuer"
        " ORDER BY this_update DESC LIMIT 1",
        issuer=issuer,
    )
    return StoredCrl(bytes(row["der"]), row["this_update"], row["next_update"]) if row else None
