"""Send a test notice to a target, and print the answer.

A forge is sent the status of a commit, under a context of its own: of the commit that was applied
last, unless --commit names another one.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from reconciler.cli.shared.context import read_settings, read_transaction, verb
from reconciler.config.notify import read_targets
from reconciler.core.model.text import json_text, printable
from reconciler.core.notices.model import Item, Notice, NoticeEvent, NoticeState
from reconciler.core.spelling import nearest
from reconciler.errors import NeedsEdit, Refused
from reconciler.operations.notices import sender_of
from reconciler.store.apply.provenance import last_applied
from reconciler.store.locks import actor_of

if TYPE_CHECKING:
    from reconciler.config import Settings
    from reconciler.core.notices.target import Target


@click.command(help=__doc__)
@click.argument("name", metavar="TARGET")
@click.option("--commit", metavar="SHA", help="The commit whose status a forge is sent.")
@verb
def command(name: str, commit: str | None) -> None:
    settings = read_settings()
    target = _named(read_targets(settings), name)
    sha = _commit(settings, commit) if target.kind.is_forge else None
    shown = replace(target, context=f"{target.context}-test")
    answer = asyncio.run(sender_of(settings).send(shown, _document(sha)))
    if answer is None:
        raise Refused("target_refused", f"{name}: there is nothing to send", hint="name a --commit")
    if not answer.taken:
        hint = "compare with docs/notices.md, then run it again"
        raise Refused("target_refused", f"{name}: {answer}", hint=hint)
    click.echo(f"{name}: taken, {answer}")


def _named(targets: tuple[Target, ...], name: str) -> Target:
    for target in targets:
        if target.name == name:
            return target
    names = [target.name for target in targets]
    hint = f"did you mean {nearest(name, names)!r}?" if names else "see docs/notices.md"
    raise Refused("name_unknown", f"there is no target {printable(name)!r}", hint=hint)


def _commit(settings: Settings, given: str | None) -> str:
    if given is not None:
        if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", given):
            message = f"--commit: got {printable(given)!r}, expected a full hash"
            raise NeedsEdit("usage", message, hint="git rev-parse HEAD")
        return given
    with read_transaction(settings, "notify test") as tx:
        applied = last_applied(tx).source_revision
    if applied is None:
        message = "nothing was applied from a commit yet, so there is none to show a status of"
        raise Refused("state_conflict", message, hint='name one: --commit "$(git rev-parse HEAD)"')
    return applied


def _document(commit: str | None) -> str:
    item = Item("gateway", "this is a test of notices; nothing has happened")
    notice = Notice(
        NoticeEvent.TEST,
        NoticeState.ONCE,
        "A test of notices",
        0,
        (item,),
        1,
        commit={"id": commit, "author": None, "subject": None} if commit is not None else None,
    )
    document = notice.document(str(uuid.uuid4()), datetime.now(UTC), actor_of("user"))
    return json_text(document)
