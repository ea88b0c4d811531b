"""Check everything that the gateway needs; change nothing.

Checks the settings, database, keys, audit log, source, CA and endpoint, and says how to fix each
problem. Exits with 1 if a check fails. A part that is not running is a warning.
"""

from __future__ import annotations

import asyncio
import shlex
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from reconciler.cli.ca.status import ca_facts
from reconciler.cli.gateway.examination import (
    FAILED,
    OK,
    SKIPPED,
    WARNING,
    Examination,
    Finding,
    exposures,
)
from reconciler.cli.gateway.health import ask_ready
from reconciler.cli.shared.context import (
    open_database,
    print_hint,
    read_settings,
    require_home,
    source_of,
    verb,
)
from reconciler.cli.shared.output import output_option, print_document
from reconciler.config import require
from reconciler.core.model.text import counted, printable
from reconciler.core.privileges import Role
from reconciler.crypto.keyring import FileKeyring
from reconciler.embedded.destroy import orphans
from reconciler.embedded.stepca.install import require_step_ca, version_of
from reconciler.embedded.supervise import gateway_runs
from reconciler.errors import EXIT_FAILED, MosaicError, NeedsEdit, Refused
from reconciler.manifest.load import load
from reconciler.operations.gateway_files import read_pepper, require_every_key
from reconciler.operations.placement import port_warning, public_url_facts
from reconciler.source.git.environment import git_version
from reconciler.source.read import read_source
from reconciler.store.audit.log import verify
from reconciler.store.backup.database_identity import refuse_if_restored
from reconciler.store.rewrap import sealed_by_key
from reconciler.store.roles.catalog import differences_if_made
from reconciler.store.roles.logins import excess_of_session
from reconciler.store.rollback_journal import interrupted, recover_source
from reconciler.store.schema import differences
from reconciler.store.views.status import theft_signals

if TYPE_CHECKING:
    from reconciler.config import Settings
    from reconciler.store.db import Database

MAX_SKEW: Final = timedelta(seconds=5)  # between this clock and the database's
COLOURS: Final = {OK: "green", WARNING: "yellow", FAILED: "red", SKIPPED: "bright_black"}


@click.command(help=__doc__)
@output_option
@verb
def command(output: str) -> None:
    findings = _examine(read_settings())
    if output != "table":
        print_document([each.as_json() for each in findings], output)
    else:
        for each in findings:
            state = click.style(f"{each.state:<8}", fg=COLOURS[each.state])
            click.echo(f"{state} {each.check:<14} {printable(each.detail, 500)}")
            if each.hint:
                print_hint(f"{'':<23} -> {printable(each.hint, 500)}")
    failed = [each.check for each in findings if each.state == FAILED]
    if failed and output == "json":
        message = f"{counted(len(failed), 'check')} failed: {', '.join(failed)}"
        raise Refused("check_failed", message, hint="each finding says how to correct it")
    if failed:
        raise click.exceptions.Exit(EXIT_FAILED)


def _examine(settings: Settings) -> list[Finding]:
    doctor = Examination()
    with ExitStack() as stack:
        databases: list[Database] = []

        def connect() -> str:
            databases.append(stack.enter_context(open_database(settings, "doctor", Role.READER)))
            databases[0].require_writable()
            with databases[0].transaction() as tx:
                version = tx.row("SHOW server_version")
            return f"PostgreSQL {version['server_version'] if version else '?'}, schema current"

        if doctor.check("database", connect):
            _with_database(doctor, settings, databases[0])
        else:
            for name in ("schema", "login", "clock", "audit log", "restore", "sealing keys"):
                doctor.skip(name, "the database is not available")
        doctor.check("token pepper", lambda: _pepper(settings))
        _git(doctor, settings)
        doctor.check("source", lambda: _source(settings, next(iter(databases), None)))
        if settings.embedded:
            doctor.check("step-ca", _step_ca)
        doctor.check(
            "public URL",
            lambda: public_url_facts(settings, next(iter(databases), None)),
            may_be_down=True,
        )
        if warning := port_warning(settings):
            doctor.warn("listen", warning, "if nothing does: listen (MOSAIC_LISTEN)")
        doctor.findings.extend(exposures(settings))
        if settings.embedded and not gateway_runs(require_home(settings)):
            home = require_home(settings).path
            hint = f"`mosaic federation up --home {shlex.quote(str(home))}`"
            doctor.warn("gateway", f"stopped: neither `up` nor `serve` runs in {home}", hint)
            return doctor.findings
        doctor.check("CA", lambda: _ca(settings), may_be_down=True)
        doctor.check("endpoint", lambda: _endpoint(settings), may_be_down=True)
        doctor.findings.extend(_orphans())
    return doctor.findings


def _orphans() -> list[Finding]:
    """Return a warning for each database whose gateway is gone."""
    left = [
        Finding(
            "orphans",
            WARNING,
            f"{each.path} ({each.size / 1e6:,.1f} MB) was left by "
            f"{each.home or 'a gateway without a record'}, which is not there"
            + ("" if each.certain else " now: its disk may not be mounted"),
            "remove it: `mosaic federation destroy --orphans`"
            if each.certain
            else f"remove it: `mosaic federation destroy --orphan {shlex.quote(str(each.path))}`",
        )
        for each in orphans()
    ]
    return left or [Finding("orphans", OK, "no removed gateway left data on this machine")]


def _with_database(doctor: Examination, settings: Settings, database: Database) -> None:
    def schema() -> str:
        with database.transaction() as tx:
            differing = "; ".join((*differences(tx), *differences_if_made(tx)))
        if differing:
            raise Refused("schema_differs", differing, hint="see `mosaic federation db check`")
        return "constraints and triggers are in force"

    def clock() -> str:
        with database.transaction() as tx:
            skew = datetime.now(UTC) - tx.now()
        if abs(skew) > MAX_SKEW:
            raise Refused(
                "state_conflict",
                f"the clock of this machine is {skew.total_seconds():+.1f} s from the database's",
                hint="synchronize the clocks: proofs and certificates depend on them",
            )
        return f"within {abs(skew.total_seconds()):.1f} s of the database's clock"

    def audit_log() -> str:
        with database.transaction() as tx:
            verification = verify(tx)
        broken = verification.chain_break
        if broken is not None:
            raise Refused(
                "audit_broken",
                f"it breaks at seq {broken.seq}: {broken.reason}",
                hint="see `mosaic federation audit verify`",
            )
        archive = verification.archive
        before = f"; {archive.fact}" if archive is not None else ""
        return f"{verification.count:,} records verified{before}"

    def restore() -> str:
        with database.transaction() as tx:
            refuse_if_restored(tx)
        return "no restore waits for a confirmation"

    def keys() -> str:
        folder = require(settings.keyring, "keyring")
        ring = FileKeyring.load(folder)
        with database.transaction() as tx:
            sealed = sealed_by_key(tx)
        require_every_key(ring, sealed, folder)
        return f"{counted(len(ring.ids), 'key')}, {counted(sealed.total(), 'sealed value')}"

    doctor.check("schema", schema)
    _login(doctor, database)
    doctor.check("clock", clock)
    doctor.check("audit log", audit_log)
    doctor.check("restore", restore)
    doctor.findings.append(_theft_signals(database))
    doctor.check("sealing keys", keys)


def _theft_signals(database: Database) -> Finding:
    with database.transaction() as tx:
        grants = [each.grant for each in theft_signals(tx)]
    if not grants:
        return Finding("theft", OK, "no signal that is not acknowledged")
    what = f"{counted(len(grants), 'signal')} of {', '.join(sorted(set(grants)))}"
    return Finding("theft", WARNING, what, "see `mosaic federation status`, which shows what to do")


def _login(doctor: Examination, database: Database) -> None:
    with database.transaction() as tx:
        name, excess = excess_of_session(tx)
    if excess:
        what = f"{name} is {excess}: whoever takes a process over can do everything there"
        doctor.warn("login", what, "a login for each part: `mosaic federation db roles`")
    else:
        doctor.findings.append(Finding("login", OK, f"{name}, with the rights of its role"))


def _pepper(settings: Settings) -> str:
    read_pepper(require(settings.token_pepper, "token_pepper_file"))
    return "32 bytes"


def _git(doctor: Examination, settings: Settings) -> None:
    """Note git's version; a folder is read without, but the commit that it is of is not known."""
    try:
        version = ".".join(map(str, git_version()))
    except MosaicError as error:
        needed = settings.source is not None and settings.source.is_git
        state = FAILED if needed else WARNING
        doctor.findings.append(Finding("git", state, error.message, error.hint))
    else:
        doctor.findings.append(Finding("git", OK, f"git {version}"))


def _source(settings: Settings, database: Database | None) -> str:
    source = source_of(settings, None)
    if database is not None:
        recover_source(database, source)
        if interrupted(source):
            raise Refused(
                "state_conflict",
                f"a command that wrote to another database was interrupted in {source.shown}",
                hint="run `mosaic federation status` with the settings of that database; if it is"
                " gone, check the manifests and remove .mosaic-journal-*",
            )
    desired = load(read_source(source))
    peers, grants = counted(len(desired.peers), "peer"), counted(len(desired.grants), "grant")
    return f"{desired.label}: {peers} and {grants}"


def _step_ca() -> str:
    binary = require_step_ca()
    version = version_of(binary)
    return f"{binary} {'.'.join(map(str, version or ()))}"


def _ca(settings: Settings) -> str:
    facts: dict[str, Any] = asyncio.run(ca_facts(settings))
    if facts["differences"]:
        raise Refused(
            "ca_refused", "; ".join(facts["differences"]), hint="see `mosaic federation ca status`"
        )
    return (
        f"step-ca {facts['version']} at {facts['url']}, its provisioners are those of this gateway"
    )


def _endpoint(settings: Settings) -> str:
    if settings.home is None and settings.database_url is None:
        require_home(settings)
    if settings.ca_root is None:
        raise NeedsEdit(
            "config_invalid",
            "MOSAIC_CA_ROOT is not set",
            hint="set it to the PEM bundle of the CA's roots",
        )
    return f"{settings.public_url}: {ask_ready(settings)}"
