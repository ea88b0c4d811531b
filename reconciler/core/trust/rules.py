"""The rules of a repository: whose paths are whose, and how many must sign."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from reconciler.core.trust.globs import matches

RULES_FILE: Final = ".mosaic-trust.yaml"  # at the root of the repository

_FINGERPRINT: Final = re.compile(r"(?:0x)?([0-9A-Fa-f]{40}|[0-9A-Fa-f]{64})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may change the paths that match, and how many must have signed off a widening there."""

    paths: tuple[str, ...]
    signers: frozenset[str]
    widening: int = 1

    def matches(self, path: str) -> bool:
        """Tell whether a path of the repository is one of the rule's."""
        return any(matches(glob, path) for glob in self.paths)


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of a repository, and who may change them: so many of these."""

    rules: tuple[Rule, ...]
    change_signers: frozenset[str]
    change_quorum: int = 1

    def of(self, path: str) -> frozenset[Rule]:
        """Return the rules that match a path; where there are none, it is nobody's."""
        return frozenset(rule for rule in self.rules if rule.matches(path))


def signer_name(text: str) -> str:
    """Return a signer as rules and commits name one: of OpenPGP the key's fingerprint."""
    match = _FINGERPRINT.fullmatch(text.replace(" ", "").replace(":", ""))
    return match[1].upper() if match is not None else text
