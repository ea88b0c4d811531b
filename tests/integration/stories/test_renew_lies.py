"""A gateway that lies when it is asked, or does not answer, keeps nothing from the others."""

from __future__ import annotations

import json
import threading
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from reconciler.core.issuance.invitation import Invitation
from reconciler.crypto.ca_material import new_ca
from reconciler.crypto.certificates import MAX_BUNDLE, fingerprint_of
from reconciler.join import Joiner, join
from reconciler.loops.remote_grants import RemoteGrants
from reconciler.loops.renewals import Renewals
from reconciler.renew import renew
from reconciler.store.outbound import peers
from tests.integration.stories.test_join_lies import CA, ENROLL, TOKEN, issued
from tests.support.gateways.joiner import AGED, OUTBOUND, Beta, beta_of
from tests.support.gateways.liar import API, ROOTS, Liar, Response, lying, of_unknown_version

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from reconciler.renew import Renewer
    from reconciler.store.outbound.peers import Outbound

RENEW = f"POST {API}/certificates/renew"
GRANT = f"GET {API}/grant"
NEXT = new_ca("Next", datetime.now(UTC))
TRUE_ROOTS = Response(200, CA.root.encode())
SHORT_S = 15.0  # less than an answer may take


@pytest.fixture
def liars() -> Iterator[tuple[Liar, Liar]]:
    """Two gateways, of which the first one lies."""
    with ExitStack() as stack:
        yield stack.enter_context(lying(CA)), stack.enter_context(lying(CA))


@pytest.fixture
def beta(liars: tuple[Liar, Liar], database_url: str, tmp_path: Path) -> Beta:
    """A peer of both, as `alpha` and `gamma`; the first certificate is due before the second."""
    first, second = (OUTBOUND.format(endpoint=each.url) for each in liars)
    beta = beta_of(database_url, tmp_path / "keys", liars[0].url)
    beta.rows.apply(first, second.replace("name: alpha", "name: gamma"))
    for name, liar in zip(("alpha", "gamma"), liars, strict=True):
        liar.say(ENROLL, issued)
        liar.say(RENEW, issued)
        enroll(beta, name, Invitation(liar.url, TOKEN, fingerprint_of(CA.root)))
    beta.rows.run(AGED)
    return beta


def enroll(beta: Beta, name: str, invitation: Invitation) -> None:
    async def run(joiner: Joiner) -> None:
        await join(joiner, name, invitation)

    beta.run(run)


def pass_once(beta: Beta) -> Renewals:
    async def run(renewer: Renewer) -> Renewals:
        renewals = Renewals(renewer)
        await renewals.renew_due()
        return renewals

    passed: Renewals = beta.run_renewal(run)
    return passed


def serial(beta: Beta, name: str) -> str:
    with beta.rows.database.transaction() as tx:
        certificate = peers.find(tx, name).certificate
    assert certificate is not None
    return certificate.serial


@pytest.mark.parametrize(
    "bundle",
    [
        CA.root + of_unknown_version(CA.root),
        "".join(new_ca("Other", datetime.now(UTC)).root for _ in range(MAX_BUNDLE)),
    ],
    ids=["unreadable", "too many to read again"],
)
def test_roots_that_are_a_lie_keep_no_other_from_being_renewed(
    liars: tuple[Liar, Liar], beta: Beta, bundle: str
) -> None:
    before = serial(beta, "gamma")
    liars[0].say(ROOTS, TRUE_ROOTS, Response(200, bundle.encode()))
    pass_once(beta)

    assert list(pass_once(beta).waiting) == ["alpha"]
    assert serial(beta, "gamma") != before


def test_a_root_that_came_over_a_verified_connection_is_trusted_once_it_has_replaced_the_first(
    liars: tuple[Liar, Liar], beta: Beta
) -> None:
    liars[0].say(ROOTS, Response(200, (CA.root + NEXT.root).encode()))
    liars[0].say(GRANT, Response(503))
    pass_once(beta)
    beta.rows.run(AGED)
    before = serial(beta, "alpha")
    with lying(NEXT) as rotated:
        rotated.say(ROOTS, Response(200, (NEXT.root + CA.root).encode()))
        rotated.say(RENEW, issued)
        beta.rows.run(
            "UPDATE federation_peers SET endpoint_url = :url WHERE name = 'alpha'", url=rotated.url
        )
        assert not pass_once(beta).waiting
    assert serial(beta, "alpha") != before
    with beta.rows.database.transaction() as tx:
        assert peers.find(tx, "alpha").roots == (NEXT.root, CA.root)


def test_a_defect_with_one_keeps_no_other_from_being_renewed(
    beta: Beta, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def defective(renewer: Renewer, peer: Outbound) -> str:
        if peer.name == "alpha":
            raise AssertionError
        return await renew(renewer, peer)

    monkeypatch.setattr("reconciler.loops.renewals.renew", defective)
    before = serial(beta, "gamma")

    assert list(pass_once(beta).waiting) == ["alpha"]
    assert serial(beta, "gamma") != before


def test_who_does_not_answer_is_not_waited_for_by_the_others(
    liars: tuple[Liar, Liar], beta: Beta
) -> None:
    answered, waited = threading.Event(), list[bool]()

    def wait(csr: bytes) -> Response:
        waited.append(answered.wait(SHORT_S))
        return issued(csr)

    def answer(csr: bytes) -> Response:
        answered.set()
        return issued(csr)

    liars[0].say(RENEW, wait)
    liars[1].say(RENEW, answer)
    pass_once(beta)

    assert waited == [True], "the second one was asked meanwhile"


def test_who_does_not_say_what_its_grant_is_keeps_no_other_from_saying_so(
    liars: tuple[Liar, Liar], beta: Beta
) -> None:
    answered, waited = threading.Event(), list[bool]()
    held = beta.held().grant
    assert held is not None

    def wait(_: bytes) -> Response:
        waited.append(answered.wait(SHORT_S))
        return Response(404)

    def answer(_: bytes) -> Response:
        answered.set()
        return Response(200, json.dumps(held | {"status": "suspended"}).encode())

    async def run(renewer: Renewer) -> None:
        await RemoteGrants(renewer).ask_due()

    liars[0].say(GRANT, wait)
    liars[1].say(GRANT, answer)
    beta.run_renewal(run)

    assert waited == [True], "the second one was asked meanwhile"
    withdrawn = "SELECT withdrawn ->> 'what' FROM federation_peers WHERE name = 'gamma'"
    assert beta.rows.one(withdrawn) == "suspended"
