"""What `serve` and `up` have in common: a gateway from its settings, served until a signal."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from reconciler.clients.gateway.client import Connector
from reconciler.clients.step_ca.client import CaClient
from reconciler.config import require
from reconciler.core.model.backoff import Backoff
from reconciler.core.model.origin import address_of, is_loopback, server_names
from reconciler.crypto.authority import GATEWAY, PEERS, REVOCATIONS
from reconciler.crypto.keyring import FileKeyring
from reconciler.crypto.ott import Provisioner
from reconciler.embedded.stepca.move import continue_move
from reconciler.embedded.stepca.upgrade import upgrade_ca
from reconciler.enroll import Gateway
from reconciler.errors import MosaicError, NeedsEdit, Retry
from reconciler.loops.credentials import Credentials
from reconciler.loops.jobs import Job, Stopped, run_jobs, run_unless
from reconciler.loops.remote_grants import RemoteGrants
from reconciler.loops.renewals import Renewals
from reconciler.loops.service_status import Work, ping, report_service
from reconciler.loops.workers import run_workers
from reconciler.operations.backup.remembered_head import RememberedHead
from reconciler.operations.placement import places_in_home, places_of_ca
from reconciler.operations.roots import read_roots
from reconciler.operations.secrets import read_pepper, require_every_key
from reconciler.release import Releaser
from reconciler.renew import Renewer
from reconciler.store.async_database import AsyncDatabase
from reconciler.store.db import Database
from reconciler.store.locks import actor_name, application_name
from reconciler.store.rewrap import sealed_by_key
from reconciler.web.app import make_app
from reconciler.web.limits import Limits, capacity_of, raise_descriptor_limit
from reconciler.web.server.certificate import ServerCertificate
from reconciler.web.server.server import Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from reconciler.config import Settings
    from reconciler.config.home import Home
    from reconciler.core.issuance.crl_locations import CrlLocations
    from reconciler.core.telemetry import Telemetry
    from reconciler.store.connection.conninfo import Source

MOVE_EVERY: Final = timedelta(hours=1)
CA_BACKOFF: Final = Backoff(timedelta(seconds=1), timedelta(seconds=30))

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GatewayFiles:
    """What an endpoint reads from files, all of it checked, before anything is started."""

    pepper: bytes = field(repr=False)
    roots: tuple[str, ...]
    peers: Provisioner
    gateway: Provisioner
    revocations: Provisioner
    keys: FileKeyring
    keyring: Path
    ca_url: str
    public_url: str


def read_files(settings: Settings) -> GatewayFiles:
    """Read what an endpoint needs.

    Raises:
        NeedsEdit: `config_invalid` or `keyring_invalid`, naming what is wrong.
    """
    if settings.embedded:
        places_in_home(settings)
    provisioners = require(settings.ca_provisioners, "ca_provisioners")
    keyring = require(settings.keyring, "keyring")
    return GatewayFiles(
        pepper=read_pepper(require(settings.token_pepper, "token_pepper_file")),
        roots=read_roots(require(settings.ca_root, "ca_root")),
        peers=Provisioner.load(provisioners / f"{PEERS}.json"),
        gateway=Provisioner.load(provisioners / f"{GATEWAY}.json"),
        revocations=_revocations(settings, provisioners),
        keys=FileKeyring.load(keyring),
        keyring=keyring,
        ca_url=require(settings.ca_url, "ca_url"),
        public_url=require(settings.public_url, "public_url"),
    )


def _revocations(settings: Settings, provisioners: Path) -> Provisioner:
    """Return the provisioner that revokes; a home of an older version gets it now."""
    file = provisioners / f"{REVOCATIONS}.json"
    if settings.embedded and settings.home is not None:
        upgrade_ca(settings.home.ca, provisioners)
    elif not file.exists():
        raise NeedsEdit(
            "config_invalid",
            f"{file} is not there: the CA was made by a version with one key to sign and to revoke",
            hint="where the CA's files are, run `mosaic federation ca init` (or `prepare`) again"
            " with its options, which adds what is missing; then restart step-ca",
        )
    return Provisioner.load(file)


@asynccontextmanager
async def opened_gateway(
    files: GatewayFiles, settings: Settings, source: Source, telemetry: Telemetry
) -> AsyncIterator[Gateway]:
    """Open what an endpoint needs, once the database has been checked too.

    Raises:
        NeedsEdit: `schema_missing`, `database_replaced`, `keyring_invalid`.
    """
    checked = Database(source, application_name("serve"))
    RememberedHead(settings).require(checked)
    with checked.transaction() as tx:
        require_every_key(files.keys, sealed_by_key(tx), files.keyring)
    ca = CaClient(
        files.ca_url,
        files.roots,
        files.peers,
        files.gateway,
        revocations=files.revocations,
        telemetry=telemetry,
    )
    database = AsyncDatabase(source, application_name("serve"))
    try:
        yield Gateway(
            database,
            ca,
            files.pepper,
            settings.oid_arc,
            files.roots,
            files.public_url,
            # once what was due of a move has been done
            former_urls=places_in_home(settings).former_urls if settings.embedded else (),
            suspend_on_theft=settings.suspend_on_theft,
            telemetry=telemetry,
        )
    finally:
        await ca.aclose()
        await database.close()


async def serve_until(
    stop: asyncio.Event,
    settings: Settings,
    gateway: Gateway,
    announce: Callable[[str], None],
    *besides: Callable[[asyncio.Event], Awaitable[None]],
) -> None:
    """Serve, with the workers and what runs `besides`, until `stop` is set.

    `announce` is called with a line once the endpoint listens. What fails for good (a port that is
    taken) stops all of it and is raised.
    """
    ready = asyncio.Event()

    def announce_ready(line: str) -> None:
        announce(line)
        ready.set()

    work = Work(gateway.database.source, (lambda: gateway.database.run(ping),))
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_serve(stop, settings, gateway, announce_ready))
            group.create_task(report_service(stop, ready, work))
            group.create_task(run_workers(gateway, stop))
            group.create_task(RememberedHead(settings).watch(stop, gateway.database))
            for other in besides:
                group.create_task(_run(other, stop))
    except* MosaicError as failed:
        raise failed.exceptions[0] from None


async def _serve(
    stop: asyncio.Event, settings: Settings, gateway: Gateway, announce: Callable[[str], None]
) -> None:
    """Run the endpoint until `stop` is set, and set it once that has ended."""
    try:
        if not settings.embedded:
            places = await run_unless(stop, _places(settings, gateway))
            gateway = replace(gateway, former_urls=places.former_urls)
        server = _server(settings, gateway)
        async with asyncio.TaskGroup() as group:
            announcing = group.create_task(_announce(server, gateway.public_url, announce))
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


def _server(settings: Settings, gateway: Gateway) -> Server:
    cache = settings.home.server_certificate if settings.home is not None else None
    names = server_names((gateway.public_url, *gateway.former_urls), settings.listen)
    certificate = ServerCertificate(gateway.ca.sign_server, names, gateway.roots, cache=cache)
    limits = Limits(
        capacity_of(raise_descriptor_limit()), settings.rate_limit, settings.trusted_proxies
    )
    formerly = tuple(map(address_of, gateway.former_urls))
    return Server(
        make_app(gateway, limits),
        settings.listen,
        certificate,
        limits,
        settings.trusted_proxies if settings.proxy_protocol else (),
        # a former port of this machine, which peers know and nothing forwards to the new one
        tuple(each for each in formerly if is_loopback(each[0]) and each[1] != settings.listen[1]),
    )


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


def keeping(
    files: GatewayFiles, settings: Settings, gateway: Gateway, source: Source
) -> Callable[[asyncio.Event], Awaitable[None]]:
    """Return what keeps true what this gateway holds of others: certificates, and their folders."""
    actor = f"worker:{actor_name()}"
    connector = Connector(settings.allow_addresses, settings.oid_arc, settings.peer_proxy)
    renewer = Renewer(gateway.database, files.keys, connector, actor)
    jobs = [Renewals(renewer, gateway.telemetry).job(), RemoteGrants(renewer).job()]
    if settings.credentials_dir is not None:
        rows = Database(source, application_name("credentials"), lasting=True)
        releaser = Releaser(rows, files.keys, actor, settings.credentials_exec, retries_hook=True)
        jobs.append(Credentials(gateway.database, releaser, settings.credentials_dir).job())
    return lambda stop: run_jobs(jobs, stop)


def moving(home: Home, url: str) -> Callable[[asyncio.Event], Awaitable[None]]:
    """Return what takes the steps of a move as they are due; step-ca starts again for each."""

    async def step() -> None:
        await asyncio.to_thread(continue_move, home.ca, database)

    database = Database(url, application_name("move"))
    return lambda stop: run_jobs([Job("move", MOVE_EVERY, step)], stop)


async def _run(other: Callable[[asyncio.Event], Awaitable[None]], stop: asyncio.Event) -> None:
    await other(stop)
