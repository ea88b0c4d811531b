"""`--webhook`: where a loop listens for pushes of a forge, and the secret that signs them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from reconciler.core.setting_values import read_listen
from reconciler.core.webhook import MIN_SECRET, SIGNING_TOKEN, signing_key
from reconciler.errors import NeedsEdit

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

    from reconciler.core.model.origin import Address
    from reconciler.core.setting_values import SourceSetting

    Serving = Callable[[asyncio.Event], Coroutine[None, None, None]]

F = TypeVar("F", bound="Callable[..., Any]")


@dataclass(frozen=True, slots=True)
class Webhook:
    """Where to listen for pushes, and the secret that they are signed with."""

    listen: Address
    secret: bytes = field(repr=False)

    @property
    def url(self) -> str:
        """Where a forge reports pushes."""
        return f"http://{self.listen[0]}:{self.listen[1]}/webhook"

    def serving(self, pushed: asyncio.Event) -> Serving:
        """Listen, and return what serves until an event is set; a push sets `pushed`."""
        from reconciler.web.server.server import bind  # the web's libraries only where one listens
        from reconciler.web.webhook import serve_webhook, webhook_app

        app, listener = webhook_app(self.secret, pushed.set), bind(self.listen)
        return lambda stop: serve_webhook(app, listener, stop)


def webhook_options(function: F) -> F:
    """Add `--webhook` and `--webhook-secret-file`."""
    listen = click.option(
        "--webhook",
        metavar="HOST:PORT",
        help="Listen on this address for pushes of a forge, over HTTP.",
    )
    secret = click.option(
        "--webhook-secret-file", metavar="FILE", help="The secret that the forge signs pushes with."
    )
    return listen(secret(function))


def read_webhook(
    listen: str | None, secret_file: str | None, source: SourceSetting
) -> Webhook | None:
    """Return the webhook of a loop over a source, if the options name one.

    Raises:
        NeedsEdit: `config_invalid`: one of them is missing or wrong, or the source is a folder.
    """
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
    _require_strong(secret, secret_file)
    if not source.is_git:
        raise _wrong(
            f"--webhook needs a git repository; {source.shown} is a folder, which is watched",
            "omit --webhook, or name a ref of the repository: --ref",
        )
    return Webhook(address, secret)


def _require_strong(secret: bytes, secret_file: str) -> None:
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


def _wrong(message: str, hint: str) -> NeedsEdit:
    return NeedsEdit("config_invalid", message, hint=hint)
