"""The HTTPS endpoint of a gateway: served until a signal, by as many processes as are set."""

from __future__ import annotations

import asyncio
import logging
import pickle
import sys
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from reconciler import log
from reconciler.config import database_source
from reconciler.core.model.backoff import Backoff
from reconciler.core.model.origin import address_of, is_loopback, server_names
from reconciler.core.privileges import Role
from reconciler.core.telemetry import SILENT
from reconciler.embedded.postgres.home_server import cluster_of
from reconciler.embedded.postgres.logins import login_url
from reconciler.errors import MosaicError, Retry
from reconciler.loops.jobs import Stopped, run_unless
from reconciler.loops.service_status import Work, ping, report_service
from reconciler.loops.workers import keep_refusals, run_workers
from reconciler.operations.backup.remembered_head import RememberedHead
from reconciler.operations.gateway import opened_gateway, read_files
from reconciler.operations.placement import places_of_ca
from reconciler.store.backup.database_identity import require_same_database
from reconciler.web.app import make_app
from reconciler.web.limits import Limits, capacity_of, raise_descriptor_limit
from reconciler.web.server.certificate import ServerCertificate
from reconciler.web.server.process_pool import ProcessPool
from reconciler.web.server.server import Server
from reconciler.web.server.worker import Worker
from reconciler.web.server.worker_process import Command

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from reconciler.config import Settings
    from reconciler.core.issuance.crl_locations import CrlLocations
    from reconciler.enroll import Gateway
    from reconciler.store.backup.database_identity import SeenHead

    Task = Callable[[asyncio.Event], Awaitable[None]]

CA_BACKOFF: Final = Backoff(timedelta(seconds=1), timedelta(seconds=30))
PROGRAM: Final = "reconciler.cli.gateway.worker"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerOrder:
    """What a process of an endpoint is told when it starts: `level` is that of the log.

    It reports its work if that is `measured`.
    """

    settings: Settings
    former_urls: tuple[str, ...]
    level: str
    measured: bool


class Endpoint:
    """The endpoint of one gateway. It is served by this process, and others that it starts."""

    def __init__(self, settings: Settings, gateway: Gateway) -> None:
        self._settings, self._gateway = settings, gateway
        self._pool: ProcessPool | None = None

    async def require_ready(self) -> None:
        """Return once every other process has answered.

        Raises:
            Retry: `unavailable`: one of them is being started.
        """
        if self._pool is not None:
            await self._pool.require_ready()

    async def run(
        self, stop: asyncio.Event, announce: Callable[[str], None], *besides: Task
    ) -> None:
        """Serve, with the workers and what runs `besides`, until `stop` is set.

        `announce` is called with a line once the endpoint listens. What fails for good (a port that
        is taken) stops all of it and is raised.
        """
        ready, gateway = asyncio.Event(), self._gateway

        def announce_ready(line: str) -> None:
            announce(line)
            ready.set()

        work = Work(
            gateway.database.source, (lambda: gateway.database.run(ping), self._require_alive)
        )
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._serve(stop, announce_ready))
                group.create_task(report_service(stop, ready, work))
                group.create_task(run_workers(gateway, stop))
                group.create_task(keep_refusals(gateway, stop))
                remembered = RememberedHead(self._settings)
                group.create_task(remembered.watch(stop, self._look))
                for other in besides:
                    group.create_task(_run(other, stop))
        except* MosaicError as failed:
            raise failed.exceptions[0] from None

    async def _look(self, seen: SeenHead | None) -> SeenHead | None:
        return await self._gateway.database.run(require_same_database, seen)

    async def _require_alive(self) -> None:
        if self._pool is not None:
            await self._pool.require_alive()

    async def _serve(self, stop: asyncio.Event, announce: Callable[[str], None]) -> None:
        """Run the endpoint until `stop` is set, and set it once that has ended."""
        try:
            if not self._settings.embedded:
                places = await run_unless(stop, _places(self._settings, self._gateway))
                self._gateway = replace(self._gateway, former_urls=places.former_urls)
            server = self._server()
            async with asyncio.TaskGroup() as group:
                announcing = group.create_task(
                    _announce(server, self._gateway.public_url, announce)
                )
                ending = group.create_task(_end(stop, server))
                try:
                    await server.run()
                finally:
                    announcing.cancel()
                    ending.cancel()
        except* Stopped:
            pass
        except* MosaicError as failed:
            raise failed.exceptions[0] from None
        finally:
            stop.set()

    def _server(self) -> Server:
        settings, gateway = self._settings, self._gateway
        cache = settings.home.server_certificate if settings.home is not None else None
        names = server_names((gateway.public_url, *gateway.former_urls), settings.listen)
        certificate = ServerCertificate(gateway.ca.sign_server, names, gateway.roots, cache=cache)
        limits = _limits(settings)
        if settings.workers > 1:
            command = self._command()
            self._pool = ProcessPool(settings.workers, command, limits, gateway)
        formerly = tuple(map(address_of, gateway.former_urls))
        port = settings.listen[1]
        return Server(
            make_app(gateway, limits),
            settings.listen,
            certificate,
            limits,
            settings.trusted_proxies if settings.proxy_protocol else (),
            # a former port of this machine, which peers know and nothing forwards to the new one
            tuple(each for each in formerly if is_loopback(each[0]) and each[1] != port),
            pool=self._pool,
        )

    def _command(self) -> Command:
        level = logging.getLevelName(logging.getLogger(log.ROOT).getEffectiveLevel()).lower()
        measured = self._gateway.telemetry is not SILENT
        order = WorkerOrder(self._settings, self._gateway.former_urls, level, measured)
        # -P: no module of the working folder is imported
        return Command((sys.executable, "-P", "-m", PROGRAM), pickle.dumps(order))


def _limits(settings: Settings) -> Limits:
    descriptors = raise_descriptor_limit()
    return Limits(capacity_of(descriptors), settings.rate_limit, settings.trusted_proxies)


async def serve_as_worker(order: WorkerOrder, end: socket.socket) -> None:
    """Serve what comes over a channel, in a process that an endpoint has started, until its end.

    Raises:
        MosaicError: a file or the database cannot be used.
    """
    settings = order.settings
    worker = Worker(end)
    try:
        url = database_source(settings)
        if url is None:
            assert settings.home is not None
            url = login_url(settings.home, cluster_of(settings.home), Role.GATEWAY)
        telemetry = worker.telemetry if order.measured else SILENT
        opening = opened_gateway(read_files(settings), settings, url, telemetry)
        async with opening as opened:
            gateway = replace(opened, former_urls=order.former_urls)
            limits = _limits(settings)
            async with asyncio.TaskGroup() as group:
                group.create_task(keep_refusals(gateway, worker.stop))
                group.create_task(worker.serve(gateway, limits))
    finally:
        await worker.close()


async def _announce(server: Server, public_url: str, announce: Callable[[str], None]) -> None:
    await server.started.wait()
    host, port = server.address
    announce(f"ready: {public_url} (listening on {host} port {port})")


async def _end(stop: asyncio.Event, server: Server) -> None:
    await stop.wait()
    await server.stop()


async def _places(settings: Settings, gateway: Gateway) -> CrlLocations:
    """Return the CRL locations of a CA elsewhere, as soon as it answers.

    Raises:
        MosaicError: as `places_of_ca`, but for what time mends.
    """
    failures = 0
    while True:
        try:
            return await places_of_ca(settings, gateway.ca)
        except Retry as error:
            wait_s = CA_BACKOFF.wait(failures).total_seconds()
            _log.warning(
                "%s; trying again in %.0f s; the port opens when the CA answers", error, wait_s
            )
        await asyncio.sleep(wait_s)
        failures += 1


async def _run(other: Task, stop: asyncio.Event) -> None:
    await other(stop)
