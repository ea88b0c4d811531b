"""Invitations that cannot be used: one line, the next thing to do, and nothing half done."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from reconciler.core.issuance.invitation import parse_invitation
from reconciler.core.issuance.tokens import new_token
from tests.support.commands.error_text import assert_error
from tests.support.commands.process import COMMAND
from tests.support.gateways.enrollee import API, Enrollee, bearer
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.conftest import Pair
    from tests.support.gateways.gateway import TestGateway


def nothing_done(gateway: TestGateway, name: str) -> None:
    """Check that there is neither a row nor a manifest of a peer."""
    assert gateway.sql(f"SELECT count(*) FROM federation_peers WHERE name = '{name}'") == "0"
    assert not (gateway.manifests / f"{name}.yaml").exists()


@pytest.fixture(scope="module")
def invitation(pair: Pair) -> str:
    """An invitation to a grant that nobody has enrolled under."""
    return pair.create("unused")


def spelled(invitation: str, token: str) -> str:
    before, _, after = invitation.partition("#token=")
    return f"{before}#token={token},{after.partition(',')[2]}"


def _another_host(invitation: str) -> str:
    return invitation.replace(urlsplit(invitation).netloc, "nowhere.invalid", 1)


def _a_closed_port(invitation: str) -> str:
    return invitation.replace(urlsplit(invitation).netloc, "127.0.0.1:1", 1)


def _another_path(invitation: str) -> str:
    return invitation.replace("/enroll#", "/enrol#")


def _plain_http(invitation: str) -> str:
    return invitation.replace("https:", "http:")


def _another_pin(invitation: str) -> str:
    return invitation[:-1] + ("0" if invitation[-1] != "0" else "1")


def _no_pin(invitation: str) -> str:
    return invitation.partition(",ca=")[0]


def _an_unknown_token(invitation: str) -> str:
    return spelled(invitation, new_token(os.urandom(10), os.urandom(32)).spelled())


def _a_wrong_secret(invitation: str) -> str:
    known = parse_invitation(invitation).token
    other = new_token(os.urandom(10), os.urandom(32))
    return spelled(invitation, replace(known, secret=other.secret).spelled())


def _a_mistyped_token(invitation: str) -> str:
    token = parse_invitation(invitation).token.spelled()
    return spelled(invitation, token[:30] + ("x" if token[30] != "x" else "y") + token[31:])


def _cut_short(invitation: str) -> str:
    return invitation[:-20]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_another_host, ("nowhere.invalid", "does not resolve")),
        (_a_closed_port, ("127.0.0.1:1", "cannot be reached")),
        (_another_path, ("https://",)),
        (_plain_http, ("does not begin with https://",)),
        (_another_pin, ("fingerprint", "nothing was sent", "ask the grantor")),
        (_no_pin, ("no pin",)),
        (_an_unknown_token, ("token",)),
        (_a_wrong_secret, ("token",)),
        (_a_mistyped_token, ("mistyped",)),
        (_cut_short, ("paste the whole invitation",)),
    ],
)
def test_an_invitation_that_is_not_right_does_nothing_at_all(
    pair: Pair, invitation: str, change: Callable[[str], str], words: tuple[str, ...]
) -> None:
    refused = pair.beta("peer", "add", change(invitation), "--name", "wrong")

    assert_error(refused, 1, *words)
    nothing_done(pair.beta, "wrong")
    assert parse_invitation(invitation).token.secret not in refused.err
    status = "SELECT status FROM federation_grants WHERE name = 'unused'"
    assert pair.alpha.sql(status) == "pending"


def test_an_invitation_of_the_gateway_itself_is_kept_for_its_peer(
    pair: Pair, invitation: str
) -> None:
    refused = pair.alpha("peer", "add", invitation, "--name", "wrong")

    assert_error(refused, 1, "this gateway has made the invitation itself", "send it to that peer")
    nothing_done(pair.alpha, "wrong")
    assert pair.alpha("peer", "add", invitation, "--check").code == 0  # that it can be reached


def test_an_invitation_that_has_expired_or_was_replaced_is_told_so(pair: Pair) -> None:
    first = pair.alpha.document("grant", "invite", "unused")["invitation"]["url"]
    second = pair.alpha.document("grant", "invite", "unused", "--token-life", "1s")
    time.sleep(1.5)  # longer than its life

    assert_error(pair.beta("peer", "add", first, "--name", "wrong"), 1, "withdrawn")
    expired = pair.beta("peer", "add", second["invitation"]["url"], "--name", "wrong")
    assert_error(expired, 1, "expired")
    nothing_done(pair.beta, "wrong")


@pytest.mark.parametrize("spent", [True, False], ids=["used", "claimed"])
def test_an_invitation_that_somebody_has_used_leaves_nothing_here_and_a_sign_there(
    pair: Pair, spent: bool
) -> None:
    grant = f"in-other-hands-{'used' if spent else 'claimed'}"
    link = pair.create(grant)
    presented_before = presented(pair, grant)
    with pair.alpha.client() as client:
        step_ca = pair.alpha.child("step-ca")
        if not spent:
            os.kill(step_ca, signal.SIGSTOP)
        try:
            thief = Enrollee().enroll(client, parse_invitation(link).token)
        finally:
            os.kill(step_ca, signal.SIGCONT)
    assert thief.status_code == (201 if spent else 503)

    refused = pair.beta("peer", "add", "-", "--name", "late", stdin=link)

    assert_error(refused, 1, "has been used" if spent else "claimed")
    nothing_done(pair.beta, "late")
    assert presented(pair, grant) == presented_before + 1


def presented(pair: Pair, grant: str) -> int:
    """Return how often a token of a grant was presented by another key than its own."""
    entries = pair.alpha.document("history", f"grant/{grant}")
    return len([each for each in entries if each["kind"] == "theft.suspected"])


def test_what_is_waited_for_is_told(pair: Pair) -> None:
    link = pair.create("slow-ca")
    step_ca = pair.alpha.child("step-ca")
    os.kill(step_ca, signal.SIGSTOP)
    try:
        with subprocess.Popen(
            [*COMMAND, "peer", "add", link, "--name", "slow"],
            cwd=pair.beta.cwd,
            env=pair.beta.environ(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as adding:
            assert adding.stderr is not None
            lines = iter(adding.stderr.readline, "")
            assert any(line.startswith("requesting a certificate from https://") for line in lines)
            waits = next(line for line in lines if line.startswith("waiting "))
            assert "the certificate authority does not answer" in waits
            os.kill(step_ca, signal.SIGCONT)
            adding.stderr.read()
            assert adding.wait() == 0
    finally:
        os.kill(step_ca, signal.SIGCONT)


def test_while_the_ca_is_down_the_token_is_kept_and_the_same_command_succeeds_later(
    pair: Pair,
) -> None:
    peer, token = Enrollee(), parse_invitation(pair.invite("unused")).token
    step_ca = pair.alpha.child("step-ca")
    os.kill(step_ca, signal.SIGSTOP)
    try:
        with pair.alpha.client() as client:
            refused = peer.enroll(client, token)
            assert (refused.status_code, refused.json()["code"]) == (503, "ca_unavailable")
            assert refused.json()["retryable"] is True
            assert int(refused.headers["Retry-After"]) > 0
            status = client.get(f"{API}/enroll", headers=bearer(token)).json()["status"]
            assert status == "claimed", "not spent"
        link = pair.invite("unused")
        add = ("peer", "add", link, "--name", "patient")
        with subprocess.Popen(
            [*COMMAND, *add],
            cwd=pair.beta.cwd,
            env=pair.beta.environ(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        ) as waiting:
            wait_until(lambda: _claimed(pair, link), "the peer has claimed it")
            waiting.send_signal(signal.SIGINT)
            assert waiting.stderr is not None
            assert "Traceback" not in waiting.stderr.read()
            assert waiting.wait() == 130
        assert pair.beta.document("peer", "show", "patient")["status"] == "pending"
    finally:
        os.kill(step_ca, signal.SIGCONT)

    pair.beta.ok(*add)

    assert pair.beta.document("peer", "show", "patient")["status"] == "active"
    certificates = pair.alpha.grant("unused")["certificates"]
    assert [each["status"] for each in certificates].count("issued") == 1


def _claimed(pair: Pair, link: str) -> bool:
    token = parse_invitation(link).token
    with pair.alpha.client() as client:
        answer = client.get(f"{API}/enroll", headers=bearer(token))
    return bool(answer.json().get("status") == "claimed")
