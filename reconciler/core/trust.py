"""Who may change what: commits, judged by their signatures and by the rules in the repository.

    (1) every commit since the applied one has a good signature of an allowed signer
    (2) each path that it changes itself may be changed by that signer: every rule that matches
        names it; where none matches, any allowed signer may
    (3) a change of the rules has the quorum that the rules ask for, as they were applied last
    (4) a commit that widens a grant is signed off by as many signers as the rules of its path ask

Another person signs a commit off by a signed commit of their own, which may be empty, with a
trailer `Signs-off: <full hash>`. Rules hold from the apply after the one that brings them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reconciler.core.model.text import printable
from reconciler.core.plan.guard import widens
from reconciler.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from reconciler.core.model.commits import ReadCommit
    from reconciler.core.plan.model import AnyChange, Plan

RULES_FILE: Final = ".mosaic-trust.yaml"  # at the root of the repository
MAX_LISTED: Final = 5  # untrusted commits that an error names


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may change the paths that match, and how many must have signed off a widening there."""

    paths: tuple[str, ...]
    signers: frozenset[str]
    widening: int = 1

    def matches(self, path: str) -> bool:
        """Tell whether a path of the repository is one of the rule's."""
        return any(_pattern(each).fullmatch(path) for each in self.paths)


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of a repository, and who may change them: so many of these."""

    rules: tuple[Rule, ...]
    change_signers: frozenset[str]
    change_quorum: int = 1


@dataclass(frozen=True, slots=True)
class Trusted:
    """Commits that are trusted, by the rules applied last; `prefix` is the source's path."""

    commits: tuple[ReadCommit, ...]
    rules: Rules | None
    prefix: str = ""


@dataclass(frozen=True, slots=True)
class _Untrusted:
    commit: ReadCommit
    reason: str
    remedy: str


def judge_commits(commits: tuple[ReadCommit, ...], rules: Rules | None, prefix: str) -> Trusted:
    """Return the commits as trusted ones, once each of them is.

    Raises:
        Refused: `commit_untrusted`, naming hash, author and reason.
    """
    verdicts = (_distrust(commit, commits, rules) for commit in commits)
    untrusted = [verdict for verdict in verdicts if verdict is not None]
    if untrusted:
        raise _refusal(untrusted)
    return Trusted(commits, rules, prefix)


def refuse_unsigned_widenings(plan: Plan, trusted: Trusted | None) -> None:
    """Raise where a change that widens is not signed off as the rules of its path ask (4).

    A widening whose manifest no commit since the applied one changed was judged when it came: what
    is left of it is to be done.

    Raises:
        Refused: `commit_untrusted`.
    """
    if trusted is None or trusted.rules is None:
        return
    untrusted = [
        commit
        for change in plan.changes
        if widens(change)
        for commit in _unsigned(change, trusted, trusted.rules)
    ]
    if untrusted:
        raise _refusal(untrusted)


def _distrust(
    commit: ReadCommit, commits: tuple[ReadCommit, ...], rules: Rules | None
) -> _Untrusted | None:
    """Return why a commit is not trusted; None where it is."""
    if commit.signer is None:  # (1)
        signing = f"git rebase --exec 'git commit --amend --no-edit -S' {commit.commit.id[:12]}~1"
        remedy = f"an allowed signer has to sign the commit itself: {signing}"
        return _Untrusted(commit, commit.signature, remedy)
    for path in commit.paths if rules is not None else ():
        assert rules is not None
        if path == RULES_FILE:  # (3)
            quorum = _signers(commit, commits) & rules.change_signers
            if commit.signer not in rules.change_signers:
                reason = f"{commit.signer} may not change {RULES_FILE}"
                return _Untrusted(commit, reason, _by_others(rules.change_signers))
            if len(quorum) < rules.change_quorum:
                reason = (
                    f"it changes {RULES_FILE}, signed off by {_listed(quorum)}: "
                    f"{len(quorum)} of the {rules.change_quorum} that the rules ask for"
                )
                remedy = _sign_off(commit, rules.change_signers - quorum)
                return _Untrusted(commit, reason, remedy)
        for rule in rules.rules:  # (2)
            if rule.matches(path) and commit.signer not in rule.signers:
                reason = f"{commit.signer} may not change {printable(path, 200)}"
                return _Untrusted(commit, reason, _by_others(rule.signers))
    return None


def _by_others(signers: frozenset[str]) -> str:
    return f"have the same change committed and signed by one who may: {_listed(signers)}"


def _sign_off(commit: ReadCommit, signers: frozenset[str]) -> str:
    if not signers:
        return "the rules ask for more signers than they name: have the rules changed first"
    return (
        f"have it signed off by {_listed(signers)}, in a signed commit with the trailer"
        f" Signs-off: {commit.commit.id}"
    )


def _unsigned(change: AnyChange, trusted: Trusted, rules: Rules) -> Iterator[_Untrusted]:
    if change.place is None:
        return
    path = f"{trusted.prefix}{change.place.path}"
    for rule in rules.rules:
        if not rule.matches(path):
            continue
        for commit in (each for each in trusted.commits if path in each.paths):
            signed = _signers(commit, trusted.commits) & rule.signers
            if len(signed) < rule.widening:
                yield _Untrusted(
                    commit,
                    f"it widens {change.kind.lower()}/{change.name}, signed off by"
                    f" {_listed(signed)}: {len(signed)} of the {rule.widening} that"
                    f" {printable(path, 200)} asks for",
                    _sign_off(commit, rule.signers - signed),
                )


def _signers(commit: ReadCommit, commits: Iterable[ReadCommit]) -> frozenset[str]:
    """Return who has signed a commit, and who has signed it off."""
    others = (each.signer for each in commits if commit.commit.id in each.signs_off)
    return frozenset(signer for signer in (commit.signer, *others) if signer is not None)


def _listed(signers: frozenset[str]) -> str:
    return ", ".join(sorted(signers)) or "nobody"


def _refusal(untrusted: list[_Untrusted]) -> Refused:
    reasons = [
        f"{each.commit.commit.id[:12]} by {each.commit.commit.author}: {each.reason}"
        for each in untrusted[:MAX_LISTED]
    ]
    more = f"; and {len(untrusted) - MAX_LISTED} more" if len(untrusted) > MAX_LISTED else ""
    return Refused(
        "commit_untrusted",
        f"untrusted commit {'; '.join(reasons)}{more}",
        hint=f"nothing was applied; {untrusted[0].remedy}",
    )


def _pattern(glob: str) -> re.Pattern[str]:
    """Return a glob as a pattern: `**` crosses folders, `*` and `?` do not."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", glob)
    meaning = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(meaning.get(part, re.escape(part)) for part in parts), re.DOTALL)
