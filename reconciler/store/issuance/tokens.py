"""Enrollment tokens: minted, and looked up by their public id. Only an HMAC is ever stored."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from reconciler.core.audit.certificate_events import TokenMinted
from reconciler.core.audit.event_base import grant_ref
from reconciler.core.issuance.refusals import token_invalid
from reconciler.core.issuance.tokens import (
    MAX_TOKEN_LIFE,
    PUBLIC_ID_RANDOM_BYTES,
    SECRET_RANDOM_BYTES,
    Token,
    new_token,
    same_mac,
    token_mac,
)
from reconciler.errors import NeedsEdit, Refused
from reconciler.store.audit import log as audit
from reconciler.store.db import new_id
from reconciler.store.ending import void_tokens
from reconciler.store.issuance import read as facts

if TYPE_CHECKING:
    from uuid import UUID

    from reconciler.store.db import Tx
    from reconciler.store.issuance.read import KnownToken

_NO_MAC = bytes(32)


@dataclass(frozen=True, slots=True)
class Minted:
    """A token, to be printed once, and until when it can be used: not after its grant."""

    token: Token
    expires_at: datetime


def mint(tx: Tx, grant_id: UUID, pepper: bytes, life: timedelta, actor: str) -> Minted:
    """Mint a token for a grant that has not ended; the one before is void from now on.

    Raises:
        NeedsEdit: `value_invalid`: the life is not within 1 s and `MAX_TOKEN_LIFE`.
        Refused: `state_conflict`: the grant has ended.
    """
    if not timedelta(seconds=1) <= life <= MAX_TOKEN_LIFE:
        raise NeedsEdit(
            "value_invalid",
            "the lifetime of a token is 1s to 7d",
            hint="choose a lifetime such as 1h or 2d",
        )
    grant = facts.grant_facts(tx, grant_id, lock=True)
    if grant.status.ended:
        raise Refused(
            "state_conflict",
            f"grant {grant.name!r} is {grant.status}: no peer can enroll under it",
            hint="to create it again, declare it, and apply: `mosaic federation apply`",
        )
    voided = void_tokens(tx, [grant_id])
    token = new_token(os.urandom(PUBLIC_ID_RANDOM_BYTES), os.urandom(SECRET_RANDOM_BYTES))
    now = tx.now()
    tx.run(
        "INSERT INTO federation_enrollment_tokens"
        " (id, grant_id, public_id, mac, expires_at, created_by)"
        " VALUES (:id, :grant, :public_id, :mac, :expires_at, :actor)",
        id=new_id(now),
        grant=grant_id,
        public_id=token.public_id,
        mac=token_mac(pepper, token),
        expires_at=now + life,
        actor=actor,
    )
    row, life_s = grant_ref(grant_id, grant.name), int(life.total_seconds())
    audit.append(tx, actor, [TokenMinted(row, token.public_id, life_s, voided)])
    return Minted(token, min(now + life, grant.expires_at))


def find(tx: Tx, presented_token: Token, pepper: bytes) -> KnownToken:
    """Return the token once its secret has verified, in constant time.

    Raises:
        Refused: `token_invalid`, the same for an unknown id and a wrong secret.
    """
    row = tx.only_row(facts.UNVERIFIED_TOKEN, public_id=presented_token.public_id)
    known = bytes(row["mac"]) if row is not None else _NO_MAC
    if not same_mac(known, token_mac(pepper, presented_token)) or row is None:
        raise token_invalid()
    return facts.known_token(row)
