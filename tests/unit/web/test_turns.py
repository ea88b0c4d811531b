"""Turns: a client that sends much holds up nobody else, and a round of the loop stays short."""

from __future__ import annotations

import asyncio

from reconciler.web.turns import Turns


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
