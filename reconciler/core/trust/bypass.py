"""What would bypass the rules of trust that hold, or drop them.

Only a reading of git that contains the commit by whose rules it is judged, in the same folder, with
its signatures verified and with rules of its own, bypasses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.core.model.commits import Relation
from reconciler.core.model.text import printable
from reconciler.core.trust.rules import RULES_FILE
from reconciler.errors import Refused

if TYPE_CHECKING:
    from reconciler.core.trust.commits import Trusted

OVERRIDE = "or --override-trust applies it once, which is recorded and shows in `status`"


@dataclass(frozen=True, slots=True)
class RulesInForce:
    """The rules that hold: those of `revision`, read in the folder `prefix` (None: not known)."""

    revision: str
    prefix: str | None


@dataclass(frozen=True, slots=True)
class Applying:
    """What is applied: `managed` for a source, else what a command declares."""

    managed: bool
    is_git: bool
    has_rules: bool
    prefix: str


def refuse_bypass(held: RulesInForce | None, applying: Applying, trusted: Trusted | None) -> None:
    """Raise if rules hold, and what is applied would bypass or drop them.

    Raises:
        Refused: `trust_bypassed`.
    """
    if held is None:
        return
    commit = "commit its manifest with a signature, and apply the repository"
    if not applying.managed:
        raise _refusal("what a command declares is signed by nobody", commit)
    if not applying.is_git:
        repository = "apply the repository itself: --ref REF --require-signed"
        raise _refusal("a folder has no commits to judge", repository)
    if trusted is None:
        signed = "pass --require-signed, or set MOSAIC_REQUIRE_SIGNED=true"
        raise _refusal("the signatures of its commits are not required", signed)
    if trusted.relation in (Relation.REWIND, Relation.UNKNOWN):
        missing = f"its history does not contain {held.revision[:12]}, whose rules hold"
        raise _refusal(missing, "apply a ref that contains that commit")
    if held.prefix is not None and held.prefix != applying.prefix:
        folders = [printable(each.rstrip("/") or "/") for each in (applying.prefix, held.prefix)]
        different = f"it reads the folder {folders[0]!r}, and the rules hold for {folders[1]!r}"
        raise _refusal(different, f"name the folder: --path {folders[1]}")
    if not applying.has_rules:
        restore = f"commit {RULES_FILE} again, with the quorum of the rules"
        raise _refusal(f"it has no {RULES_FILE}, so no rules would hold any more", restore)


def _refusal(reason: str, remedy: str) -> Refused:
    message = f"the rules of trust would be bypassed: {reason}"
    return Refused("trust_bypassed", message, hint=f"nothing was applied; {remedy}; {OVERRIDE}")
