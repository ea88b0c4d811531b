"""The client of a step-ca that is down, stopped, broken or busy: what was sent is known."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from reconciler.clients.step_ca.answers import GrantAnswer, NotSent, Unanswered
from reconciler.clients.step_ca.client import DEFAULT_TIMEOUTS, CaClient
from reconciler.clients.step_ca.client import MAX_IN_FLIGHT as MOST
from reconciler.errors import Retry
from tests.support.gateways.step_ca_client import (
    impatient,
    listed,
    new_serial,
    run,
    sign,
)
from tests.support.waiting import wait_until

if TYPE_CHECKING:
    from tests.support.gateways.step_ca import Authority


def test_a_ca_that_is_down_was_sent_nothing(own_authority: Authority) -> None:
    client = impatient(own_authority)
    own_authority.stop()

    async def story(client: CaClient) -> None:
        assert isinstance(await sign(client), NotSent)
        for ask in (client.revoke(new_serial(), "x"), client.crl(), client.health()):
            with pytest.raises(Retry) as caught:
                await ask
            assert caught.value.code == "ca_unavailable"
            assert caught.value.message == "step-ca is not available: Connection refused"
            assert "`up` and `serve` start it" in caught.value.hint

    run(client, story)


def test_a_ca_that_stops_while_it_signs_leaves_the_serial_in_doubt(
    own_authority: Authority,
) -> None:
    serial = new_serial()

    async def story(client: CaClient) -> GrantAnswer:
        assert await client.health() == "ok"  # a connection is open, so the request does leave
        stop(own_authority)
        return await sign(client, serial)

    try:
        answer = run(impatient(own_authority), story)
    finally:
        resume(own_authority)
    assert isinstance(answer, Unanswered), answer

    async def settle(client: CaClient) -> None:
        await client.revoke(serial, "nobody knows")
        await listed(client, own_authority, serial)

    run(impatient(own_authority, timeouts=DEFAULT_TIMEOUTS), settle)


def test_a_ca_that_does_not_even_shake_hands_was_sent_nothing(own_authority: Authority) -> None:
    client = impatient(own_authority)
    stop(own_authority)  # the kernel still accepts, and nobody speaks TLS
    try:
        assert isinstance(run(client, sign), NotSent)
    finally:
        resume(own_authority)


def test_a_ca_that_fails_inside_leaves_the_serial_in_doubt(
    own_authority: Authority,
) -> None:
    (own_authority.folder / "templates" / "peer.tpl").write_text("{{ broken")
    answer = run(impatient(own_authority, timeouts=DEFAULT_TIMEOUTS), sign)
    assert isinstance(answer, Unanswered)
    assert "HTTP 500" in answer.reason


def test_no_more_than_eight_are_in_flight_and_the_rest_wait(
    own_authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reconciler.clients.step_ca.client.SLOT_WAIT_S", 0.2)

    async def story(client: CaClient) -> list[GrantAnswer]:
        await client.health()
        stop(own_authority)
        return await asyncio.gather(*(sign(client) for _ in range(MOST + 3)))

    try:
        answers = run(impatient(own_authority), story)
    finally:
        resume(own_authority)
    busy = [each for each in answers if isinstance(each, NotSent) and "busy" in each.reason]
    assert len(busy) == 3


def stop(ca: Authority) -> None:
    assert ca.process is not None
    ca.process.send_signal(signal.SIGSTOP)
    state = Path(f"/proc/{ca.process.pid}/stat")  # proc(5): T is stopped
    wait_until(lambda: state.read_text().rpartition(")")[2].split()[0] == "T", "it is stopped")


def resume(ca: Authority) -> None:
    assert ca.process is not None
    ca.process.send_signal(signal.SIGCONT)
