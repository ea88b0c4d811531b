"""Explain the state of a grant, a peer or a certificate.

KIND is grant, peer, certificate or serial; `grant/x` is the same as `grant x`. A certificate is
named by its serial or its SHA-256 fingerprint, as openssl prints them or in another usual form, and
needs no KIND before it; `serial:2800` is decimal.

Shows the commit with its author and signer, who was invited, what was issued, whether that is valid
now and if not why, and every record of the audit log about it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import click
from click.shell_completion import CompletionItem

from reconciler.cli.history.records import as_json, commit_text, record_line
from reconciler.cli.shared.context import read_settings, read_transaction, verb
from reconciler.cli.shared.names import completing
from reconciler.cli.shared.output import output_option, print_document
from reconciler.core.issuance.serials import parse_certificate
from reconciler.core.model.spec import Direction, Kind
from reconciler.core.model.text import printable
from reconciler.core.spelling import nearest
from reconciler.store.audit.archives import newest_archive
from reconciler.store.audit.queries import BEGINNINGS, explain_grant, explain_peer, explain_serial

if TYPE_CHECKING:
    from collections.abc import Iterator

READ = {
    "grant": explain_grant,
    "peer": explain_peer,
    "certificate": explain_serial,
    "serial": explain_serial,
}
_SPELLING: Final = re.compile(r"[0-9]|serial\W|sha")  # of a serial or a fingerprint, be it wrong


class _SubjectType(click.ParamType["str"]):
    name = "kind"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Complete the kind, then the name; a certificate has none."""
        words = ctx.params.get("words") or ()
        if not words:
            return [CompletionItem(kind) for kind in READ if kind.startswith(incomplete)]
        kinds = {kind.lower(): kind for kind in Kind}
        return completing(kinds[words[0]])(ctx, param, incomplete) if words[0] in kinds else []


@click.command(help=__doc__)
@click.argument(
    "words", nargs=-1, required=True, type=_SubjectType(), metavar="KIND NAME|FINGERPRINT|SERIAL"
)
@output_option
@verb
def command(words: tuple[str, ...], output: str) -> None:
    kind, it = _subject(words)
    with read_transaction(read_settings(), "explain") as tx:
        stories: list[dict[str, Any]] = as_json(READ[kind](tx, it))
        archive = newest_archive(tx)
    for each in stories:
        begun = any(record["kind"].endswith(BEGINNINGS) for record in each["entries"])
        if archive is not None and not begun:
            subject = f"{'peer' if 'direction' in each else 'grant'}/{each['name']}"
            command = f"audit list --archive FILE... --subject {subject}"
            click.echo(archive.note(command), err=True)
    if output != "table":
        print_document(stories, output)
        return
    for each in stories:
        for line in _peer(each) if "direction" in each else _grant(each):
            click.echo(printable(line, 500))


def _subject(words: tuple[str, ...]) -> tuple[str, str]:
    """Return the kind, and the name or the certificate's serial or fingerprint in our form."""
    kind, slash, rest = words[0].partition("/")
    kind, it = kind.lower(), " ".join([*([rest] if slash else []), *words[1:]])
    if kind not in READ:
        try:
            return "certificate", parse_certificate(" ".join(words))  # it needs no kind
        except ValueError as error:
            if _SPELLING.match(kind):
                raise click.UsageError(str(error), click.get_current_context()) from None
        suggestion = (
            f" (did you mean {close!r}?)" if (close := nearest(kind, READ, cutoff=0.6)) else ""
        )
        raise click.UsageError(
            f"got {printable(kind)!r}, expected one of {', '.join(READ)}{suggestion}",
            click.get_current_context(),
        )
    if not it.strip():
        raise click.UsageError(f"the name of the {kind} is missing", click.get_current_context())
    if READ[kind] is not explain_serial:
        return kind, it
    try:
        return kind, parse_certificate(it)
    except ValueError as error:
        raise click.UsageError(str(error), click.get_current_context()) from None


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
    if each["direction"] == Direction.INBOUND:
        yield f"  grants: {', '.join(each['grants']) or '-'}"
    if (grant := each["grant"]) is not None:
        yield f"  under its grant {grant['name']}, on behalf of {grant['subjectUserId']}"
    if (withdrawn := each["withdrawn"]) is not None:
        yield f"  {withdrawn['what']} over there, learned at {withdrawn['learnedAt']}"
    if (one := each["certificate"]) is not None:
        yield f"  certificate {one['serial']}: {_validity(one)}"
        yield f"    {one['fingerprint']}, {one['notBefore']} to {one['notAfter']}"
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
        how = f"renews {one['renews']}" if one["renews"] else f"by token {one['token']}"
        yield f"  certificate {one['serial']} ({how}), {one['status']}: {_validity(one)}"
        if one["fingerprint"]:
            yield f"    {one['fingerprint']}, {one['notBefore']} to {one['notAfter']}"
        if one["revokedAt"]:
            yield f"    revoked at the CA at {one['revokedAt']}"
    yield from _entries(each)


def _validity(certificate: dict[str, Any]) -> str:
    return "valid now" if certificate["holds"] else f"invalid: {certificate['why']}"


def _entries(each: dict[str, Any]) -> Iterator[str]:
    yield "  records of the audit log:"
    for record in each["entries"]:
        yield f"    {record_line(record)}"
