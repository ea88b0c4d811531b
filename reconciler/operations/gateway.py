"""What `serve` and `up` have in common: a gateway from its settings, and what it keeps true."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from reconciler.clients.gateway.client import GatewayConnector
from reconciler.clients.step_ca.client import CaClient
from reconciler.config import require
from reconciler.crypto.ca_material import GATEWAY, PEERS, REVOCATIONS
from reconciler.crypto.keyring import FileKeyring, KeyringFolder
from reconciler.crypto.ott import Provisioner
from reconciler.embedded.stepca.move import continue_move
from reconciler.embedded.stepca.upgrade import upgrade_ca
from reconciler.enroll import Gateway
from reconciler.errors import MosaicError, NeedsEdit
from reconciler.loops.credentials import Credentials
from reconciler.loops.jobs import Job, run_jobs
from reconciler.loops.remote_grants import RemoteGrants
from reconciler.loops.renewals import Renewals
from reconciler.operations.backup.remembered_head import RememberedHead
from reconciler.operations.gateway_files import read_pepper, read_roots, require_every_key
from reconciler.operations.placement import places_in_home
from reconciler.release import Releaser
from reconciler.renew import Renewer
from reconciler.store.async_database import AsyncDatabase
from reconciler.store.db import Database
from reconciler.store.locks import actor_of, application_name
from reconciler.store.outbound import release
from reconciler.store.rewrap import sealed_by_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from reconciler.config import Settings
    from reconciler.config.home import Home
    from reconciler.core.telemetry import Telemetry
    from reconciler.store.connection.conninfo import ConninfoSource

MOVE_EVERY: Final = timedelta(hours=1)

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
    files: GatewayFiles, settings: Settings, source: ConninfoSource, telemetry: Telemetry
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


def keeping(
    files: GatewayFiles, settings: Settings, gateway: Gateway, source: ConninfoSource
) -> Callable[[asyncio.Event], Awaitable[None]]:
    """Return what keeps true what this gateway holds of others: certificates, and their folders."""
    actor = actor_of("worker")
    connector = GatewayConnector(settings.allow_addresses, settings.oid_arc, settings.peer_proxy)
    keys = KeyringFolder(files.keyring)
    renewer = Renewer(gateway.database, keys, connector, actor)
    jobs = [Renewals(renewer, gateway.telemetry).job(), RemoteGrants(renewer).job()]
    if settings.credentials_dir is not None:
        rows = Database(source, application_name("credentials"), lasting=True)
        releaser = Releaser(rows, keys, actor, settings.credentials_exec, retries_hook=True)
        jobs += Credentials(gateway.database, releaser, settings.credentials_dir).jobs()

    async def keep(stop: asyncio.Event) -> None:
        if settings.credentials_dir is None:
            with suppress(MosaicError):  # a database that is away keeps what it has
                await gateway.database.run(release.forget_failures)
        await run_jobs(jobs, stop)

    return keep


def moving(home: Home, url: str) -> Callable[[asyncio.Event], Awaitable[None]]:
    """Return what takes the steps of a move as they are due; step-ca starts again for each."""

    async def step() -> None:
        await asyncio.to_thread(continue_move, home.ca, database)

    database = Database(url, application_name("move"))
    return lambda stop: run_jobs([Job("move", MOVE_EVERY, step)], stop)
