"""Print the versions of this program and of what it runs with.

These are its commit, Python, step-ca, PostgreSQL's client library, and the server: that of the
database that is set, or the one that a home runs.
"""

from __future__ import annotations

import platform
from importlib import metadata
from typing import TYPE_CHECKING, Any

import click

from reconciler.cli.shared.context import read_settings, verb
from reconciler.cli.shared.output import output_option, print_document
from reconciler.errors import MosaicError
from reconciler.packaged_files import built_commit

if TYPE_CHECKING:
    from reconciler.config import Settings

DISTRIBUTION = "mosaic-federation"


@click.command(help=__doc__)
@output_option
@verb
def command(output: str) -> None:
    versions = {
        "version": metadata.version(DISTRIBUTION),
        "commit": built_commit(),
        "python": platform.python_version(),
        "stepCa": _step_ca(),
        "postgresql": {"client": _client(), "server": _server()},
    }
    if output != "table":
        print_document(versions, output)
    else:
        _print(versions)


def _print(versions: dict[str, Any]) -> None:
    commit = f"commit {versions['commit'][:12]}, " if versions["commit"] else ""
    click.echo(f"{DISTRIBUTION} {versions['version']} ({commit}Python {versions['python']})")
    click.echo(f"step-ca {versions['stepCa'] or '-'}")
    postgresql = versions["postgresql"]
    click.echo(f"PostgreSQL {postgresql['server'] or '-'} (client {postgresql['client']})")


def _step_ca() -> str | None:
    from reconciler.embedded.stepca.install import find_step_ca, version_of

    program = find_step_ca()
    numbers = version_of(program) if program is not None else None
    return ".".join(map(str, numbers)) if numbers is not None else None


def _client() -> str:
    from reconciler.store.connection.connector import client_version

    return client_version()


def _server() -> str | None:
    """Return the server's version; None, with the reason on standard error, if it is not known."""
    try:
        return _server_of(read_settings())
    except MosaicError as error:
        click.echo(f"the server's version is not known: {error.message}", err=True)
        return None


def _server_of(settings: Settings) -> str | None:
    if settings.database_url is not None:
        from reconciler.config import database_source
        from reconciler.store.connection.connector import server_version
        from reconciler.store.locks import application_name

        source = database_source(settings)
        assert source is not None  # the URL is set
        return server_version(source, application_name("version"))
    if settings.home is None:
        return None
    from reconciler.embedded.postgres.programs import home_version

    return home_version(settings.home.server)
