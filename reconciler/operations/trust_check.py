"""`trust check`: a range of commits, judged as an apply would judge them, without a database."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from uuid import UUID

from reconciler.core.model.ids import GrantId, PeerId
from reconciler.core.model.observed import Observed, ObservedGrant, ObservedPeer
from reconciler.core.model.states import GrantStatus, PeerStatus
from reconciler.core.plan.plan import plan
from reconciler.core.trust.commits import distrust, signers_of
from reconciler.core.trust.widening import claims, distrust_step
from reconciler.manifest.load import load
from reconciler.manifest.trust import declarations, parse_rules
from reconciler.source.git.range import resolve_range
from reconciler.source.read import read_source

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.core.model.commits import ReadCommit
    from reconciler.core.model.spec import Desired
    from reconciler.core.setting_values import SignatureSetting, SourceSetting
    from reconciler.core.trust.refusal import Untrusted

_NO_ID = UUID(int=0)


@dataclass(frozen=True, slots=True)
class CommitCheck:
    """A commit of a range, who signed it or signed it off, and why that does not suffice."""

    commit: ReadCommit
    signers: frozenset[str]
    faults: tuple[Untrusted, ...]

    def as_json(self) -> dict[str, Any]:
        """Return the document."""
        commit, signer = self.commit.commit, self.commit.signer
        return {
            "id": commit.id,
            "author": commit.author,
            "subject": commit.subject,
            "signer": signer,
            "signedOffBy": sorted(self.signers - {signer}),
            "signsOff": list(self.commit.signs_off),
            "paths": [each.encode("utf-8", "replace").decode() for each in self.commit.paths],
            "trusted": not self.faults,
            "faults": [{"reason": each.reason, "remedy": each.remedy} for each in self.faults],
        }


def check_range(
    setting: SourceSetting, text: str, signatures: SignatureSetting, now: datetime
) -> tuple[CommitCheck, ...]:
    """Return the commits of a range, oldest first, judged by the rules that its base has.

    (1) the signature of each, and whether the signer may change its paths; (2) what the tip
    declares and the base does not: each commit that widens it.

    Raises:
        InvalidManifests: of the tip, or of where the range begins.
        NeedsEdit: `usage`, `source_unreadable`, `config_invalid`. Retry: `source_unavailable`.
    """
    commits = resolve_range(setting, text)
    if commits.fork == commits.tip:
        return ()
    at_base = read_source(replace(setting, ref=commits.base)).history
    before = load(read_source(replace(setting, ref=commits.fork)))
    source = read_source(replace(setting, ref=commits.tip), commits.base, signatures)
    history, lineage = source.history, source.lineage
    assert at_base is not None
    assert history is not None
    assert lineage is not None
    rules = parse_rules(at_base.rules) if at_base.rules is not None else None
    if history.rules is not None:
        parse_rules(history.rules)
    faults: dict[str, list[Untrusted]] = {}
    for commit in history.commits:  # (1)
        if verdict := distrust(commit, history.commits, rules, history.prefix):
            faults.setdefault(commit.commit.id, []).append(verdict)
    changes = plan(load(source), _as_rows(before, now))
    for claim in claims(changes, rules, history.prefix) if rules is not None else ():  # (2)
        for step in lineage.trace(claim, commits.base, declarations):
            faults.setdefault(step.commit.commit.id, []).extend(distrust_step(claim, step))
    return tuple(
        CommitCheck(
            each,
            signers_of(each, history.commits),
            tuple(dict.fromkeys(faults.get(each.commit.id, ()))),
        )
        for each in history.commits
    )


def _as_rows(declared: Desired, now: datetime) -> Observed:
    """Return the rows of a gateway that has applied what was declared."""
    return Observed(
        now,
        tuple(
            ObservedPeer(
                id=PeerId(_NO_ID),
                name=each.name,
                spec=each.spec,
                digest=each.digest,
                status=PeerStatus.ACTIVE,
                managed=True,
                place=each.place,
            )
            for each in declared.peers
        ),
        tuple(
            ObservedGrant(
                id=GrantId(_NO_ID),
                name=each.name,
                peer_id=PeerId(_NO_ID),
                spec=each.spec,
                digest=each.digest,
                status=GrantStatus.ACTIVE,
                managed=True,
                place=each.place,
            )
            for each in declared.grants
            if each.spec.expires_at > now
        ),
    )
