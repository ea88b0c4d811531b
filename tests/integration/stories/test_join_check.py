"""A check of an invitation: what would go wrong is named, and nothing is spent or written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from reconciler.clients.gateway.invitation_check import CheckReport, check_invitation
from reconciler.errors import Refused
from tests.support.gateways.grantor import token_status

if TYPE_CHECKING:
    from reconciler.core.issuance.invitation import Invitation
    from reconciler.join import Joiner
    from tests.support.gateways.grantor import Alpha
    from tests.support.gateways.joiner import Beta


async def check(joiner: Joiner, invitation: Invitation) -> CheckReport:
    async with joiner.connector.connect(invitation.base_url, invitation.pin) as client:
        return await check_invitation(client, invitation, joiner.connector.clock())


def test_a_check_spends_and_writes_nothing(alpha: Alpha, beta: Beta) -> None:
    invitation = alpha.invitation()
    report = beta.run(lambda joiner: check(joiner, invitation))
    assert (report.base_url, report.addresses) == (invitation.base_url, ("127.0.0.1",))
    assert (report.token.status, report.clock_ok) == ("open", True)
    assert token_status(alpha, invitation.token) == "open"
    assert beta.held().sealed_key is None
    assert beta.rows.audited("peer.key_stored") == []


def test_a_check_tells_how_far_the_clocks_are_apart(alpha: Alpha, beta: Beta) -> None:
    ahead = timedelta(minutes=5)
    invitation = alpha.invitation()
    report = beta.run(
        lambda joiner: check(joiner, invitation), clock=lambda: datetime.now(UTC) + ahead
    )
    assert not report.clock_ok
    assert abs(report.skew - ahead) < timedelta(seconds=5)


def test_a_check_names_what_is_wrong_with_the_token(alpha: Alpha, beta: Beta) -> None:
    old = alpha.invitation()
    alpha.invitation()
    with pytest.raises(Refused) as caught:
        beta.run(lambda joiner: check(joiner, old))
    assert caught.value.code == "token_void"
