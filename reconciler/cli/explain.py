"""`explain`: why something is as it is, from the commit to the certificate, entry by entry."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from reconciler.cli.context import database, settings, verb
from reconciler.cli.output import output_option, print_document
from reconciler.cli.telling import commit_text, contract, entry_line
from reconciler.core.text import printable
from reconciler.store.history import explain_grant, explain_peer, explain_serial

if TYPE_CHECKING:
    from collections.abc import Iterator

READ = {
    "grant": explain_grant,
    "peer": explain_peer,
    "certificate": explain_serial,
    "serial": explain_serial,
}


@click.command()
@click.argument("kind", type=click.Choice(list(READ)))
@click.argument("it", metavar="NAME|FINGERPRINT|SERIAL")
@output_option
@verb
def command(kind: str, it: str, output: str) -> None:
    """Tell the whole story of a grant, a peer, or the grant of a certificate.

    From which commit it is, by whom and signed by whom, who was invited, what was issued, whether
    that holds now and if not why not, and every entry of the audit log about it.
    """
    with database(settings(), "explain") as opened, opened.transaction() as tx:
        found: list[dict[str, Any]] = contract(READ[kind](tx, it))
    if output != "table":
        print_document(found, output)
        return
    for each in found:
        for line in _peer(each) if kind == "peer" else _grant(each):
            click.echo(printable(line, 500))


def _common(each: dict[str, Any]) -> Iterator[str]:
    place = f"{each['sourcePath']}:{each['sourceLine']}" if each["sourcePath"] else "not in git"
    yield f"  declared at {place}, commit {commit_text(each)}"
    if (hold := each["hold"]) is not None:
        yield f"  held: {hold['kind']} by {hold['by']} at {hold['at']}: {hold['reason']}"
    if each["revokedAt"]:
        yield f"  revoked at {each['revokedAt']}: {each['revokedReason']}"


def _peer(each: dict[str, Any]) -> Iterator[str]:
    yield f"peer/{each['name']} {each['id']} ({each['direction']}) is {each['status']}"
    yield from _common(each)
    yield f"  grants: {', '.join(each['grants']) or '-'}"
    yield from _entries(each)


def _grant(each: dict[str, Any]) -> Iterator[str]:
    yield f"grant/{each['name']} {each['id']} is {each['status']}, until {each['expiresAt']}"
    yield f"  {each['peer']} on behalf of {each['subjectUserId']}"
    yield from _common(each)
    if each["plan"]:
        yield f"  applied by plan {each['plan']}"
    for token in each["tokens"]:
        yield (
            f"  invited by {token['createdBy']} at {token['createdAt']}:"
            f" token {token['publicId']} is {token['status']}"
        )
    for one in each["certificates"]:
        holds = "holds now" if one["holds"] else f"does not hold: {one['why']}"
        how = f"renews {one['renews']}" if one["renews"] else f"by token {one['token']}"
        yield f"  certificate {one['serial']} ({how}), {one['status']}: {holds}"
        if one["fingerprint"]:
            yield f"    {one['fingerprint']}, {one['notBefore']} to {one['notAfter']}"
        if one["revokedAt"]:
            yield f"    the CA was told at {one['revokedAt']}"
    yield from _entries(each)


def _entries(each: dict[str, Any]) -> Iterator[str]:
    yield "  entries of the audit log:"
    for entry in each["entries"]:
        yield f"    {entry_line(entry)}"
