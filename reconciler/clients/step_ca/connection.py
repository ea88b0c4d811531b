"""The connections to step-ca: whom they trust, how long they last, and how much is read.

httpx's exceptions become one of two of ours here, by one table: what matters above is only whether
a request may have reached the CA.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import httpx

from reconciler.clients.http.trace import EVENT_HOOKS
from reconciler.core.model.body import BodyTooLarge, read_body
from reconciler.core.model.text import printable
from reconciler.core.telemetry import SILENT, CaOutcome, Telemetry
from reconciler.errors import NeedsEdit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.clients.http.timeouts import Timeouts

MAX_CONNECTIONS: Final = 16
KEEP_ALIVE_S: Final = 5.0  # step-ca closes idle connections after 15 s; ours go first
MAX_JSON: Final = 64 * 1024  # octets of an answer
MAX_LISTED: Final = 500  # characters of a foreign text


class NeverSent(Exception):
    """The request surely never left."""


class NoAnswer(Exception):
    """The request may have arrived; no whole answer came back."""


# An exception that is listed comes before a request is written; of all others nobody knows.
_BEFORE_SENDING: Final = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.UnsupportedProtocol,
)


@dataclass(frozen=True, slots=True)
class CaAnswer:
    """A status and a body within its limit."""

    status: int
    body: bytes

    @property
    def message(self) -> str:
        """What step-ca's error says: `{"status": N, "message": "…"}`; fit to be printed."""
        try:
            text = str(json.loads(self.body)["message"])
        except (ValueError, KeyError, TypeError, RecursionError):
            text = self.body[:MAX_LISTED].decode("utf-8", "replace")
        return printable(text, MAX_LISTED)


class CaWire:
    """Connections to the CA at `url`, trusting `roots` (PEM texts) and nothing else.

    Raises:
        NeedsEdit: `config_invalid`: the roots are none, or cannot be read.
    """

    def __init__(
        self, url: str, roots: Sequence[str], timeouts: Timeouts, telemetry: Telemetry = SILENT
    ) -> None:
        self._total_s, self._telemetry = timeouts.total_s, telemetry
        self._http = httpx.AsyncClient(
            base_url=url,
            verify=_trusting("".join(roots)),
            trust_env=False,
            follow_redirects=False,
            timeout=httpx.Timeout(timeouts.read_s, connect=timeouts.connect_s),
            headers={"Accept-Encoding": "identity"},
            event_hooks=EVENT_HOOKS,
            limits=httpx.Limits(max_connections=MAX_CONNECTIONS, keepalive_expiry=KEEP_ALIVE_S),
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def send(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        limit: int = MAX_JSON,
    ) -> CaAnswer:
        """Send one request, once, and return its answer, whatever its status.

        Raises:
            NeverSent, NoAnswer: with the reason, in plain words.
        """
        began_s, outcome = time.monotonic(), CaOutcome.UNAVAILABLE
        try:
            answer = await self._send(method, path, json, limit)
            outcome = _outcome(answer.status)
        finally:
            call = path.partition("?")[0].rpartition("/")[2]
            self._telemetry.ca_request(call, outcome, time.monotonic() - began_s)
        return answer

    async def _send(self, method: str, path: str, json: Any, limit: int) -> CaAnswer:
        try:
            async with asyncio.timeout(self._total_s):
                return await self._exchange(method, path, json, limit)
        except TimeoutError:
            raise NoAnswer(f"no whole answer within {self._total_s:g} s") from None
        except _BEFORE_SENDING as error:
            raise NeverSent(_reason(error)) from error
        except (httpx.HTTPError, OSError) as error:
            raise NoAnswer(_reason(error)) from error

    async def _exchange(
        self,
        method: str,
        path: str,
        json: Any,
        limit: int,
    ) -> CaAnswer:
        async with self._http.stream(method, path, json=json) as response:
            try:
                body = await read_body(response.aiter_raw(), limit)
            except BodyTooLarge:
                raise NoAnswer(f"the answer is larger than {limit:,} octets") from None
            return CaAnswer(response.status_code, body)


def _outcome(status: int) -> CaOutcome:
    if 200 <= status < 300:
        return CaOutcome.OK
    return CaOutcome.REFUSED if 400 <= status < 500 else CaOutcome.UNAVAILABLE


def _trusting(roots: str) -> ssl.SSLContext:
    with suppress(ssl.SSLError, ValueError):
        if roots.strip():  # with no roots of its own, a context would trust the system's
            return ssl.create_default_context(cadata=roots)
    raise NeedsEdit(
        "config_invalid",
        "the roots that verify step-ca are not PEM certificates",
        hint="restore the bundle that MOSAIC_CA_ROOT names, or that of the home",
    )


def _reason(error: Exception) -> str:
    text = printable(str(error), MAX_LISTED)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
