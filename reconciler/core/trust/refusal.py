"""Commits that are not trusted: the reason of each, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from reconciler.core.model.text import printable
from reconciler.core.trust.rules import RULES_FILE
from reconciler.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from reconciler.core.model.commits import ReadCommit
    from reconciler.core.trust.rules import Rules

MAX_LISTED: Final = 5  # untrusted commits that an error names


@dataclass(frozen=True, slots=True)
class Untrusted:
    """A commit that is not trusted, why, and who can do what about it."""

    commit: ReadCommit
    reason: str
    remedy: str

    def __str__(self) -> str:
        commit = self.commit.commit
        return f"{commit.id[:12]} by {commit.author}: {self.reason}"


def unsigned(commit: ReadCommit) -> Untrusted:
    """Return the verdict of a commit without a good signature of an allowed signer."""
    signing = f"git rebase --exec 'git commit --amend --no-edit -S' {commit.commit.id[:12]}~1"
    remedy = f"an allowed signer has to sign the commit itself: {signing}"
    return Untrusted(commit, commit.signature, remedy)


def not_theirs(commit: ReadCommit, path: str, signers: frozenset[str]) -> Untrusted:
    """Return the verdict of a commit whose signer may not change a path."""
    reason = f"{commit.signer} may not change {printable(path, 200)}"
    remedy = f"have the same change committed and signed by one who may: {listed(signers)}"
    return Untrusted(commit, reason, remedy)


def nobodys(commit: ReadCommit, path: str, rules: Rules) -> Untrusted:
    """Return the verdict of a change of a path that no rule matches."""
    shown = printable(path, 200)
    return Untrusted(
        commit,
        f"no rule matches {shown}, so nobody may change it",
        f"add a rule for {shown} to {RULES_FILE}, signed off by {rules.change_quorum} of"
        f" {listed(rules.change_signers)}, and apply that first",
    )


def too_few(
    commit: ReadCommit, what: str, signed: frozenset[str], signers: frozenset[str], count: int
) -> Untrusted:
    """Return the verdict of a commit that too few of the signers have signed off."""
    reason = f"{what}, signed off by {listed(signed)}: {len(signed)} of the {count}"
    missing = signers - signed
    remedy = (
        f"have it signed off by {listed(missing)}, in a signed commit with the trailer"
        f" Signs-off: {commit.commit.id}"
    )
    if not missing:
        remedy = "the rules ask for more signers than they name: have the rules changed first"
    return Untrusted(commit, reason, remedy)


def listed(signers: Iterable[str]) -> str:
    """Return signers as a message lists them."""
    return ", ".join(sorted(signers)) or "nobody"


def refusal(untrusted: Sequence[Untrusted]) -> Refused:
    """Return the error of untrusted commits; its code is `commit_untrusted`."""
    reasons = "; ".join(map(str, untrusted[:MAX_LISTED]))
    more = f"; and {len(untrusted) - MAX_LISTED} more" if len(untrusted) > MAX_LISTED else ""
    return Refused(
        "commit_untrusted",
        f"untrusted commit {reasons}{more}",
        hint=f"nothing was applied; {untrusted[0].remedy}",
    )
