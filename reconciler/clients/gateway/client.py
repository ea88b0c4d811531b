"""The client of another gateway, which is known by the pin of its CA's root and nothing else.

First contact is not verified, and sends nothing: it only fetches roots, of which the pinned one is
kept. All else goes over a new connection that trusts this root alone, and checks the host's name.
Roots that came over such a connection are pins as well from then on: so a root can be replaced.
"""

from __future__ import annotations

import secrets
import ssl
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Self

from reconciler.clients.gateway.responses import read_answer, read_failure
from reconciler.clients.http.channel import DEFAULT_TIMEOUTS, HttpsChannel, Response
from reconciler.clients.http.destination import DIRECT, Destination, find, proxy_name
from reconciler.core.issuance.contract import GrantDocument, IssuedDocument, TokenState
from reconciler.core.issuance.invitation import API_PREFIX
from reconciler.core.model.ids import DEFAULT_OID_ARC
from reconciler.core.setting_values import ProxyRules
from reconciler.crypto.certificates import pinned_roots
from reconciler.crypto.csr import digest_of_pem
from reconciler.crypto.proof import make_proof
from reconciler.errors import Refused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from reconciler.clients.http.connections import Timeouts
    from reconciler.core.issuance.tokens import Token
    from reconciler.core.setting_values import Network
    from reconciler.crypto.keys import PrivateKey

ROOTS_PATH: Final = f"{API_PREFIX}/ca/roots"


def utc_now() -> datetime:
    """Return this machine's clock."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class GatewayConnector:
    """How this gateway reaches others, and what it expects of their certificates.

    `oid_arc` is the arc of their SAN entries: see `verify_client_certificate`.
    """

    allow_addresses: tuple[Network, ...]
    oid_arc: str = DEFAULT_OID_ARC
    peer_proxy: ProxyRules = field(default_factory=ProxyRules)
    clock: Callable[[], datetime] = utc_now

    def connect(self, base_url: str, *pins: str) -> AbstractAsyncContextManager[GatewayClient]:
        """Return a client of the gateway at a URL whose root has one of the pins."""
        return GatewayClient.pinned(
            base_url, pins, self.allow_addresses, rules=self.peer_proxy, clock=self.clock
        )


class GatewayClient:
    """A gateway over a verified connection; made by `pinned`.

    `roots` are its CA's roots as PEM texts, the pinned ones first; `server_time` is the
    time of its last answer by its clock, in whole seconds. Every call raises `peer_unreachable`,
    `peer_wrong_answer`, or what the gateway refused with.
    """

    def __init__(
        self,
        to: Destination,
        channel: HttpsChannel,
        roots: tuple[str, ...],
        clock: Callable[[], datetime],
    ) -> None:
        self._to, self._channel, self._clock = to, channel, clock
        self.addresses = tuple(str(address) for address in to.addresses)
        self.proxy = None if to.proxy is None else proxy_name(to.proxy)
        self.roots = roots
        self.server_time: datetime | None = None

    @classmethod
    @asynccontextmanager
    async def pinned(
        cls,
        base_url: str,
        pins: tuple[str, ...],
        allow_addresses: tuple[Network, ...],
        *,
        rules: ProxyRules = DIRECT,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        clock: Callable[[], datetime] = utc_now,
    ) -> AsyncIterator[Self]:
        """Connect to the gateway whose root has one of the fingerprints (`sha256:<hex>`).

        Raises:
            MosaicError: `pin_mismatch`, `peer_unreachable`, `peer_address_refused`,
                `peer_wrong_answer`.
        """
        to = await find(base_url, allow_addresses, timeouts, rules)
        async with HttpsChannel(to, _unverified(), timeouts) as first:
            roots, _ = pinned_roots(_bundle(await first.send("GET", ROOTS_PATH)), pins)
        async with HttpsChannel(to, _trusting(roots), timeouts) as channel:
            client = cls(to, channel, roots, clock)
            known, new = pinned_roots(_bundle(await client._send("GET", "/ca/roots")), pins)
            client.roots = (*known, *new)
            yield client

    async def token_status(self, token: Token) -> TokenState:
        """Return the state of a usable token; nothing is claimed or spent."""
        answer = await self._send("GET", "/enroll", _bearer(token))
        return read_answer(answer, 200, TokenState, token.secret)

    async def enroll(self, token: Token, csr_pem: str) -> IssuedDocument:
        """Spend the token on a certificate for the CSR's key."""
        answer = await self._send("POST", "/enroll", _bearer(token), {"csr": csr_pem})
        return read_answer(answer, 201, IssuedDocument, token.secret)

    async def pickup(self, key: PrivateKey) -> IssuedDocument:
        """Return the newest answer that was given for the key, by a proof of it."""
        proof = self._proof(key, "POST", "/certificates/pickup")
        answer = await self._send("POST", "/certificates/pickup", {"DPoP": proof}, {})
        return read_answer(answer, 200, IssuedDocument, proof)

    async def renew(self, key: PrivateKey, csr_pem: str) -> IssuedDocument:
        """Return a certificate for the CSR's key, by a proof of the key of the current one."""
        path = "/certificates/renew"
        proof = self._proof(key, "POST", path, **{"csr#S256": digest_of_pem(csr_pem)})
        answer = await self._send("POST", path, {"DPoP": proof}, {"csr": csr_pem})
        return read_answer(answer, 201, IssuedDocument, proof)

    async def grant(self, key: PrivateKey) -> GrantDocument:
        """Return the grant of the key's certificates, whatever its state, by a proof of it."""
        proof = self._proof(key, "GET", "/grant")
        answer = await self._send("GET", "/grant", {"DPoP": proof})
        return read_answer(answer, 200, GrantDocument, proof)

    def _proof(self, key: PrivateKey, method: str, path: str, **claims: str) -> str:
        url = f"{self._to.base_url}{API_PREFIX}{path}"
        fresh = {"jti": secrets.token_urlsafe(16), **claims}
        return make_proof(key, method, url, self._clock(), fresh)

    async def _send(
        self,
        method: str,
        path: str,
        headers: dict[str, str] | None = None,
        json: dict[str, str] | None = None,
    ) -> Response:
        answer = await self._channel.send(method, f"{API_PREFIX}{path}", headers=headers, json=json)
        self.server_time = answer.server_time
        return answer


def _bearer(token: Token) -> dict[str, str]:
    return {"Authorization": f"Bearer {token.spelled()}"}


def _bundle(answer: Response) -> str:
    if answer.status != 200:
        raise read_failure(answer)
    return answer.body.decode("ascii", "replace")


def _unverified() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # the pin decides, and nothing is sent before
    return context


def _trusting(roots: tuple[str, ...]) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cadata="".join(roots))
    except ssl.SSLError:
        raise Refused(
            "pin_mismatch",
            "the root that the invitation pins cannot be used for TLS",
            hint="ask the grantor for a new invitation",
        ) from None
