"""What a request carries, behind caps that hold before anything is parsed."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

from reconciler.core.model.body import BodyTooLarge, read_body
from reconciler.core.trace import TRACEPARENT, read_traceparent
from reconciler.errors import Refused, Retry

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import Scope

    from reconciler.core.trace import TraceContext

MAX_BODY: Final = 16 * 1024  # octets
BODY_DEADLINE_S: Final = 10.0

_JSON: Final = "application/json"
_TRACE: Final = TRACEPARENT.encode()


async def json_body(request: Request, *keys: str) -> dict[str, str]:
    """Return the body: a JSON object that has exactly these keys, each with a text.

    Raises:
        Refused: `request_type`, `request_too_large` or `request_malformed`.
        Retry: `request_timeout`: the body did not arrive within `BODY_DEADLINE_S`.
    """
    media_type = _single(request, "content-type").partition(";")[0].strip().lower()
    if media_type != _JSON or request.headers.get("content-encoding", "identity") != "identity":
        raise Refused(
            "request_type", f"the body is not {_JSON}", hint=f"send {_JSON}, uncompressed"
        )
    return _object(await _read(request), keys)


def bearer_token(request: Request) -> str:
    """Return the presented token as it is, empty if there is none; two are `request_malformed`."""
    scheme, _, presented = _single(request, "authorization").partition(" ")
    return presented if scheme.lower() == "bearer" else ""


def proof(request: Request) -> str:
    """Return the presented DPoP proof, empty where there is none (RFC 9449 4.3: never two)."""
    return _single(request, "dpop")


def trace_of(scope: Scope) -> TraceContext | None:
    """Return the trace that a request belongs to, if it names one."""
    headers = scope["headers"]
    return read_traceparent([value.decode("latin-1") for name, value in headers if name == _TRACE])


def _single(request: Request, name: str) -> str:
    values = request.headers.getlist(name)
    if len(values) > 1:
        raise _malformed(f"the header {name} was sent {len(values)} times")
    return values[0] if values else ""


async def _read(request: Request) -> bytes:
    length = request.headers.get("content-length", "")
    if length.isascii() and length.isdecimal() and int(length[:12]) > MAX_BODY:
        raise _too_large()
    try:
        async with asyncio.timeout(BODY_DEADLINE_S):
            return await read_body(request.stream(), MAX_BODY)
    except BodyTooLarge:
        raise _too_large() from None
    except TimeoutError:
        raise Retry(
            "request_timeout", f"the body did not arrive within {BODY_DEADLINE_S:.0f} s"
        ) from None


def _object(body: bytes, keys: tuple[str, ...]) -> dict[str, str]:
    expected = f"expected an object with {' and '.join(keys) or 'nothing in it'}"
    try:
        document = json.loads(body.decode(), object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError):
        raise _malformed(f"the body is not a JSON object; {expected}") from None
    if not isinstance(document, dict) or document.keys() != set(keys):
        raise _malformed(f"the body is another JSON value; {expected}")
    if not all(isinstance(value, str) for value in document.values()):
        raise _malformed(f"a value of the body is not a string; {expected}")
    return document


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("a key is duplicated")
    return document


def _malformed(message: str) -> Refused:
    return Refused("request_malformed", message)


def _too_large() -> Refused:
    return Refused("request_too_large", f"the body is larger than {MAX_BODY} octets")
