"""The side that grants: its rows, its real endpoint, and trouble on the way to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.core.issuance.invitation import Invitation
from reconciler.crypto.certificates import fingerprint_of

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from reconciler.core.issuance.tokens import Token
    from tests.support.gateways.enrollee import Rows
    from tests.support.gateways.step_ca import Authority
    from tests.support.gateways.web_server import Running

ENROLL = "/federation/v1/enroll"
RENEW = "/federation/v1/certificates/renew"


def url_of(address: tuple[str, int]) -> str:
    return f"https://{address[0]}:{address[1]}"


@dataclass
class Trouble:
    """What stands between: requests that are refused before, or whose answer is lost after."""

    app: ASGIApp
    path: str = ENROLL
    refuse: int = 0
    lose: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asks = scope.get("path") == self.path and scope.get("method") == "POST"
        if asks and self.refuse:
            self.refuse -= 1
            await _unavailable(send)
        elif asks and self.lose:
            self.lose -= 1
            await self.app(scope, receive, _into_nothing)
            await _unavailable(send)
        else:
            await self.app(scope, receive, send)


async def _into_nothing(message: Message) -> None:
    pass


async def _unavailable(send: Send) -> None:
    headers = [(b"retry-after", b"1"), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


@dataclass
class Alpha:
    """The grantor: its rows, its endpoint, and the trouble on the way to it."""

    rows: Rows
    running: Running
    authority: Authority
    trouble: Trouble

    def invitation(self, grant: str = "beta-tasks", token: Token | None = None) -> Invitation:
        pin = fingerprint_of(self.authority.material.root)
        return Invitation(self.running.url, token or self.rows.invite(grant), pin)


def token_status(alpha: Alpha, token: Token) -> str:
    text: str = alpha.rows.one(
        "SELECT status::text FROM federation_enrollment_tokens WHERE public_id = :id",
        id=token.public_id,
    )
    return text
