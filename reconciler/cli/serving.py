"""What `serve` and `up` have in common: a gateway from its settings, served until a signal."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import click

from reconciler.cli.sealing import read_pepper, require_every_key
from reconciler.clients.ca import CaClient
from reconciler.config import require
from reconciler.crypto.authority import GATEWAY, PEERS
from reconciler.crypto.certificates import split_pem
from reconciler.crypto.keyring import FileKeyring
from reconciler.crypto.ott import Provisioner
from reconciler.enroll import Gateway
from reconciler.errors import NeedsEdit
from reconciler.join import Joiner
from reconciler.loops.periodic import run_jobs
from reconciler.loops.renewals import Renewals
from reconciler.loops.workers import run_workers
from reconciler.store.locks import actor_name, application_name
from reconciler.store.schema import require_current
from reconciler.store.sealed import sealed_by_key
from reconciler.store.tx import AsyncDatabase, Database
from reconciler.web.app import make_app
from reconciler.web.certificate import ServerCertificate, server_names
from reconciler.web.server import Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from reconciler.config import Settings


@dataclass(frozen=True, slots=True)
class GatewayFiles:
    """What an endpoint reads from files, all of it checked, before anything is started."""

    pepper: bytes = field(repr=False)
    roots: tuple[str, ...]
    peers: Provisioner
    gateway: Provisioner
    keys: FileKeyring
    keyring: Path
    ca_url: str
    public_url: str


def read_files(settings: Settings) -> GatewayFiles:
    """Read what an endpoint needs.

    Raises:
        NeedsEdit: `config_invalid` or `keyring_invalid`, naming what is wrong.
    """
    provisioners = require(settings.ca_provisioners, "ca_provisioners")
    keyring = require(settings.keyring, "keyring")
    return GatewayFiles(
        pepper=read_pepper(require(settings.token_pepper, "token_pepper_file")),
        roots=read_roots(require(settings.ca_root, "ca_root")),
        peers=Provisioner.load(provisioners / f"{PEERS}.json"),
        gateway=Provisioner.load(provisioners / f"{GATEWAY}.json"),
        keys=FileKeyring.load(keyring),
        keyring=keyring,
        ca_url=require(settings.ca_url, "ca_url"),
        public_url=require(settings.public_url, "public_url"),
    )


@asynccontextmanager
async def opened_gateway(
    files: GatewayFiles, oid_arc: str, database_url: str
) -> AsyncIterator[Gateway]:
    """Open what an endpoint needs, once the database has been checked too.

    Raises:
        NeedsEdit: `schema_missing`; `keyring_invalid`: a key that seals a row is not here.
    """
    checked = Database(database_url, application_name("serve"))
    require_current(checked)
    with checked.transaction() as tx:
        require_every_key(files.keys, sealed_by_key(tx), files.keyring)
    ca = CaClient(files.ca_url, files.roots, files.peers, files.gateway)
    database = AsyncDatabase(database_url, application_name("serve"))
    try:
        yield Gateway(database, ca, files.pepper, oid_arc, files.roots, files.public_url)
    finally:
        await ca.aclose()
        await database.close()


async def serve_until(
    stop: asyncio.Event,
    settings: Settings,
    gateway: Gateway,
    *besides: Callable[[asyncio.Event], Awaitable[None]],
) -> None:
    """Serve, with the workers and what runs `besides`, until `stop` is set.

    What fails for good (a port that is taken) stops all of it and is raised.
    """
    cache = settings.home.server_certificate if settings.home is not None else None
    names = server_names(gateway.public_url, settings.listen)
    certificate = ServerCertificate(gateway.ca.sign_server, names, gateway.roots, cache=cache)
    # where proxies name the client before TLS, they see no header within it
    proxies, naming = settings.trusted_proxies, settings.proxy_protocol
    app = make_app(
        gateway, rate_limit=settings.rate_limit, trusted_proxies=() if naming else proxies
    )
    server = Server(app, settings.listen, certificate, proxies if naming else ())

    async def serve() -> None:
        try:
            await server.run()
        finally:
            stop.set()

    async def end() -> None:
        await stop.wait()
        await server.stop()

    async def tell() -> None:
        await server.started.wait()
        click.echo(
            f"ready: {gateway.public_url} (listening on {server.address[0]} "
            f"port {server.address[1]})"
        )

    telling = asyncio.create_task(tell())
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(serve())
            group.create_task(end())
            group.create_task(run_workers(gateway, stop))
            for other in besides:
                group.create_task(_run(other, stop))
    except* NeedsEdit as failed:
        raise failed.exceptions[0] from None
    finally:
        telling.cancel()


def keeping(
    files: GatewayFiles, settings: Settings, gateway: Gateway
) -> Callable[[asyncio.Event], Awaitable[None]]:
    """Return what renews the certificates that this gateway holds of others."""
    joiner = Joiner(
        gateway.database,
        files.keys,
        settings.allow_addresses,
        actor=f"worker:{actor_name()}",
        oid_arc=settings.oid_arc,
        peer_proxy=settings.peer_proxy,
    )
    renewals = Renewals(joiner)
    return lambda stop: run_jobs([renewals.job()], stop)


def read_roots(path: Path) -> tuple[str, ...]:
    """Return the PEM texts of a bundle of roots.

    Raises:
        NeedsEdit: `config_invalid`, naming the file.
    """
    try:
        return split_pem(path.read_text())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise NeedsEdit(
            "config_invalid",
            f"{path}: the CA's roots cannot be read: {reason}",
            hint="restore it from a backup, or let MOSAIC_CA_ROOT name the bundle of the CA",
        ) from None


async def _run(other: Callable[[asyncio.Event], Awaitable[None]], stop: asyncio.Event) -> None:
    await other(stop)
