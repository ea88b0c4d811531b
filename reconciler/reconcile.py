"""The reconciler: git is the truth, and this is how the rows become what it says.

    reading  = read(source)                     trusted, no rewind; every problem, or none
    observed = observe(tx)                      one statement, so one snapshot, with its `now`
    plan     = plan(desired, observed)          pure, sorted, deterministic
    verdict  = judge(plan, limits)              refuses with numbers and the way out
    apply    under the lock: plan again, compare the digest, one transaction

What a person reads and what is applied is the same value; nothing between them is decided twice.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconciler.core.issuance.tokens import DEFAULT_TOKEN_LIFE
from reconciler.core.model.commits import refuse_rewind
from reconciler.core.plan.guard import GuardOptions, Verdict, judge, refuse_if_guarded
from reconciler.core.plan.model import Action
from reconciler.core.plan.selection import Selection, narrowed_plan
from reconciler.errors import Refused
from reconciler.gc_pause import uncollected
from reconciler.manifest.cache import ManifestCache
from reconciler.source.read import read_source
from reconciler.store.apply.observe import NOTHING, observe
from reconciler.store.apply.provenance import (
    Applied,
    Provenance,
    last_applied,
    record_applied,
    record_commit,
)
from reconciler.store.apply.trust import TrustOptions, judge_trust, record_trust
from reconciler.store.locks import DEFAULT_WAIT
from reconciler.store.rollback_journal import folders_of, locked_with_files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import timedelta

    from reconciler.core.model.commits import Commit
    from reconciler.core.model.spec import Desired
    from reconciler.core.plan.model import Plan
    from reconciler.core.setting_values import SignatureSetting, SourceSetting
    from reconciler.core.source import Source
    from reconciler.store.db import Database, Tx
    from reconciler.store.file_change import FileChange
    from reconciler.store.issuance.tokens import Minted

EVERYTHING: Final = Selection()


@dataclass(frozen=True, slots=True)
class Reading:
    """A source as it was read: what it declares, where from, and after which apply, if asked.

    `trust` has the commits that were judged. `folders` has the folder that was read, and nothing
    for a repository.
    """

    desired: Desired
    by: Provenance
    generation: int | None
    trust: TrustOptions = field(default_factory=TrustOptions)
    folders: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanResult:
    """A plan and what the guard says of it; `minted` are the tokens of an apply, by grant.

    `overridden` says why an apply was not trusted, if that was overridden.
    """

    plan: Plan
    verdict: Verdict
    minted: tuple[tuple[str, Minted], ...] = ()
    overridden: str = ""


@dataclass(frozen=True, slots=True)
class TokenMinting:
    """How tokens are minted with an apply: under this pepper, for so long."""

    pepper: bytes = field(repr=False)
    life: timedelta = DEFAULT_TOKEN_LIFE


@dataclass(frozen=True, slots=True)
class ApplyOptions:
    """How an apply may go.

    `expect` is the digest that a person approved; `generation` is that of the reading, which a
    newer apply makes stale; `selection` restricts the apply to some objects; `minting` mints a
    token for each grant that is created or replaced; `heeds_pause` is for loops; `trust` is what
    it is trusted by; `folders` are where files change together with the rows, for `operation`.
    """

    limits: GuardOptions = field(default_factory=GuardOptions)
    expect: str | None = None
    generation: int | None = None
    wait: timedelta = DEFAULT_WAIT
    selection: Selection = field(default_factory=Selection)
    minting: TokenMinting | None = None
    heeds_pause: bool = False
    trust: TrustOptions = field(default_factory=TrustOptions)
    folders: tuple[Path, ...] = ()
    operation: str = ""


@uncollected()
def read(
    setting: SourceSetting,
    actor: str,
    applied: Applied | None = None,
    *,
    signatures: SignatureSetting | None = None,
    allow_rewind: bool = False,
    override_trust: bool = False,
    verify: bool = False,
    see: Callable[[Commit], None] | None = None,
) -> Reading:
    """Return what a source declares, if it may be applied after what was `applied` last.

    (1) read the files that are not as they were, or all of them to `verify`, and how their commit,
    which `see` gets, follows that one; (2) refuse a rewind; (3) judge the commits since then, where
    `signatures` says whose count, unless that is overridden; (4) parse what is not known.

    Raises:
        InvalidManifests: with every problem.
        NeedsEdit: `source_unreadable`. Retry: `source_unavailable`.
        Refused: `rewind`, `commit_untrusted`.
    """
    before = applied.revision if applied is not None else None
    cache = ManifestCache(Path(setting.cache) if setting.cache and not verify else None)
    source = read_source(setting, before, signatures, cache.index)  # (1)
    history = source.history
    if see is not None and source.commit is not None and not source.dirty:
        see(source.commit)
    if history is not None and not allow_rewind:
        refuse_rewind(history, source.commit)  # (2)
    trust = TrustOptions(override=override_trust)
    if signatures is not None:
        trust = _judge_commits(source, applied, trust)  # (3)
    if history is not None and history.rules is not None:
        from reconciler.manifest.trust import parse_rules

        parse_rules(history.rules)  # what would hold from the next apply on
    desired = replace(cache.load(source), verifies=verify)  # (4)
    by = Provenance(actor, source.label, source.commit, source.dirty)
    if history is not None:
        by = replace(by, is_git=True, rules=history.rules, prefix=history.prefix)
    generation = applied.generation if applied is not None else None
    return Reading(desired, by, generation, trust, folders_of(setting))


def _judge_commits(source: Source, applied: Applied | None, trust: TrustOptions) -> TrustOptions:
    """Return what a source is trusted by; raise `Refused`, unless that is overridden."""
    if source.history is None:
        return trust
    from reconciler.manifest.trust import judge_history

    rules, since = (applied.rules, applied.rules_since) if applied else (None, None)
    try:
        trusted = judge_history(source.history, source.lineage, rules, since)
    except Refused as error:
        if not trust.override:
            raise
        return replace(trust, distrust=error.message)
    return replace(trust, trusted=trusted)


@uncollected()
def plan(
    tx: Tx, desired: Desired, limits: GuardOptions, selection: Selection = EVERYTHING
) -> PlanResult:
    """Return what an apply would do now, and whether it may."""
    observed = observe(tx, desired if selection.whole else NOTHING)
    narrowed = narrowed_plan(desired, observed, selection)
    return PlanResult(narrowed, judge(narrowed, limits))


def apply(
    database: Database, desired: Desired, by: Provenance, options: ApplyOptions
) -> PlanResult:
    """Make the rows what `desired` declares; return what was done. Raises as `applying`."""
    with applying(database, desired, by, options) as (done, _):
        return done


@contextmanager
def applying(
    database: Database, desired: Desired, by: Provenance, options: ApplyOptions
) -> Iterator[tuple[PlanResult, list[FileChange]]]:
    """Make the rows what `desired` declares; give what was done, before it is committed.

    The block may add files, which are written if the rows are committed; what it raises undoes all.

    (1) move what has expired, so that its name is free: true whatever follows, so on its own;
    (2) take the lock, in the transaction that does all of the rest, and move what has expired
        while it was waited for;
    (3) plan again: what was approved may have been overtaken;
    (4) let the guard judge, and the rules of trust what is widened;
    (5) change the rows, revocations first, append the audit records last, and record the run;
    (6) record what was applied.

    Raises:
        Retry: `lock_held`.
        Refused: `plan_stale`: the plan is not the one that was approved, or the source was read
            before the newest apply; `reconciler_paused`; `commit_untrusted`; or the guard's.
    """
    # late, as below: a plan imports nothing that only an apply needs
    from reconciler.store.apply.execute import carry_out
    from reconciler.store.ending import expire_due
    from reconciler.store.loop_status import refuse_if_paused

    expire(database, by.actor)  # (1)
    folders, operation = options.folders, options.operation
    with locked_with_files(database, options.wait, folders, operation) as (tx, files):  # (2)
        if options.heeds_pause:
            refuse_if_paused(tx)
        expired = expire_due(tx)
        result = plan(tx, desired, options.limits, options.selection)  # (3)
        refuse_stale(tx, result, options)
        refuse_if_guarded(result.verdict)  # (4)
        overridden = judge_trust(tx, result.plan, by, options.trust)
        record_commit(tx, by)
        recovers = _is_whole(tx, by, options) and not options.heeds_pause  # a loop's pass does
        carry_out(tx, result.plan, by, expired, recovers=recovers)  # (5)
        _record(tx, result, by, options, overridden)  # (6)
        minted = _mint_tokens(tx, result.plan, by, options)
        yield replace(result, minted=minted, overridden=overridden), files


def expire(database: Database, actor: str) -> None:
    """Move the grants whose end has passed, by the database's clock, with what hangs on them."""
    from reconciler.store.audit import log as audit
    from reconciler.store.ending import expire_due

    with database.transaction() as tx:
        audit.append(tx, actor, expire_due(tx))


def refuse_stale(tx: Tx, result: PlanResult, options: ApplyOptions) -> None:
    """Raise `Refused` (`plan_stale`) for a plan that is not the one that was approved."""
    overtaken = options.expect is not None and result.plan.digest != options.expect
    if overtaken or (not result.plan.empty and _is_older(tx, options)):
        raise Refused(
            "plan_stale",
            "the rows or the manifests have changed since the plan was made"
            if overtaken
            else "another apply came after the source was read",
            hint="nothing was changed; review a new plan",
        )


def _is_older(tx: Tx, options: ApplyOptions) -> bool:
    """Tell whether an apply came after the source was read."""
    read_after = options.generation
    return read_after is not None and last_applied(tx).generation != read_after


def _is_whole(tx: Tx, by: Provenance, options: ApplyOptions) -> bool:
    """Tell whether an apply is of a whole source, read after the newest apply."""
    return by.managed and options.selection.whole and not _is_older(tx, options)


def _record(
    tx: Tx, result: PlanResult, by: Provenance, options: ApplyOptions, overridden: str
) -> None:
    """Record a whole source as what was applied last, and what it was trusted by."""
    whole = _is_whole(tx, by, options)
    if whole:
        record_applied(tx, by, changed=not result.plan.empty)
    record_trust(tx, by, overridden, trusted=whole and options.trust.trusted is not None)


def _mint_tokens(
    tx: Tx, made: Plan, by: Provenance, options: ApplyOptions
) -> tuple[tuple[str, Minted], ...]:
    """Mint the requested tokens in the transaction of their grants."""
    minting = options.minting
    if minting is None:
        return ()
    from reconciler.store.issuance.tokens import mint
    from reconciler.store.views.grants import live_grant_id

    names = [change.name for change in made.grant_changes(Action.CREATE, Action.REPLACE)]
    return tuple(
        (name, mint(tx, live_grant_id(tx, name), minting.pepper, minting.life, by.actor))
        for name in names
    )
