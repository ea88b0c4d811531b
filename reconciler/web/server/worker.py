"""The endpoint of a process that another one started, and gives its connections to.

It ends when that one says so, or has ended itself, however that did.
"""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from reconciler.loops.jobs import Stopped, run_unless
from reconciler.web.app import make_app
from reconciler.web.server.certificate import load_identity, new_context
from reconciler.web.server.channel import Channel
from reconciler.web.server.listener import Connections
from reconciler.web.server.server import EndpointServer
from reconciler.web.server.work_report import ReportedTelemetry

if TYPE_CHECKING:
    import socket

    from reconciler.core.rate_limit import GrantLimits
    from reconciler.enroll import Gateway
    from reconciler.web.limits import Limits
    from reconciler.web.server.listener import Protocols

REPORT_S: Final = 1.0  # for what was done last to reach the other process


class Worker:
    """The endpoint behind one end of a channel, within the running event loop.

    `stop` is set once it is to end. `telemetry` counts in the other process.
    """

    def __init__(self, end: socket.socket) -> None:
        os.set_inheritable(end.fileno(), False)
        self.stop = asyncio.Event()
        self._certified = asyncio.Event()
        self._context = new_context()
        self._connections: Connections | None = None
        self._grant_limits: GrantLimits | None = None
        self._channel = Channel(end, self._receive, self.stop.set)
        self.telemetry = ReportedTelemetry(lambda work: self._tell("work", work))

    async def serve(self, gateway: Gateway, limits: Limits) -> None:
        """Serve what comes until `stop` is set; requests in flight are finished."""
        gateway.grant_limits.tell = lambda kind, key: self._tell("taken", kind, key)
        self._grant_limits = gateway.grant_limits
        app = make_app(gateway, limits)

        def open_connections(protocol: Protocols) -> list[Connections]:
            self._connections = Connections(protocol, self._context, limits)
            self._tell("ready")
            return [self._connections]

        server = EndpointServer(app, limits, open_connections, self.stop, asyncio.Event())
        try:
            with suppress(Stopped):
                await run_unless(self.stop, self._certified.wait())
                await server.serve(sockets=[])
        finally:
            server.abort()
            limits.refusals.close()

    async def close(self) -> None:
        """Report what was done last, and close the channel."""
        self.telemetry.flush()
        await self._channel.flush(REPORT_S)
        self._channel.close()

    def _tell(self, *message: object) -> None:
        self._channel.send(list(message))

    def _receive(self, message: list[Any], connection: socket.socket | None) -> None:
        match message:
            case ["connection", address, client] if connection is not None:
                if self._connections is None or self.stop.is_set():
                    connection.close()
                else:
                    named = (client[0], client[1]) if client else None
                    self._connections.open(connection, address, named)
            case ["certificate", pem]:
                load_identity(self._context, pem.encode("ascii"))
                self._certified.set()
            case ["taken", kind, key] if self._grant_limits is not None:
                self._grant_limits.count(kind, key, time.monotonic())
            case ["check", number]:
                self._tell("checked", number)
            case ["stop"]:
                self.stop.set()
