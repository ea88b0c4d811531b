"""What was applied last, from which commit, and by whom: what a source is read against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.store.db import as_json, new_id

if TYPE_CHECKING:
    from datetime import datetime

    from reconciler.core.model.commits import Commit
    from reconciler.core.plan.model import Plan
    from reconciler.store.db import Tx


@dataclass(frozen=True, slots=True)
class Provenance:
    """Who applies, and from what: `managed` is whether the rows become managed by git.

    Of a reading of git, `rules` is the text of its rules of trust, by which the next commits are
    judged, and `prefix` the folder within the repository, with a `/`.
    """

    actor: str
    source: str
    commit: Commit | None = None
    dirty: bool = False
    managed: bool = True
    is_git: bool = False
    rules: str | None = None
    prefix: str = ""

    @property
    def revision(self) -> str | None:
        """The hash of the commit that is applied."""
        return self.commit.id if self.commit is not None else None

    def as_json(self) -> dict[str, object]:
        """Return the form that records of the audit log have."""
        commit = self.commit.as_json() if self.commit is not None else None
        return {"source": self.source, "commit": commit, "dirty": self.dirty}


@dataclass(frozen=True, slots=True)
class Applied:
    """The last apply of a whole source: `generation` 0 and the rest None where there was none.

    `revision`, `prefix` and `rules` are of the last reading of git, which alone moves them.
    `rules_since` is the commit with which rules began to hold, `source_revision` that of the last
    source, whatever it was.
    """

    generation: int
    at: datetime | None
    actor: str | None
    source: str | None
    revision: str | None
    dirty: bool
    rules: str | None
    prefix: str | None
    rules_since: str | None
    source_revision: str | None

    def has(self, by: Provenance) -> bool:
        """Tell whether this is what another apply of the same source would record.

        What a restore has brought back counts as never applied.
        """
        if self.at is None:
            return False
        if by.is_git and (self.revision, self.prefix, self.rules) != (
            by.revision,
            by.prefix,
            by.rules,
        ):
            return False
        return self.source_revision == by.revision


def last_applied(tx: Tx) -> Applied:
    """Return what was applied last."""
    row = tx.one(
        "SELECT generation, at, actor, source, revision, dirty, rules, prefix, rules_since,"
        " source_revision FROM federation_applied"
    )
    return Applied(**row)


def forget_readings(tx: Tx) -> None:
    """Make what was read of a source until now older than an apply: it changes nothing more."""
    tx.run("UPDATE federation_applied SET generation = generation + 1")


def record_commit(tx: Tx, provenance: Provenance) -> None:
    """Keep the commit that rows and runs refer to."""
    if provenance.commit is None:
        return
    tx.run(
        "INSERT INTO federation_commits AS c (id, author, subject, authored_at, signer)"
        " VALUES (:id, :author, :subject, :at, :signer) ON CONFLICT (id) DO UPDATE"
        " SET signer = excluded.signer WHERE c.signer IS NULL AND excluded.signer IS NOT NULL",
        id=provenance.commit.id,
        author=provenance.commit.author,
        subject=provenance.commit.subject,
        at=provenance.commit.at,
        signer=provenance.commit.signer,
    )


def record_applied(tx: Tx, provenance: Provenance, *, changed: bool) -> None:
    """Record that a whole source was applied, if that `changed` a row or is not recorded yet.

    Only a reading of git moves what the next commits are judged by.
    """
    if not changed and last_applied(tx).has(provenance):
        return
    tx.run(
        "UPDATE federation_applied SET generation = generation + 1, at = clock_timestamp(),"
        " actor = :actor, source = :source, dirty = :dirty, source_revision = :revision",
        actor=provenance.actor,
        source=provenance.source,
        dirty=provenance.dirty,
        revision=provenance.revision,
    )
    if provenance.is_git:
        tx.run(
            "UPDATE federation_applied SET revision = :revision, prefix = :prefix, rules = :rules,"
            " rules_since = CASE WHEN CAST(:rules AS text) IS NOT NULL"
            " THEN coalesce(rules_since, :revision) END",
            revision=provenance.revision,
            prefix=provenance.prefix,
            rules=provenance.rules,
        )


def record_run(tx: Tx, plan: Plan, provenance: Provenance, records: range) -> None:
    """Record an apply that changed something; `records` of the audit log tell each change."""
    tx.run(
        "INSERT INTO federation_reconcile_runs (id, actor, source, revision, dirty, digest,"
        " summary)"
        " VALUES (:id, :actor, :source, :revision, :dirty, :digest, CAST(:summary AS jsonb))",
        id=new_id(tx.now()),
        actor=provenance.actor,
        source=provenance.source,
        revision=provenance.revision,
        dirty=provenance.dirty,
        digest=plan.digest,
        summary=as_json(
            plan.summary.as_json() | {"records": {"first": records.start, "last": records.stop - 1}}
        ),
    )
