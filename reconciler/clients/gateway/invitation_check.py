"""Testing an invitation before it is used: the clocks and the token. Nothing is spent."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from reconciler.crypto.csr import make_csr
from reconciler.crypto.keys import generate_key
from reconciler.crypto.proof import PROOF_SKEW
from reconciler.errors import Refused

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.clients.gateway.client import GatewayClient
    from reconciler.core.issuance.contract import TokenState
    from reconciler.core.issuance.invitation import Invitation


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What `peer add --check` learned: all of it as it must be, except perhaps the clock.

    `skew` is how far our clock is ahead of theirs, to about a second; None if they do not say.
    There are no addresses, but a proxy, where one resolves the name.
    """

    base_url: str
    addresses: tuple[str, ...]
    proxy: str | None
    pin: str
    token: TokenState
    skew: timedelta | None

    @property
    def clock_ok(self) -> bool:
        """Whether a proof of ours would be accepted now: it may be 60 s old."""
        return self.skew is None or abs(self.skew) <= PROOF_SKEW


async def check_invitation(
    client: GatewayClient, invitation: Invitation, now: datetime
) -> CheckReport:
    """Test the token of an invitation, and compare the clocks. Nothing is spent or written.

    Raises:
        MosaicError: why the token cannot be used.
    """
    token = await client.token_status(invitation.token)
    url, pin = invitation.base_url, invitation.pin
    return CheckReport(url, client.addresses, client.proxy, pin, token, _skew(client, now))


async def present_used(client: GatewayClient, invitation: Invitation) -> None:
    """Present a used invitation with a key that is thrown away; no certificate can come of it.

    Only a second use tells the grantor that its invitation was in other hands; a check does not.

    Raises:
        Refused: `token_spent`, `token_claimed` or another 410.
    """
    try:
        await client.enroll(invitation.token, make_csr(generate_key()))
    except Refused as error:
        raise explain_used(error) from None


def explain_used(refusal: Refused) -> Refused:
    """Return what a refusal means to a peer whose key did not spend the token."""
    if refusal.code != "token_spent":
        return refusal
    return Refused(
        refusal.code,
        "the invitation has been used, and not by this peer's key",
        hint="if you did not use it under another name, tell the grantor immediately: "
        "somebody else has a certificate of the grant",
    )


def require_clock(client: GatewayClient, now: datetime) -> None:
    """Raise if the other gateway states its time, and it is too far from ours.

    Raises:
        Refused: `proof_invalid`.
    """
    skew = _skew(client, now)
    if skew is not None and abs(skew) > PROOF_SKEW:
        apart = "ahead of" if skew > timedelta() else "behind"
        raise Refused(
            "proof_invalid",
            f"this clock is {abs(skew.total_seconds()):.0f} s {apart} the other gateway's, "
            "which would refuse our proofs",
            hint="set the clock, then run the same command again; nothing was spent",
        )


def _skew(client: GatewayClient, now: datetime) -> timedelta | None:
    return None if client.server_time is None else now - client.server_time
