"""Limits: places that are taken and given back, turns, and the warning of what is refused."""

from __future__ import annotations

import asyncio
import logging
import resource

import pytest

from reconciler.core.setting_values import RateLimit
from reconciler.web import refusal_log
from reconciler.web.limits import (
    RESERVED,
    Capacity,
    Limits,
    Quota,
    capacity_of,
    connection_rate,
    raise_descriptor_limit,
)
from reconciler.web.refusal_log import RefusalLog, RefusalReason
from reconciler.web.turns import Turns


def test_a_place_that_is_given_back_twice_is_free_once() -> None:
    quota = Quota(total=2, each=2)
    first, second = quota.take("a"), quota.take("a")
    assert first is not None
    assert second is not None
    assert quota.take("a") is None
    first.give_back()
    first.give_back()
    assert quota.take("a") is not None
    assert quota.take("a") is None


def test_a_client_may_not_have_more_than_its_own_limit() -> None:
    quota = Quota(total=10, each=2)
    assert [quota.take("a") is not None for _ in range(3)] == [True, True, False]
    assert quota.take("b") is not None


def test_who_holds_most_gives_its_oldest_place_to_who_holds_fewer() -> None:
    quota, evicted = Quota(total=6, each=6), []
    for number in range(4):
        lease = quota.take("greedy")
        assert lease is not None
        lease.evict = lambda number=number: evicted.append(number)
    assert [quota.take("modest") is not None for _ in range(4)] == [True, True, True, False]
    assert quota.take("greedy") is None
    assert evicted == [0]


def test_what_cannot_be_ended_is_not_evicted() -> None:
    quota = Quota(total=2, each=2)
    assert quota.take("a") is not None
    assert quota.take("a") is not None
    assert quota.take("b") is None


def test_a_trusted_proxy_counts_only_in_all() -> None:
    quota = Quota(total=5, each=1)
    assert [quota.take(None) is not None for _ in range(6)] == [True] * 5 + [False]


@pytest.mark.parametrize("descriptors", [64, 256, 1024, 20_000, 1 << 62])
def test_connections_leave_descriptors_for_the_rest(descriptors: int) -> None:
    capacity = capacity_of(descriptors)
    assert 0 < capacity.connections <= Capacity().connections
    assert capacity.connections <= max(descriptors - RESERVED, descriptors // 2)


def test_the_limit_of_open_files_is_raised_as_far_as_it_goes() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 512), hard))
    try:
        assert raise_descriptor_limit() == hard
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_ipv6_addresses_of_one_site_are_one_client() -> None:
    async def run() -> list[bool]:
        limits = Limits(Capacity(connections_each=2), RateLimit(0, 0))
        addresses = (f"2001:db8:0:1::{number}" for number in range(3))
        admitted = [limits.admit_connection(each) is not None for each in addresses]
        limits.refusals.close()
        return [*admitted, limits.admit_connection("2001:db8:0:2::1") is not None]

    assert asyncio.run(run()) == [True, True, False, True]


def test_a_flood_of_refusals_is_one_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(refusal_log, "FIRST_S", 3600.0)
    monkeypatch.setattr(refusal_log, "MAX_CLIENTS", 100)

    async def run() -> None:
        refusals = RefusalLog()
        for number in range(10_000):
            refusals.count(
                RefusalReason.CONNECTIONS, f"192.0.{number % 5_000 // 250}.{number % 250}"
            )
            refusals.count(RefusalReason.SYNTAX, "192.0.2.1")
        refusals.close()
        refusals.close()

    with caplog.at_level(logging.WARNING, "reconciler.web.refusal_log"):
        asyncio.run(run())
    (line,) = caplog.messages
    assert line.endswith("what is not HTTP/1.1 (10,000 of 192.0.2.1)")
    assert "connections above the limit (" in line
    assert len(line) < 500


@pytest.mark.parametrize(
    ("requests", "connections"),
    [
        (RateLimit(30.0, 100), RateLimit(30.0, 200)),
        (RateLimit(1.0, 5), RateLimit(30.0, 200)),
        (RateLimit(500.0, 1000), RateLimit(500.0, 1000)),
        (RateLimit(0.0, 0), RateLimit(0.0, 0)),
    ],
)
def test_who_may_send_more_requests_may_connect_as_often(
    requests: RateLimit, connections: RateLimit
) -> None:
    assert connection_rate(requests) == connections


def order_of(waiting: list[str], each_round: int = 1) -> list[str]:
    """Return the clients in the order in which they get their turns."""
    served: list[str] = []

    async def wait(turns: Turns, client: str) -> None:
        await turns.wait(client)
        served.append(client)

    async def all_at_once() -> None:
        turns = Turns(each_round)
        await asyncio.gather(*(wait(turns, client) for client in waiting))

    asyncio.run(all_at_once())
    return served


def test_clients_take_turns_however_many_requests_one_of_them_has() -> None:
    assert order_of(["busy"] * 5 + ["honest"]) == ["busy", "honest", *["busy"] * 4]


def test_the_requests_of_one_client_keep_their_order_among_others() -> None:
    assert order_of(["a", "a", "b", "b", "c"]) == ["a", "b", "c", "a", "b"]


def test_no_more_begin_in_one_round_of_the_loop_than_it_says() -> None:
    began: list[int] = []

    async def run() -> None:
        turns, rounds = Turns(2), 0

        async def wait(client: str) -> None:
            await turns.wait(client)
            began.append(rounds)

        waiting = asyncio.gather(*(wait(str(number)) for number in range(10)))
        while not waiting.done():
            await asyncio.sleep(0)
            rounds += 1
        await waiting

    asyncio.run(run())
    assert len(began) == 10
    assert max(began.count(each) for each in set(began)) == 2


def test_a_turn_that_nobody_waits_for_any_more_is_passed_over() -> None:
    async def run() -> list[str]:
        turns, served = Turns(1), []

        async def wait(client: str) -> None:
            await turns.wait(client)
            served.append(client)

        gone = asyncio.create_task(wait("gone"))
        stays = asyncio.create_task(wait("stays"))
        await asyncio.sleep(0)
        gone.cancel()
        await stays
        return served

    assert asyncio.run(run()) == ["stays"]
