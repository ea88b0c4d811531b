"""A body is read up to its limit, and not one part further."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from reconciler.core.model.body import BodyTooLarge, read_body

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Parts:
    def __init__(self, *parts: bytes) -> None:
        self.left = list(parts)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while self.left:
            yield self.left.pop(0)


@pytest.mark.parametrize("parts", [(), (b"",), (b"abc",), (b"a", b"", b"bc")])
def test_a_body_within_its_limit_is_whole(parts: tuple[bytes, ...]) -> None:
    assert asyncio.run(read_body(Parts(*parts), 3)) == b"".join(parts)


def test_what_follows_the_limit_is_not_read() -> None:
    parts = Parts(b"ab", b"cd", b"ef", b"gh")
    with pytest.raises(BodyTooLarge):
        asyncio.run(read_body(parts, 3))
    assert parts.left == [b"ef", b"gh"]
