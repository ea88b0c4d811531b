"""Apply the source when it changes and by a timer, until a signal.

This is the reconciling loop alone. It needs the database, and neither the CA nor a key.
"""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from reconciler.cli.plan.options import signatures, signed_option
from reconciler.cli.shared.context import (
    long_running,
    open_database,
    print_gateway,
    read_settings,
    source_of,
    source_option,
)
from reconciler.cli.shared.moments import DURATION
from reconciler.cli.shared.signals import until_signal
from reconciler.core.plan.guard import GuardOptions
from reconciler.core.setting_values import read_listen
from reconciler.core.webhook import MIN_SECRET, SIGNING_TOKEN, signing_key
from reconciler.errors import NeedsEdit
from reconciler.loops.jobs import run_jobs
from reconciler.loops.run import Loop
from reconciler.loops.service_status import Work, report_service
from reconciler.loops.triggers import PASS_EVERY, Triggers
from reconciler.store.locks import actor_name

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from datetime import timedelta

    from reconciler.config import Settings
    from reconciler.core.model.origin import Address
    from reconciler.operations.private import PrivateListener


@dataclass(frozen=True, slots=True)
class _Hook:
    """Where to listen for pushes, and the secret that they are signed with."""

    listen: Address
    secret: bytes = field(repr=False)


@click.command(help=__doc__)
@click.option(
    "--poll",
    type=DURATION,
    default=PASS_EVERY,
    show_default="1m",
    help="The interval between two fetches of a repository and two comparisons with the rows.",
)
@click.option(
    "--webhook",
    metavar="HOST:PORT",
    help="Listen on this address for pushes of a forge, over HTTP.",
)
@click.option(
    "--webhook-secret-file", metavar="FILE", help="The secret that the forge signs pushes with."
)
@click.option(
    "--refuse-widening",
    is_flag=True,
    help="Refuse plans that grant more than now; a person must apply them.",
)
@signed_option
@source_option
@long_running
def command(
    poll: timedelta,
    webhook: str | None,
    webhook_secret_file: str | None,
    refuse_widening: bool,
    require_signed: bool,
) -> None:
    settings = read_settings()
    hook = _hook(webhook, webhook_secret_file)
    limits, signed = (
        GuardOptions(refuse_widening=refuse_widening),
        signatures(settings, required=require_signed),
    )

    source = source_of(settings, None)
    if hook is not None and not source.is_git:
        raise _wrong(
            f"--webhook needs a git repository; {source.shown} is a folder, which is watched",
            "omit --webhook, or name a ref of the repository: --ref",
        )

    async def run() -> None:
        webhook = f"http://{hook.listen[0]}:{hook.listen[1]}/webhook" if hook is not None else ""
        triggers = Triggers(source, poll, webhook)
        with (
            _listening(settings) as private,
            open_database(settings, "run", lasting=True) as database,
        ):
            loop = Loop(database, triggers, f"loop:{actor_name()}", limits, signed)
            if private is not None:
                loop.telemetry = private.metrics
            await _until_signal(loop, hook, private)

    print_gateway(settings)
    asyncio.run(run())


async def _until_signal(loop: Loop, hook: _Hook | None, private: PrivateListener | None) -> None:
    stop, listening = until_signal(), None
    if hook is not None:
        from reconciler.web.server.server import bind  # the web's libraries only where one listens
        from reconciler.web.webhook import serve_webhook, webhook_app

        app, listener = webhook_app(hook.secret, loop.triggers.pushed.set), bind(hook.listen)
        listening = serve_webhook(app, listener, stop)
    async with asyncio.TaskGroup() as group:
        if listening is not None:
            group.create_task(listening)
        if private is not None:
            group.create_task(
                private.serve_loop(stop, loop.database.source, loop.require_recent_pass)
            )
        group.create_task(run_jobs([loop.expiry()], stop))
        group.create_task(loop.run(stop))
        work = Work(loop.database.source, (loop.require_recent_pass,))
        group.create_task(report_service(stop, loop.passed, work))


def _listening(settings: Settings) -> AbstractContextManager[PrivateListener | None]:
    if settings.private_listen is None:
        return nullcontext()
    from reconciler.operations.private import private_listener  # as above

    return private_listener(settings, "run")


def _hook(listen: str | None, secret_file: str | None) -> _Hook | None:
    """Return where to listen for pushes, and their secret, where both are given."""
    if listen is None and secret_file is None:
        return None
    if listen is None or secret_file is None:
        raise _wrong("--webhook and --webhook-secret-file go together", "give both, or neither")
    try:
        address, secret = read_listen(listen), Path(secret_file).read_bytes().strip()
    except ValueError as error:
        raise _wrong(f"--webhook: got {listen!r}: {error}", "correct it") from None
    except OSError as error:
        message = f"cannot read {secret_file}: {error.strerror}"
        raise _wrong(message, "name a readable file") from None
    if len(secret) < MIN_SECRET:
        raise _wrong(
            f"{secret_file}: the secret has {len(secret)} octets, expected {MIN_SECRET} or more",
            "make one: openssl rand -hex 32",
        )
    if secret.startswith(SIGNING_TOKEN) and signing_key(secret) is None:
        raise _wrong(
            f"{secret_file}: it begins with whsec_, but no base64 key follows",
            'make one: echo "whsec_$(openssl rand -base64 32)"',
        )
    return _Hook(address, secret)


def _wrong(message: str, hint: str) -> NeedsEdit:
    return NeedsEdit("config_invalid", message, hint=hint)
