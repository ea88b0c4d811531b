"""The rules of trust that hold, judged under the lock: whatever applies anything passes here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.core.model.times import rfc3339
from reconciler.core.trust.bypass import Applying, RulesInForce, refuse_bypass
from reconciler.core.trust.widening import refuse_unsigned_widenings
from reconciler.errors import EXIT_UNTRUSTED, Refused
from reconciler.store.apply.provenance import last_applied
from reconciler.store.db import as_json

if TYPE_CHECKING:
    from reconciler.core.plan.model import Plan
    from reconciler.core.trust.commits import Trusted
    from reconciler.store.apply.provenance import Provenance
    from reconciler.store.db import Tx


@dataclass(frozen=True, slots=True)
class TrustOptions:
    """What an apply is trusted by: the commits that were judged, if they were.

    `override` accepts what is not trusted, and `distrust` is what was accepted so when the source
    was read.
    """

    trusted: Trusted | None = None
    distrust: str = ""
    override: bool = False


def judge_trust(tx: Tx, plan: Plan | None, by: Provenance, options: TrustOptions) -> str:
    """Return why what is applied is not trusted, if that is overridden; else nothing.

    A command that changes rows without a plan has None.

    Raises:
        Refused: `trust_bypassed`, `commit_untrusted`.
    """
    if options.distrust:
        return options.distrust
    applied = last_applied(tx)
    held = None
    if applied.rules is not None:
        held = RulesInForce(applied.revision or "", applied.prefix)
    try:
        applying = Applying(by.managed, by.is_git, by.rules is not None, by.prefix)
        refuse_bypass(held, applying, options.trusted)
        if plan is not None:
            refuse_unsigned_widenings(plan, options.trusted)
    except Refused as error:
        if not options.override or error.exit_code != EXIT_UNTRUSTED:
            raise
        return error.message
    return ""


def record_trust(tx: Tx, by: Provenance, reason: str, *, trusted: bool) -> None:
    """Record why trust was overridden, if it was, for `status` and in the audit log.

    An override shows until the apply of a whole source is `trusted`.
    """
    if not reason and trusted:
        tx.run("UPDATE federation_applied SET overridden = NULL WHERE overridden IS NOT NULL")
    if not reason:
        return
    # late: a plan imports nothing that only an apply needs
    from reconciler.core.audit.events import TrustOverridden  # noqa: PLC0415 - as above
    from reconciler.store.audit import log as audit  # noqa: PLC0415 - as above

    overridden = {
        "by": by.actor,
        "at": rfc3339(tx.now()),
        "reason": reason,
        "source": by.source,
        "revision": by.revision,
    }
    tx.run(
        "UPDATE federation_applied SET overridden = CAST(:overridden AS jsonb)",
        overridden=as_json(overridden),
    )
    audit.append(tx, by.actor, [TrustOverridden(reason, by.as_json())])
