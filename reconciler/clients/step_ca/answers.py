"""How a request to sign can end: each outcome is a value that says how far the request got."""

from __future__ import annotations

from dataclasses import dataclass

from reconciler.core.issuance.x509 import SignedLeaf


@dataclass(frozen=True, slots=True)
class Signed:
    """A certificate came back: PEM texts, the leaf and what is above it, root not included."""

    leaf: str
    chain: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NotSent:
    """The request surely never left."""

    reason: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """The CA answered that it will not sign this (4xx).

    `csr_code` is the code of what is wrong with the CSR, or empty where it is not the CSR.
    """

    status: int
    reason: str
    csr_code: str = ""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Nobody knows: the CA may have signed."""

    reason: str


@dataclass(frozen=True, slots=True)
class WrongLeaf:
    """A certificate came back that is not what was requested."""

    reason: str


GrantAnswer = SignedLeaf | NotSent | Rejected | Unanswered | WrongLeaf
