"""Commits, judged by their signatures and by the rules as they were applied last.

    (1) every commit since the applied one has a good signature of an allowed signer
    (2) each path that it changes itself may be changed by that signer: every rule that matches
        names it; a manifest that no rule matches is nobody's
    (3) a change of the rules has the quorum that the rules ask for, as they were applied last

What a commit widens is judged when it takes effect (`widening.py`). Another person signs a commit
off by a signed commit of their own, which may be empty, with a trailer `Signs-off: <full hash>`.
Rules hold from the apply after the one that brings them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from reconciler.core.model.commits import Relation
from reconciler.core.model.spec import is_declaring
from reconciler.core.trust.refusal import (
    Untrusted,
    nobodys,
    not_theirs,
    refusal,
    too_few,
    unsigned,
)
from reconciler.core.trust.rules import RULES_FILE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from reconciler.core.model.commits import ReadCommit
    from reconciler.core.trust.claims import Claim, Step
    from reconciler.core.trust.rules import Rules


@dataclass(frozen=True, slots=True)
class Trusted:
    """Commits that are trusted, by the `rules` applied last; `prefix` is the source's path.

    `relation` is how they follow the applied commit; `trace` finds the commits of the repository,
    however old, in which a claim came to be.
    """

    commits: tuple[ReadCommit, ...]
    rules: Rules | None
    prefix: str = ""
    relation: Relation = Relation.FORWARD
    trace: Callable[[Claim], tuple[Step, ...]] = field(default=lambda _: (), compare=False)


def judge_commits(commits: tuple[ReadCommit, ...], rules: Rules | None, prefix: str) -> None:
    """Raise unless each of the commits is trusted.

    Raises:
        Refused: `commit_untrusted`, naming hash, author and reason.
    """
    verdicts = (distrust(commit, commits, rules, prefix) for commit in commits)
    untrusted = [verdict for verdict in verdicts if verdict is not None]
    if untrusted:
        raise refusal(untrusted)


def distrust(
    commit: ReadCommit, commits: Iterable[ReadCommit], rules: Rules | None, prefix: str
) -> Untrusted | None:
    """Return why a commit is not trusted; None where it is."""
    if commit.signer is None:  # (1)
        return unsigned(commit)
    if rules is None:
        return None
    if RULES_FILE in commit.paths and (verdict := _rules_change(commit, commits, rules)):  # (3)
        return verdict
    for path in commit.paths:  # (2)
        of_path = rules.of(path)
        if not of_path and is_declaring(path, prefix):
            return nobodys(commit, path, rules)
        for rule in of_path:
            if commit.signer not in rule.signers:
                return not_theirs(commit, path, rule.signers)
    return None


def _rules_change(
    commit: ReadCommit, commits: Iterable[ReadCommit], rules: Rules
) -> Untrusted | None:
    if commit.signer not in rules.change_signers:
        return not_theirs(commit, RULES_FILE, rules.change_signers)
    quorum = signers_of(commit, commits) & rules.change_signers
    if len(quorum) >= rules.change_quorum:
        return None
    verdict = too_few(
        commit, f"it changes {RULES_FILE}", quorum, rules.change_signers, rules.change_quorum
    )
    return Untrusted(commit, f"{verdict.reason} that the rules ask for", verdict.remedy)


def signers_of(commit: ReadCommit, commits: Iterable[ReadCommit]) -> frozenset[str]:
    """Return who has signed a commit, and who has signed it off."""
    others = (each.signer for each in commits if commit.commit.id in each.signs_off)
    return frozenset(signer for signer in (commit.signer, *others) if signer is not None)
