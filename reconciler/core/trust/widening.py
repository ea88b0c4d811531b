"""What takes effect with a plan and grants more: the signatures that it needs, whoever brought it.

A grant that is widened, and a manifest that leaves a rule's paths, are claims. The commits in which
a claim came to be, from what the row holds on, are its steps, however long ago they were made: a
hold, a passed end or a plan of some objects only may have kept them from taking effect. Each step
needs the quorum of every rule of the path that it left and of the one that it made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from reconciler.core.model.spec import Kind, kind_of
from reconciler.core.model.text import printable
from reconciler.core.plan.guard import widens
from reconciler.core.plan.model import Action
from reconciler.core.trust.claims import Claim, State
from reconciler.core.trust.refusal import Untrusted, nobodys, refusal, too_few

if TYPE_CHECKING:
    from collections.abc import Iterator

    from reconciler.core.model.observed import ObservedGrant, ObservedPeer
    from reconciler.core.model.spec import AnyDeclared
    from reconciler.core.plan.model import Bookkeeping, Plan
    from reconciler.core.trust.claims import Step
    from reconciler.core.trust.commits import Trusted
    from reconciler.core.trust.rules import Rules


def refuse_unsigned_widenings(plan: Plan, trusted: Trusted | None) -> None:
    """Raise where what takes effect with a plan is not signed off as the rules ask.

    Raises:
        Refused: `commit_untrusted`.
    """
    if trusted is None or trusted.rules is None:
        return
    untrusted = [
        verdict
        for claim in claims(plan, trusted.rules, trusted.prefix)
        for step in trusted.trace(claim)
        for verdict in distrust_step(claim, step)
    ]
    if untrusted:
        raise refusal(untrusted)


def claims(plan: Plan, rules: Rules, prefix: str) -> Iterator[Claim]:
    """Return what a plan widens, and the manifests that leave a rule's paths."""
    for change in plan.changes:
        if change.declared is not None:
            row = change.row if change.action is not Action.CREATE else None
            claim = _claim(change.kind, change.declared, row, rules, prefix)
            if widens(change) or _moves(claim):
                yield claim
    books: list[Bookkeeping[Any, Any]] = [*plan.adopted_peers, *plan.adopted_grants]
    for book in books:
        claim = _claim(kind_of(book.declared.spec), book.declared, book.row, rules, prefix)
        if _moves(claim):
            yield claim


def distrust_step(claim: Claim, step: Step) -> Iterator[Untrusted]:
    """Yield why a step is not trusted."""
    own = claim.rules.of(claim.declared.path)
    if not own:
        yield nobodys(step.commit, claim.declared.path, claim.rules)
        return
    rules = dict.fromkeys(own, claim.declared.path)
    for path in sorted(step.paths | {claim.held.path if claim.held else claim.declared.path}):
        rules |= dict.fromkeys(claim.rules.of(path), path)
    for rule, path in sorted(rules.items(), key=lambda each: (each[1], each[0].paths)):
        signed = step.signers & rule.signers
        if len(signed) < rule.widening:
            verb = "moves" if claim.kind is Kind.PEER else "widens"
            what = f"it {verb} {claim.kind.subject(claim.name)}"
            verdict = too_few(step.commit, what, signed, rule.signers, rule.widening)
            reason = f"{verdict.reason} that {printable(path, 200)} asks for"
            yield Untrusted(step.commit, reason, verdict.remedy)


def _claim(
    kind: Kind,
    declared: AnyDeclared,
    row: ObservedPeer | ObservedGrant | None,
    rules: Rules,
    prefix: str,
) -> Claim:
    path = f"{prefix}{declared.place.path}"
    held = None
    if row is not None:
        held = State(f"{prefix}{row.place.path}" if row.place is not None else path, row.spec)
    digest = row.digest if row is not None else ""
    return Claim(kind, declared.name, State(path, declared.spec), held, digest, rules)


def _moves(claim: Claim) -> bool:
    return claim.held is not None and claim.leaves(claim.held.path, claim.declared.path)
