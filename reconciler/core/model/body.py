"""A body that arrives in parts, of a request or of a response, read up to a limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterable


class BodyTooLarge(Exception):
    """The body has more octets than its limit; the rest of it was not read."""


async def read_body(parts: AsyncIterable[bytes], limit: int) -> bytes:
    """Return the whole body, of at most `limit` octets.

    Raises:
        BodyTooLarge: it has more; no part after that is asked for.
    """
    body = bytearray()
    async for part in parts:
        body += part
        if len(body) > limit:
            raise BodyTooLarge
    return bytes(body)
