"""The internals of uvicorn that `reconciler/web/server/` overrides or calls are where they were.

Where a test fails here, read the method anew in the release that moved it, then raise the bound in
pyproject.toml and the version in the comments.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from asyncio.sslproto import SSLProtocol
from importlib import metadata
from typing import Any

import h11
import pytest
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.server import ServerState

from reconciler.web.server import http, listener, server
from reconciler.web.server.http import DeadlineProtocol
from reconciler.web.server.plain import SignallessServer
from reconciler.web.server.server import EndpointServer

PROTOCOL = (
    "(self, config: 'Config', server_state: 'ServerState', app_state: 'dict[str, Any]', "
    "_loop: 'asyncio.AbstractEventLoop | None' = None) -> 'None'"
)
SOCKETS = "(self, sockets: 'list[socket.socket] | None' = None) -> 'None'"


def config() -> uvicorn.Config:
    return uvicorn.Config(lambda: None, http=DeadlineProtocol, ws="none", lifespan="off")


@pytest.mark.parametrize(
    ("owner", "method", "signature"),
    [
        (uvicorn.Server, "capture_signals", "(self) -> 'Generator[None, None, None]'"),
        (uvicorn.Server, "serve", SOCKETS),
        (uvicorn.Server, "_serve", SOCKETS),
        (uvicorn.Server, "startup", SOCKETS),
        (uvicorn.Server, "main_loop", "(self) -> 'None'"),
        (uvicorn.Server, "shutdown", SOCKETS),
        (
            H11Protocol,
            "__init__",
            PROTOCOL,
        ),
        (H11Protocol, "connection_made", "(self, transport: 'asyncio.Transport') -> 'None'"),
        (H11Protocol, "connection_lost", "(self, exc: 'Exception | None') -> 'None'"),
        (H11Protocol, "data_received", "(self, data: 'bytes') -> 'None'"),
        (H11Protocol, "pause_writing", "(self) -> 'None'"),
        (H11Protocol, "resume_writing", "(self) -> 'None'"),
        (H11Protocol, "send_400_response", "(self, msg: 'str') -> 'None'"),
        (H11Protocol, "shutdown", "(self) -> 'None'"),
    ],
)
def test_a_method_has_the_signature_that_is_relied_on(
    owner: type, method: str, signature: str
) -> None:
    assert str(inspect.signature(getattr(owner, method))) == signature


def test_every_method_of_ours_that_uvicorn_calls_overrides_one_of_its() -> None:
    ours = {"connection_made", "connection_lost", "data_received", "send_400_response"}
    ours |= {"pause_writing", "resume_writing"}
    assert ours <= vars(DeadlineProtocol).keys() & vars(H11Protocol).keys()
    ours = {"startup", "main_loop", "shutdown"}
    assert ours <= vars(EndpointServer).keys() & vars(uvicorn.Server).keys()
    assert "capture_signals" in vars(SignallessServer).keys() & vars(uvicorn.Server).keys()


def test_a_server_starts_up_loops_and_shuts_down_in_this_order() -> None:
    calls: list[str] = []

    class Recorder(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            calls.append("startup")
            self.started = True

        async def main_loop(self) -> None:
            calls.append("main_loop")

        async def shutdown(self, sockets: Any = None) -> None:
            calls.append("shutdown")

    asyncio.run(Recorder(config()).serve(sockets=[]))
    assert calls == ["startup", "main_loop", "shutdown"]


def test_the_attributes_that_are_read_or_set_are_there() -> None:
    of_server = {"config", "server_state", "started", "should_exit", "force_exit"}
    assert of_server <= vars(uvicorn.Server(config())).keys()
    assert {"connections", "tasks"} <= vars(ServerState()).keys()

    async def attributes() -> set[str]:
        return set(vars(H11Protocol(config(), ServerState(), {})))

    of_protocol = {"conn", "connections", "transport", "client", "cycle", "loop"}
    assert of_protocol <= asyncio.run(attributes())
    source = inspect.getsource(RequestResponseCycle.__init__)
    for name in ("default_headers", "disconnected", "message_event", "response_complete"):
        assert f"self.{name} = " in source or f"self.{name}: " in source


def test_a_new_connection_is_counted_before_its_client_is_named() -> None:
    source = inspect.getsource(H11Protocol.connection_made)
    assert source.index("self.connections.add(self)") < source.index("self.client = ")


def test_a_shutdown_closes_only_the_servers_that_it_knows_of() -> None:
    source = inspect.getsource(uvicorn.Server.shutdown)
    assert "for server in self.servers:" in source
    assert "for connection in list(self.server_state.connections):" in source


def test_a_refusal_of_the_parser_ends_the_reading_with_a_400() -> None:
    source = inspect.getsource(H11Protocol.handle_events)
    assert "event = self.conn.next_event()\n            except h11.RemoteProtocolError:" in source
    assert "self.send_400_response(msg)\n                return" in source
    for method in ("receive_data", "next_event", "trailing_data"):
        assert hasattr(h11.Connection, method)


def test_a_shutdown_of_a_connection_waits_for_its_answer() -> None:
    source = inspect.getsource(H11Protocol.shutdown)
    assert "if self.cycle is None or self.cycle.response_complete:" in source
    assert "self.cycle.keep_alive = False" in source


def test_the_buffer_of_a_tls_connection_is_as_large_as_is_set() -> None:
    assert SSLProtocol.max_size == 32 * 1024
    source = inspect.getsource(SSLProtocol)
    assert "self._ssl_buffer = bytearray(self.max_size)" in source


def test_the_comments_name_the_version_that_is_installed() -> None:
    installed = metadata.version("uvicorn")
    for module in (server, http, listener):
        text = inspect.getsource(module)
        assert set(re.findall(r"uvicorn (\d+\.\d+\.\d+)", text)) == {installed}, module.__name__
