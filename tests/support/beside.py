"""A coroutine in a thread with a loop of its own, beside the test that uses it."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator

T = TypeVar("T")


@contextmanager
def beside(
    run: Callable[[Callable[[T], None]], Coroutine[Any, Any, None]], stop: Callable[[T], object]
) -> Iterator[T]:
    """Yield what `run` hands over once it is ready; at the end stop it, and raise what it raised.

    `stop` is called in the test's thread, and not where `run` has failed.
    """
    ready = threading.Event()
    handed: list[T] = []
    failed: list[BaseException] = []

    def hand_over(value: T) -> None:
        handed.append(value)
        ready.set()

    def thread() -> None:
        try:
            asyncio.run(run(hand_over))
        except BaseException as error:  # noqa: BLE001 - handed to the test
            failed.append(error)
        finally:
            ready.set()

    worker = threading.Thread(target=thread)
    worker.start()
    assert ready.wait(PATIENCE_S)
    try:
        if handed:
            yield handed[0]
    finally:
        if handed and not failed:
            stop(handed[0])
        worker.join(PATIENCE_S)
        assert not worker.is_alive()
        if failed:
            raise failed[0]
