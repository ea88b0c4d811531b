"""The webhook of a loop under clients that do not behave."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import socket
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx
import pytest

from reconciler.web.server import http as protocol
from reconciler.web.server.server import bind
from reconciler.web.webhook import PATH, serve_webhook, webhook_app
from tests.support.beside import beside
from tests.support.waiting import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECRET = b"0123456789abcdef"
BODY = b'{"ref": "refs/heads/main"}'
MAC = hmac.new(SECRET, BODY, hashlib.sha256).hexdigest()
SIGNED = {"X-GitHub-Event": "push", "X-Hub-Signature-256": f"sha256={MAC}"}
SLOW_BODY = b"POST /webhook HTTP/1.1\r\nHost: a\r\nContent-Length: 999\r\n\r\n{"


@dataclass(frozen=True)
class Hook:
    """A webhook that is served."""

    address: tuple[str, int]
    loop: asyncio.AbstractEventLoop
    ended: asyncio.Event

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.ended.set)

    def connect(self, source: str) -> socket.socket:
        return socket.create_connection(self.address, PATIENCE_S, source_address=(source, 0))

    def push(self, headers: dict[str, str]) -> int:
        url = f"http://{self.address[0]}:{self.address[1]}{PATH}"
        return httpx.post(url, content=BODY, headers=headers, trust_env=False).status_code


@pytest.fixture
def hook() -> Iterator[Hook]:
    async def run(ready: Callable[[Hook], None]) -> None:
        listener, stop = bind(("127.0.0.1", 0)), asyncio.Event()
        ready(Hook(listener.getsockname(), asyncio.get_running_loop(), stop))
        await serve_webhook(webhook_app(SECRET, lambda: None), listener, stop)

    with beside(run, Hook.stop) as running:
        yield running


@pytest.mark.parametrize("sent", [b"", b"POST /webhook HTTP/1.1\r\n", SLOW_BODY])
def test_clients_that_send_nothing_or_slowly_keep_no_push_out(hook: Hook, sent: bytes) -> None:
    with ExitStack() as stack:
        for _ in range(200):
            held = stack.enter_context(hook.connect("127.0.0.7"))
            held.sendall(sent)
        assert hook.push(SIGNED) == 202


def test_a_request_that_does_not_arrive_is_hung_up_on(
    hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "HEAD_DEADLINE_S", 0.1)
    with hook.connect("127.0.0.7") as silent:
        silent.settimeout(PATIENCE_S)
        with suppress(ConnectionResetError):
            assert silent.recv(1) == b""


def test_a_flood_without_a_signature_is_few_lines(
    hook: Hook, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "reconciler.web"):
        assert {hook.push({}) for _ in range(300)} == {401}
    assert 0 < len([line for line in caplog.messages if "right signature" in line]) < 200
