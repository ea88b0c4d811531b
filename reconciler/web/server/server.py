"""The server: uvicorn over TLS, ended within seconds whatever its clients do."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from reconciler.embedded.ports import listen_on
from reconciler.errors import NeedsEdit
from reconciler.loops.jobs import Stopped, run_unless
from reconciler.web.server.http import DeadlineProtocol
from reconciler.web.server.listener import Connections, Listener
from reconciler.web.server.plain import SignallessServer, server_config

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterable, Iterator

    from starlette.types import ASGIApp

    from reconciler.core.model.origin import Address
    from reconciler.core.setting_values import Network
    from reconciler.web.limits import Admission, Limits
    from reconciler.web.server.certificate import ServerCertificate
    from reconciler.web.server.listener import Protocols
    from reconciler.web.server.process_pool import ProcessPool

GRACE_S: Final = 4  # for requests in flight once the server stops
LAST_WORDS_S: Final = 0.5  # for the answers of requests that were cut off
KEEP_ALIVE_S: Final = 15  # longer than clients keep theirs: a request must not meet a closing end

_log = logging.getLogger(__name__)


class Server:
    """An application behind one address: `run` it in a task, and `stop` it from another.

    The limits are those of its connections; the application shares them for its requests.
    It listens at the addresses `besides` too, where that can be. Connections from `proxies` begin
    with a PROXY header, which names the client. The processes of a `pool` share the connections.
    """

    def __init__(
        self,
        app: ASGIApp,
        listen: Address,
        certificate: ServerCertificate,
        limits: Limits,
        proxies: tuple[Network, ...] = (),
        besides: tuple[Address, ...] = (),
        pool: ProcessPool | None = None,
    ) -> None:
        self._app, self._listen, self._certificate = app, listen, certificate
        self._limits = limits
        self._besides, self._pool = besides, pool
        self._proxies = proxies
        self._stopping = asyncio.Event()
        self._ended = asyncio.Event()
        self._ended.set()
        self.started = asyncio.Event()
        self.address: Address = listen

    async def run(self) -> None:
        """Serve until `stop`. The port opens once there is a certificate; until then it waits.

        Signals are the caller's. `started` is set, and `address` the real one, from then on.

        Raises:
            NeedsEdit: `config_invalid`: the address cannot be listened on.
        """
        self._ended.clear()
        try:
            if await self._certified():
                await self._serve([bind(self._listen), *self._more()])
        finally:
            self._ended.set()

    async def stop(self) -> None:
        """End `run`, within `GRACE_S` and a little; return when it has ended."""
        self._stopping.set()
        await self._ended.wait()

    async def _certified(self) -> bool:
        with suppress(Stopped):
            await run_unless(self._stopping, self._certificate.obtain())
        return not self._stopping.is_set()

    def _more(self) -> Iterator[socket.socket]:
        for address in self._besides:
            try:
                yield bind(address)
            except NeedsEdit as error:
                _log.warning("%s", error)

    async def _serve(self, listeners: list[socket.socket]) -> None:
        host, port = listeners[0].getsockname()[:2]
        self.address = (host, port)
        listen = partial(self._listen_to, listeners)
        server = EndpointServer(self._app, self._limits, listen, self._stopping, self.started)
        renewing = asyncio.create_task(self._certificate.keep())
        sharing = asyncio.create_task(self._share())
        for listener in listeners:
            _log.info("listening on %s port %d", *listener.getsockname()[:2])
        try:
            with suppress(Stopped):
                if self._pool is not None:  # who connects meanwhile waits
                    await run_unless(self._stopping, self._pool.started())
                await server.serve(sockets=listeners)
        finally:
            server.abort()
            for listener in listeners:
                listener.close()
            self._limits.refusals.close()
            await _cancel(renewing)
            self._stopping.set()
            await sharing

    async def _share(self) -> None:
        if self._pool is not None:
            await self._pool.keep(self._certificate, self._stopping)

    def _listen_to(self, listeners: list[socket.socket], protocol: Protocols) -> Iterator[Listener]:
        hand_over = self._pool.hand_over if self._pool is not None else None
        context = self._certificate.context
        connections = Connections(protocol, context, self._limits, self._proxies, hand_over)
        return (Listener(each, connections) for each in listeners)


class EndpointServer(SignallessServer):
    """uvicorn's server with the timeouts of TLS set, and an end that waits for no client.

    The methods below override those of uvicorn 0.54.0, whose `_serve` calls `startup`, `main_loop`
    and, if `started` is set, `shutdown`.
    """

    def __init__(
        self,
        app: ASGIApp,
        limits: Limits,
        listen: Callable[[Protocols], Iterable[Listener | Connections]],
        stopping: asyncio.Event,
        started: asyncio.Event,
    ) -> None:
        super().__init__(
            server_config(
                app,
                http=DeadlineProtocol,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=GRACE_S,
            )
        )
        self._limits, self._listen = limits, listen
        self._stopping, self._listening = stopping, started
        self._listeners: list[Listener | Connections] = []
        # uvicorn 0.54.0 sets it in `startup`, which is overridden, and reads it in `shutdown`
        self.servers: list[asyncio.Server] = []

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:  # noqa: ARG002 - uvicorn's
        """Listen, in place of uvicorn, which reads no PROXY header and sets no timeout of TLS.

        The protocol is made as `startup` of uvicorn 0.54.0 makes it; `app_state` is the lifespan's,
        which is off.
        """
        loop = asyncio.get_running_loop()

        def protocol(client: Address | None, admission: Admission) -> asyncio.Protocol:
            return DeadlineProtocol(
                config=self.config,
                server_state=self.server_state,
                app_state={},
                _loop=loop,
                client=client,
                admission=admission,
                limits=self._limits,
            )

        self._listeners = list(self._listen(protocol))
        self.started = True
        self._listening.set()

    async def main_loop(self) -> None:
        """Run until `stop`; the loop of uvicorn 0.54.0 ticks beside it, for the Date header."""
        ticking = asyncio.create_task(super().main_loop())
        try:
            await self._stopping.wait()
        finally:
            await _cancel(ticking)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let requests end for `GRACE_S`, then cut off what is left."""
        # Before uvicorn's: it knows of no listener, and would let connections come meanwhile.
        self._close()
        await super().shutdown(sockets)
        # uvicorn 0.54.0 has cancelled the tasks and does not wait for them: each still sends the
        # 503 that the middleware makes of it, so the connections are aborted only after that.
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=LAST_WORDS_S)
        self.abort()

    def abort(self) -> None:
        """Close every listener and connection at once."""
        self._close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()

    def _close(self) -> None:
        for listener in self._listeners:
            listener.close()


async def _cancel(task: asyncio.Task[object]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def bind(listen: Address) -> socket.socket:
    """Return a socket that listens there, or raise `config_invalid`."""
    hint = "end what listens there, or set another address: listen (MOSAIC_LISTEN)"
    return listen_on(listen, "the endpoint", hint)
