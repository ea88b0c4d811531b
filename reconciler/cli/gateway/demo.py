"""Show two gateways on this machine, from manifest to use.

Creates two gateways in a temporary folder, starts both on loopback, shows each step with its real
values, and removes everything again. It takes well under a minute.
"""

from __future__ import annotations

import asyncio
import json
import shlex
import shutil
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final

import click

from reconciler.cli.demo.gateway import DemoGateway, expect
from reconciler.cli.demo.service import call_service, demo_service
from reconciler.cli.shared.signals import interruptible, uninterruptible
from reconciler.config.home import NAME, Home
from reconciler.core.issuance.invitation import parse_invitation
from reconciler.core.issuance.x509 import grant_id_oid, subject_user_id_oid
from reconciler.core.model.ids import DEFAULT_OID_ARC
from reconciler.embedded.destroy import destroy_home, reserved
from reconciler.embedded.folders import remove
from reconciler.embedded.scratch import abandoned_scratch, keep_scratch, make_scratch
from reconciler.errors import MosaicError
from reconciler.packaged_files import data_dir

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PREFIX: Final = "mosaic-demo-"
SCOPE: Final = {
    "resources": [{"type": "notes", "verbs": ["list"], "filter": {"teams": ["platform"]}}],
    "maxRowsPerQuery": 100,
}
CREDENTIAL: Final = "credential"
SUBJECT: Final = "maria@alpha.example"
LOOP_S: Final = 15  # within which the loop of `up` must have seen a removal


@click.command(help=__doc__)
@click.option("--keep", is_flag=True, help="Keep the folders of both gateways.")
def command(*, keep: bool) -> None:
    began = time.monotonic()
    for left in abandoned_scratch(PREFIX):
        _remove(left)
    with interruptible():
        folder = make_scratch(PREFIX)
        alpha, beta = DemoGateway(folder / "alpha"), DemoGateway(folder / "beta")
        try:
            with ExitStack() as running:
                _prepare(alpha, beta)
                _title("both gateways run: PostgreSQL, step-ca, the HTTPS endpoint, the loop")
                for gateway in (alpha, beta):
                    click.echo(f"  {gateway.name:<6}{running.enter_context(gateway.up())}")
                _rows(alpha, beta)
        finally:
            if keep:
                keep_scratch(folder)
            else:
                with uninterruptible():
                    _remove(folder)
    took = f"{time.monotonic() - began:.0f} s"
    if keep:
        click.echo(f"\ndone in {took}; both gateways are stopped, and their folders are kept. Try:")
        click.echo(f"  cd {shlex.quote(str(alpha.folder))} && mosaic federation grant list")
        click.echo(f"  cd {shlex.quote(str(alpha.folder))} && mosaic federation up")
        click.echo(f"  cd {shlex.quote(str(beta.folder))} && mosaic federation peer show alpha")
        click.echo("to remove them:")
        for gateway in (alpha, beta):
            click.echo(
                f"  mosaic federation destroy --home {shlex.quote(str(gateway.folder / NAME))}"
            )
        click.echo(f"  rm -r {folder}")
    else:
        click.echo(f"\ndone in {took}; no process and no file is left.")


def _remove(folder: Path) -> None:
    """Remove a demo's folder with both gateways, and stop what still runs of them."""
    for home in map(Home, folder.glob(f"*/{NAME}")):
        with reserved(home, lambda: None) as here:
            if here:
                destroy_home(home)
    remove(folder)


def _prepare(alpha: DemoGateway, beta: DemoGateway) -> None:
    _title("two gateways, each with a database, a certificate authority and keys of its own")
    for gateway in (alpha, beta):
        gateway.show("init")
    _title("alpha's admin has committed manifests of a peer and two grants; they are applied")
    shutil.copytree(data_dir("manifests"), alpha.manifests, dirs_exist_ok=True)
    alpha.show("apply", "--yes")
    alpha.show("apply", "--yes")


def _rows(alpha: DemoGateway, beta: DemoGateway) -> None:
    scope = json.dumps(SCOPE)
    created = _create(alpha, scope)
    invitation = created["invitation"]["url"]
    _peer_add(beta, invitation)
    certificate = beta.outbound_certificate("alpha")
    facts = certificate.facts
    names = dict(facts.other_names)

    _row(2, "the CSR came back signed; the OIDs of the certificate's SAN are")
    _value("grantId", f"{grant_id_oid(DEFAULT_OID_ARC)} = {names[grant_id_oid(DEFAULT_OID_ARC)]}")
    _value("serial", facts.serial)
    _value("fingerprint", facts.fingerprint)
    _value("for", f"{', '.join(facts.extended_key_usage)} until {facts.not_after:%Y-%m-%d %H:%M}")
    expect(names[grant_id_oid(DEFAULT_OID_ARC)] == created["id"], "the grant's id is in the SAN")

    _row(3, "the token works once; another key tries it again")
    refusal = asyncio.run(_second_use(invitation))
    _value("HTTP", f"{refusal.outcome.status} {refusal.code}: {refusal.message}")
    expect(refusal.outcome.status == 410, "a second use is 410")

    _row(4, "the certificate's subjectUserId is the grant's")
    _value(
        "certificate",
        f"{subject_user_id_oid(DEFAULT_OID_ARC)} = {names[subject_user_id_oid(DEFAULT_OID_ARC)]}",
    )
    _value("grant row", created["subjectUserId"])
    expect(
        names[subject_user_id_oid(DEFAULT_OID_ARC)] == created["subjectUserId"], "they are equal"
    )

    _row(5, "beta's client_key_pem, as it is stored")
    _value("bytes", f"{certificate.sealed[:48].hex(' ')} … ({len(certificate.sealed)} bytes)")
    expect(b"PRIVATE KEY" not in certificate.sealed, "it is ciphertext")

    _row(6, "beta's peer is active, with a certificate and a key")
    peer = beta.json("peer", "show", "alpha")
    _value(
        "peer",
        f"{peer['name']}: {peer['status']} under {peer['grant']['name']}, "
        f"until {peer['certificate']['notAfter']}",
    )
    expect(peer["status"] == "active", "the peer is active")

    _row(7, "a scope with an unknown resource type is refused before anything is written")
    bad = scope.replace("notes", "notez")
    alpha.fails("grant", "create", "bad", "--peer", "beta", "--subject-user", "x", "--scope", bad)

    _row(8, "the lists show the states: active, pending")
    alpha.show("grant", "list")
    alpha.show("peer", "list")
    beta.show("peer", "list")
    with demo_service(alpha.settings) as url:
        _use(beta, url)
        _removal(alpha)
        _refused_use(beta, url)


def _create(alpha: DemoGateway, scope: str) -> dict[str, Any]:
    _row(1, "grant create writes a pending row with its scope, and prints the invitation once")
    created: dict[str, Any] = alpha.json(
        "grant",
        "create",
        "beta-notes",
        "--peer",
        "beta",
        "--subject-user",
        SUBJECT,
        "--scope",
        scope,
        shown=True,
    )
    _value("row", f"{created['name']}: {created['status']}, {created['id']}")
    _value("scope", json.dumps(created["scope"]))
    _value("invitation", created["invitation"]["url"])
    expect(created["status"] == "pending", "the row is pending")
    return created


def _peer_add(beta: DemoGateway, invitation: str) -> None:
    _title("beta's admin receives the invitation, and uses it")
    beta.show("peer", "add", "-", "--name", "alpha", stdin=invitation)


def _use(beta: DemoGateway, url: str) -> None:
    _title("beta uses its credential: a service of alpha's asks alpha's /authorize, and lets it in")
    beta.show("peer", "credentials", "alpha", "--dir", CREDENTIAL)
    status, body = _call(beta, url)
    expect(status == 200 and SUBJECT in body, "the service lets beta in")


def _refused_use(beta: DemoGateway, url: str) -> None:
    _title("beta's next request is refused, with the same certificate")
    status, body = _call(beta, url)
    expect(status == 403 and "grant_ended" in body, "the service refuses beta")


def _call(beta: DemoGateway, url: str) -> tuple[int, str]:
    files = (f"--cacert {CREDENTIAL}/ca.crt", f"--cert {CREDENTIAL}/tls.crt")
    click.echo(f"  {beta.name}$ curl {' '.join(files)} --key {CREDENTIAL}/tls.key {url}")
    status, body = call_service(url, beta.folder / CREDENTIAL)
    _value("HTTP", f"{status} {body}")
    return status, body


def _removal(alpha: DemoGateway) -> None:
    _title("the grant's manifest is removed; the loop of `up` revokes the grant")
    removed = alpha.manifests / "beta-notes.yaml"
    removed.unlink()
    click.echo(f"  $ rm {removed.relative_to(alpha.folder)}")
    status = next(filter(lambda each: each == "revoked", _statuses(alpha)), "")
    expect(status == "revoked", "the loop revoked the grant")
    alpha.show("grant", "list")


def _statuses(alpha: DemoGateway) -> Iterator[str]:
    until = time.monotonic() + LOOP_S
    while time.monotonic() < until:
        yield alpha.json("grant", "show", "beta-notes")["status"]
        time.sleep(0.3)


async def _second_use(invitation: str) -> MosaicError:
    from reconciler.clients.gateway.client import GatewayClient
    from reconciler.core.setting_values import LOOPBACK
    from reconciler.crypto.csr import make_csr
    from reconciler.crypto.keys import generate_key

    parsed = parse_invitation(invitation)
    async with GatewayClient.pinned(parsed.base_url, (parsed.pin,), LOOPBACK) as client:
        try:
            await client.enroll(parsed.token, make_csr(generate_key()))
        except MosaicError as error:
            return error
    raise AssertionError("a second use of the token was answered with a certificate")


def _title(text: str) -> None:
    click.echo(f"\n── {text}")


def _row(number: int, text: str) -> None:
    click.echo(f"\n{number}. {text}")


def _value(name: str, value: str) -> None:
    click.echo(f"   {name:<12} {value}")
