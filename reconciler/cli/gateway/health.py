"""Check that the endpoint on this machine is ready.

A container's health check can run this command, because it needs no shell and no curl.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import socket
import ssl
from typing import TYPE_CHECKING, Final

import click

from reconciler.cli.shared.context import read_settings, verb
from reconciler.cli.shared.output import output_choice, print_document
from reconciler.config import require
from reconciler.errors import Retry
from reconciler.web.client_address import is_one_of
from reconciler.web.server.proxy_protocol import LOCAL

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.config import Settings
    from reconciler.core.setting_values import Network

TIMEOUT_S: Final = 5.0


@click.command(help=__doc__)
@click.option("--listen", metavar="HOST:PORT", help="The address that `serve` listens on.")
@output_choice("text", "json", "yaml", about="How it is printed; json is stable.")
@verb
def command(listen: str | None, output: str) -> None:
    settings = read_settings(listen=listen)
    status = ask_ready(settings)
    if output != "text":
        host, port = settings.listen
        print_document({"status": status, "host": host, "port": port}, output)
    else:
        click.echo(status)


def ask_ready(settings: Settings) -> str:
    """Return what the endpoint of this machine says of itself.

    Raises:
        Retry: `unavailable`: it does not answer, or is not ready.
    """
    host, port = settings.listen
    naming = settings.trusted_proxies if settings.proxy_protocol else ()
    return _ask(_reachable(host), port, require(settings.ca_root, "ca_root"), naming)


def _ask(host: str, port: int, root: Path, naming: tuple[Network, ...]) -> str:
    try:
        context = ssl.create_default_context(cafile=root)
        context.check_hostname = False  # it is reached by an address, and pinned to our own root
        connection = http.client.HTTPSConnection(host, port)
        raw = socket.create_connection((host, port), TIMEOUT_S)
        if is_one_of(raw.getsockname()[0], naming):  # a proxy on this machine: speak as it would
            raw.sendall(LOCAL)
        connection.sock = context.wrap_socket(raw, server_hostname=host)
        connection.request("GET", "/readyz", headers={"Connection": "close"})
        answer = connection.getresponse()
        report = json.loads(answer.read(65536))
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _unready(host, port, reason) from None
    if answer.status != 200:
        raise _unready(host, port, f"HTTP {answer.status}: {report.get('detail')}")
    return str(report["status"])


def _reachable(host: str) -> str:
    """Return the address at which a server that listens on `host` is reached from here."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if not address.is_unspecified:
        return host
    return "127.0.0.1" if address.version == 4 else "::1"


def _unready(host: str, port: int, reason: str) -> Retry:
    return Retry(
        "unavailable",
        f"the endpoint at {host} port {port} is not ready: {reason}",
        hint="start it: `mosaic federation up` or `serve`; if it runs, its log says why",
    )
