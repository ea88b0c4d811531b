"""A resource server in Python behind the middleware."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx

from reconciler.authority import Authority
from reconciler.web.private.middleware import DECISION, AuthorityMiddleware
from tests.support.gateways.certified import Certified, certify, make_certificate
from tests.support.gateways.enrollee import Rows, grant_manifest, peer_manifest

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send


async def resource_server(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await send({"type": "lifespan.startup.complete"})
        return
    subject = scope[DECISION].facts.subject_user_id.encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": subject})


def question(scope: Scope) -> tuple[str, str] | None:
    if scope["path"] == "/defect":
        raise RuntimeError
    return {"/tasks": ("tasks", "list"), "/notes": ("notes", "list")}.get(scope["path"])


async def answers(url: str, certificate: Certified) -> list[tuple[int, str]]:
    own = certificate.headers()
    both = own | certificate.headers("X-SSL-Client-Cert")
    async with Authority(url) as authority:
        app = AuthorityMiddleware(resource_server, authority=authority, question=question)
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://resource") as client:
            responses = [
                await client.get(path, headers=headers)
                for path, headers in (
                    ("/", own),
                    ("/tasks", own),
                    ("/notes", own),
                    ("/tasks", {}),
                    ("/tasks", both),
                    ("/tasks", make_certificate().headers()),
                    ("/defect", own),
                )
            ]
            sent: list[Any] = []

            async def send(message: Message) -> None:
                sent.append(message)

            async def receive() -> Message:
                return {"type": "lifespan.startup"}

            await app({"type": "websocket", "path": "/", "headers": []}, receive, send)
            await app({"type": "lifespan"}, receive, send)
    assert sent == [
        {"type": "websocket.close", "code": 1008},
        {"type": "lifespan.startup.complete"},
    ]
    return [
        (each.status_code, each.text if each.status_code == 200 else each.json()["code"])
        for each in responses
    ]


def test_only_requests_with_authority_come_through(database_url: str) -> None:
    rows = Rows(database_url)
    rows.apply(peer_manifest(), grant_manifest("one"))
    certificate = certify(rows, "one")
    assert asyncio.run(answers(rows.url, certificate)) == [
        (200, "maria@alpha.example"),
        (200, "maria@alpha.example"),
        (403, "scope_denied"),
        (401, "certificate_missing"),
        (400, "request_malformed"),
        (403, "certificate_unknown"),
        (500, "internal"),
    ]
