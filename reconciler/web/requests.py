"""What a request carries, behind caps that hold before anything is parsed."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

from reconciler.errors import Refused, Retry

if TYPE_CHECKING:
    from starlette.requests import Request

MAX_BODY: Final = 16 * 1024  # octets
BODY_DEADLINE_S: Final = 10.0

_JSON: Final = "application/json"


async def json_body(request: Request, *keys: str) -> dict[str, str]:
    """Return the body: a JSON object that has exactly these keys, each with a text.

    Raises:
        Refused: `request_type`, `request_too_large` or `request_malformed`.
        Retry: `request_timeout`: the body was not there within `BODY_DEADLINE_S`.
    """
    media_type = _single(request, "content-type").partition(";")[0].strip().lower()
    if media_type != _JSON or request.headers.get("content-encoding", "identity") != "identity":
        raise Refused(
            "request_type", f"the body is not {_JSON}", hint=f"send {_JSON}, uncompressed"
        )
    return _object(await _read(request), keys)


def bearer_token(request: Request) -> str:
    """Return the presented token, empty where there is none; raise `request_malformed` for two."""
    scheme, _, presented = _single(request, "authorization").partition(" ")
    return presented.strip() if scheme.lower() == "bearer" else ""


def proof(request: Request) -> str:
    """Return the presented DPoP proof, empty where there is none (RFC 9449 4.3: never two)."""
    return _single(request, "dpop")


def _single(request: Request, name: str) -> str:
    found = request.headers.getlist(name)
    if len(found) > 1:
        raise _malformed(f"the header {name} stands there {len(found)} times")
    return found[0] if found else ""


async def _read(request: Request) -> bytes:
    told = request.headers.get("content-length", "")
    if told.isascii() and told.isdecimal() and int(told[:12]) > MAX_BODY:
        raise _too_large()
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_DEADLINE_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY:
                    raise _too_large()
    except TimeoutError:
        raise Retry(
            "request_timeout", f"the body was not there within {BODY_DEADLINE_S:.0f} s"
        ) from None
    return bytes(body)


def _object(body: bytes, keys: tuple[str, ...]) -> dict[str, str]:
    expected = f"expected an object with {' and '.join(keys) or 'nothing in it'}"
    try:
        document = json.loads(body.decode(), object_pairs_hook=_without_twins)
    except (ValueError, RecursionError):
        raise _malformed(f"the body is not a JSON object; {expected}") from None
    if not isinstance(document, dict) or document.keys() != set(keys):
        raise _malformed(f"the body is another JSON value; {expected}")
    if not all(isinstance(value, str) for value in document.values()):
        raise _malformed(f"a value of the body is no text; {expected}")
    return document


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands there twice")
    return found


def _malformed(message: str) -> Refused:
    return Refused("request_malformed", message)


def _too_large() -> Refused:
    return Refused("request_too_large", f"the body is larger than {MAX_BODY} octets")
