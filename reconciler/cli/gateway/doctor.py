"""Check everything that the gateway needs; change nothing.

Checks the settings, database, keys, audit log, source, CA and endpoint, and says how to fix each
problem. Exits with 1 if a check fails. A part that is not running is a warning.
"""

from __future__ import annotations

import asyncio
import shlex
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from reconciler.cli.ca.status import ca_facts
from reconciler.cli.gateway.health import ask_ready
from reconciler.cli.shared.context import (
    database,
    require_home,
    say_next,
    settings,
    source_of,
    verb,
)
from reconciler.cli.shared.output import output_option, print_document
from reconciler.config import require
from reconciler.core.model.text import counted, printable
from reconciler.crypto.keyring import FileKeyring
from reconciler.embedded.destroy import orphans
from reconciler.embedded.stepca.install import require_step_ca, version_of
from reconciler.embedded.supervise import gateway_runs
from reconciler.errors import EXIT_FAILED, OTHER_USER, MosaicError, NeedsEdit, Refused, Retry
from reconciler.manifest.load import load
from reconciler.operations.placement import port_warning, public_url_facts
from reconciler.operations.secrets import read_pepper, require_every_key
from reconciler.reconcile import interrupted, recover_source
from reconciler.source.git.environment import git_version
from reconciler.source.read import read_source
from reconciler.store.audit.log import verify
from reconciler.store.rewrap import sealed_by_key
from reconciler.store.schema import differences

if TYPE_CHECKING:
    from collections.abc import Callable

    from reconciler.config import Settings
    from reconciler.store.db import Database

MAX_SKEW: Final = timedelta(seconds=5)  # between this clock and the database's
OK, WARNING, FAILED, SKIPPED = "ok", "warning", "failed", "skipped"
COLOURS: Final = {OK: "green", WARNING: "yellow", FAILED: "red", SKIPPED: "bright_black"}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found; `hint` says what to type where it is not well."""

    check: str
    state: str
    detail: str
    hint: str = ""

    def as_json(self) -> dict[str, str]:
        """Return the object of `--output json`."""
        return {
            "check": self.check,
            "state": self.state,
            "detail": self.detail,
            "hint": self.hint,
        }


@click.command(help=__doc__)
@output_option
@verb
def command(output: str) -> None:
    found = _examine(settings())
    if output != "table":
        print_document([each.as_json() for each in found], output)
    else:
        for each in found:
            state = click.style(f"{each.state:<8}", fg=COLOURS[each.state])
            click.echo(f"{state} {each.check:<14} {printable(each.detail, 500)}")
            if each.hint:
                say_next(f"{'':<23} -> {printable(each.hint, 500)}")
    if any(each.state == FAILED for each in found):
        raise click.exceptions.Exit(EXIT_FAILED)


@dataclass(frozen=True, slots=True)
class _Doctor:
    found: list[Finding] = field(default_factory=list)

    def check(self, name: str, look: Callable[[], str], *, may_be_down: bool = False) -> bool:
        """Note what `look` returns, or why it failed; `may_be_down` takes a `Retry` for a warning.

        Return whether it is well.
        """
        try:
            detail = look()
        except MosaicError as error:
            state = WARNING if may_be_down and isinstance(error, Retry) else FAILED
            self.found.append(Finding(name, state, error.message, error.hint))
            return False
        except OSError as error:
            hint = OTHER_USER
            self.found.append(Finding(name, FAILED, f"{error.filename}: {error.strerror}", hint))
            return False
        self.found.append(Finding(name, OK, detail))
        return True

    def warn(self, name: str, what: str, hint: str) -> None:
        """Note what works, though it may not be meant."""
        self.found.append(Finding(name, WARNING, what, hint))

    def skip(self, name: str, why: str) -> None:
        """Note that a check was not made."""
        self.found.append(Finding(name, SKIPPED, why))


def _examine(setting: Settings) -> list[Finding]:
    doctor = _Doctor()
    with ExitStack() as stack:
        opened: list[Database] = []

        def connect() -> str:
            opened.append(stack.enter_context(database(setting, "doctor")))
            opened[0].require_writable()
            with opened[0].transaction() as tx:
                version = tx.row("SHOW server_version")
            return f"PostgreSQL {version['server_version'] if version else '?'}, schema current"

        if doctor.check("database", connect):
            _with_database(doctor, setting, opened[0])
        else:
            for name in ("schema", "clock", "audit log", "sealing keys"):
                doctor.skip(name, "the database is not there")
        doctor.check("token pepper", lambda: _pepper(setting))
        _git(doctor, setting)
        doctor.check("source", lambda: _source(setting, next(iter(opened), None)))
        if setting.embedded:
            doctor.check("step-ca", _step_ca)
        doctor.check(
            "public URL",
            lambda: public_url_facts(setting, next(iter(opened), None)),
            may_be_down=True,
        )
        if warning := port_warning(setting):
            doctor.warn("listen", warning, "nothing, where one does: listen (MOSAIC_LISTEN)")
        if setting.embedded and not gateway_runs(require_home(setting)):
            home = require_home(setting).path
            hint = f"`mosaic federation up --home {shlex.quote(str(home))}`"
            doctor.warn("gateway", f"it is stopped: neither `up` nor `serve` runs in {home}", hint)
            return doctor.found
        doctor.check("CA", lambda: _ca(setting), may_be_down=True)
        doctor.check("endpoint", lambda: _endpoint(setting), may_be_down=True)
        doctor.found.extend(_orphans())
    return doctor.found


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
    return left or [Finding("orphans", OK, "no removed gateway left anything on this machine")]


def _with_database(doctor: _Doctor, setting: Settings, opened: Database) -> None:
    def schema() -> str:
        with opened.transaction() as tx:
            found = differences(tx)
        if found:
            raise Refused(
                "schema_differs", "; ".join(found), hint="see `mosaic federation db check`"
            )
        return "constraints and triggers are in force"

    def clock() -> str:
        with opened.transaction() as tx:
            skew = datetime.now(UTC) - tx.now()
        if abs(skew) > MAX_SKEW:
            raise Refused(
                "state_conflict",
                f"this clock is {skew.total_seconds():+.1f} s from the database's",
                hint="set the clocks: proofs and certificates are judged by them",
            )
        return f"{skew.total_seconds():+.1f} s from the database's"

    def audit_log() -> str:
        with opened.transaction() as tx:
            found = verify(tx)
        if found.chain_break is not None:
            raise Refused(
                "audit_broken",
                f"it breaks at seq {found.chain_break.seq}: {found.chain_break.reason}",
                hint="see `mosaic federation audit verify`",
            )
        return f"{found.last.seq:,} entries verify"

    def keys() -> str:
        folder = require(setting.keyring, "keyring")
        ring = FileKeyring.load(folder)
        with opened.transaction() as tx:
            sealed = sealed_by_key(tx)
        require_every_key(ring, sealed, folder)
        return f"{counted(len(ring.ids), 'key')}, {counted(sealed.total(), 'sealed value')}"

    doctor.check("schema", schema)
    doctor.check("clock", clock)
    doctor.check("audit log", audit_log)
    doctor.check("sealing keys", keys)


def _pepper(setting: Settings) -> str:
    read_pepper(require(setting.token_pepper, "token_pepper_file"))
    return "32 bytes"


def _git(doctor: _Doctor, setting: Settings) -> None:
    """Note git's version; a folder is read without, but the commit that it is of is not known."""
    try:
        version = ".".join(map(str, git_version()))
    except NeedsEdit as error:
        needed = setting.source is not None and setting.source.is_git
        state = FAILED if needed else WARNING
        doctor.found.append(Finding("git", state, error.message, error.hint))
    else:
        doctor.found.append(Finding("git", OK, f"git {version}"))


def _source(setting: Settings, opened: Database | None) -> str:
    source = source_of(setting, None)
    if opened is not None:
        recover_source(opened, source)
        if interrupted(source):
            raise Refused(
                "state_conflict",
                f"a command was interrupted in {source.shown} that wrote to another database",
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


def _ca(setting: Settings) -> str:
    facts: dict[str, Any] = asyncio.run(ca_facts(setting))
    if facts["differences"]:
        raise Refused(
            "ca_refused", "; ".join(facts["differences"]), hint="see `mosaic federation ca status`"
        )
    return f"step-ca {facts['version']} at {facts['url']}, its provisioners are ours"


def _endpoint(setting: Settings) -> str:
    if setting.home is None and setting.database_url is None:
        require_home(setting)
    if setting.ca_root is None:
        raise NeedsEdit(
            "config_invalid", "MOSAIC_CA_ROOT is not set", hint="name the bundle of the CA's roots"
        )
    return f"{setting.public_url}: {ask_ready(setting)}"
