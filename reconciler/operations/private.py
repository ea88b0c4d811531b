"""The private listener of a process: opened before anything else, served beside its other work."""

from __future__ import annotations

import asyncio
import logging
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reconciler.authority import Authority
from reconciler.config import require
from reconciler.core.model.origin import is_loopback
from reconciler.core.setting_values import UnixPath
from reconciler.core.telemetry import SILENT, Telemetry
from reconciler.errors import NeedsEdit
from reconciler.store.connection.reader import Reader
from reconciler.store.db import Database
from reconciler.store.drift.detector import DriftDetector
from reconciler.store.locks import application_name
from reconciler.web.metrics.registry import Metrics
from reconciler.web.private.access import Access
from reconciler.web.private.app import PrivateApp
from reconciler.web.private.pages.app import Pages
from reconciler.web.private.server import PrivateSocket, bind_private, serve_private

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from reconciler.config import Settings
    from reconciler.core.model.origin import Address
    from reconciler.store.connection.conninfo import ConninfoSource

    Check = Callable[[], Awaitable[None]]
    Task = Callable[[asyncio.Event], Awaitable[None]]

MIN_TOKEN: Final = 16  # characters

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PrivateListener:
    """An address that is listened on, who may ask there, and what the process tells of itself."""

    socket: PrivateSocket
    access: Access
    metrics: Metrics

    async def serve(
        self,
        stop: asyncio.Event,
        checks: tuple[Check, ...],
        authority: Authority | None = None,
        rows: ConninfoSource | None = None,
    ) -> None:
        """Serve until `stop` is set; `checks` say whether the process is ready.

        `rows` is the database that pages and metrics show, by a login that reads it.
        """
        _log.info("private listener at %s", self.socket.shown)
        pages = None
        if rows is not None:
            drift = DriftDetector()
            pages = Pages(Database(rows, application_name("pages"), lasting=True), drift)
            metrics = Database(rows, application_name("metrics"), lasting=True)
            self.metrics.add_rows(metrics, drift)
        app = PrivateApp(self.access, checks, self.metrics, authority, pages)
        first = asyncio.create_task(self.metrics.refresh())  # which takes longest
        try:
            await serve_private(app, self.socket, stop)
        finally:
            first.cancel()

    async def serve_loop(
        self, stop: asyncio.Event, database: ConninfoSource, *checks: Check
    ) -> None:
        """Serve for a process that needs the database and has no authority, until `stop` is set."""
        reader = Reader(database, application_name("probe"))

        async def answers() -> None:
            await reader.rows("SELECT 1")

        try:
            await self.serve(stop, (answers, *checks), rows=database)
        finally:
            await reader.close()

    async def serve_authority(
        self,
        stop: asyncio.Event,
        database: ConninfoSource,
        rows: ConninfoSource | None = None,
        *checks: Check,
    ) -> None:
        """Serve `/authorize` with the authority of a database, until `stop` is set."""
        async with Authority(database) as authority:
            await self.serve(stop, (authority.require_ready, *checks), authority, rows)


@contextmanager
def private_listener(settings: Settings, verb: str) -> Iterator[PrivateListener | None]:
    """Listen as the settings say, until the block ends; None if they say nothing.

    A port that `init` chose, and that somebody else has, is a warning: two processes of one home
    cannot both have it.

    Raises:
        NeedsEdit: `config_invalid`: an address that was set cannot be used, or the token.
    """
    address = settings.private_listen
    if address is None:
        yield None
        return
    access = _access(address, settings)
    try:
        socket = bind_private(address)
    except NeedsEdit as error:
        if not settings.assigned["private_listen"].stored:
            raise
        _log.warning("%s", error)
        yield None
        return
    with closing(socket):
        yield PrivateListener(socket, access, Metrics(verb))


@contextmanager
def required_private_listener(settings: Settings, verb: str) -> Iterator[PrivateListener]:
    """Listen as the settings say, until the block ends.

    Raises:
        NeedsEdit: `config_invalid`: they say nothing, or the address or the token cannot be used.
    """
    address = settings.private_listen
    require(address, "private_listen")
    assert address is not None
    access = _access(address, settings)
    with closing(bind_private(address)) as socket:
        yield PrivateListener(socket, access, Metrics(verb))


def serving_authority(
    listener: PrivateListener | None, database: ConninfoSource, rows: ConninfoSource, *checks: Check
) -> tuple[Task, ...]:
    """Return what serves beside the other work of a process, if it listens.

    `/authorize` asks `database`; metrics and pages read `rows`: one database by two logins. The
    process is ready if `checks` say so too.
    """
    if listener is None:
        return ()
    return (lambda stop: listener.serve_authority(stop, database, rows, *checks),)


def telemetry_of(listener: PrivateListener | None) -> Telemetry:
    """Return what a process tells of its work to, if anybody can ask."""
    return listener.metrics if listener is not None else SILENT


def _access(address: Address | UnixPath, settings: Settings) -> Access:
    if settings.private_token is not None:
        return Access(_read_token(settings.private_token), settings.private_hosts)
    if not isinstance(address, UnixPath) and not is_loopback(address[0]):
        raise NeedsEdit(
            "config_invalid",
            f"{settings.origin_of('private_listen')}: {address[0]} is reachable from other"
            " machines, and no token is set",
            hint="set private_token_file (MOSAIC_PRIVATE_TOKEN_FILE), or listen on 127.0.0.1",
        )
    return Access(None, settings.private_hosts)


def _read_token(path: Path) -> bytes:
    try:
        token = path.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not ASCII"
        raise _no_token(path, f"the token cannot be read: {reason}") from None
    if len(token) < MIN_TOKEN or not token.isprintable() or " " in token:
        raise _no_token(
            path, f"expected one token of {MIN_TOKEN} characters or more, without a space"
        )
    return token.encode()


def _no_token(path: Path, message: str) -> NeedsEdit:
    return NeedsEdit("config_invalid", f"{path}: {message}", hint="make one: openssl rand -hex 32")
