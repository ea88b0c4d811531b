"""The one table of legal moves, of which the database has a copy."""

from __future__ import annotations

import re
from itertools import product
from typing import TYPE_CHECKING, Final

import pytest

from reconciler.core.model.states import (
    GrantStatus,
    IssuanceStatus,
    PeerStatus,
    TokenStatus,
    enrolled_grant_status,
    live_grant_status,
)
from tests.support.project.checkout import ROOT

if TYPE_CHECKING:
    from enum import StrEnum

MIGRATIONS = ROOT / "migrations/versions"

PEER_MOVES: Final = frozenset(
    {
        (PeerStatus.PENDING, PeerStatus.ACTIVE),
        (PeerStatus.PENDING, PeerStatus.REVOKED),
        (PeerStatus.ACTIVE, PeerStatus.REVOKED),
    }
)

GRANT_MOVES: Final = frozenset(
    {
        (GrantStatus.PENDING, GrantStatus.ACTIVE),
        (GrantStatus.PENDING, GrantStatus.SUSPENDED),
        (GrantStatus.ACTIVE, GrantStatus.SUSPENDED),
        (GrantStatus.SUSPENDED, GrantStatus.ACTIVE),
    }
    | {
        (live, end)
        for live in (GrantStatus.PENDING, GrantStatus.ACTIVE, GrantStatus.SUSPENDED)
        for end in (GrantStatus.REVOKED, GrantStatus.EXPIRED)
    }
)

TOKEN_MOVES: Final = frozenset(
    {
        (TokenStatus.OPEN, TokenStatus.CLAIMED),
        (TokenStatus.CLAIMED, TokenStatus.SPENT),
        (TokenStatus.OPEN, TokenStatus.VOID),
        (TokenStatus.CLAIMED, TokenStatus.VOID),
    }
)

ISSUANCE_MOVES: Final = frozenset(
    {
        (IssuanceStatus.INTENT, IssuanceStatus.ISSUED),
        (IssuanceStatus.INTENT, IssuanceStatus.ABANDONED),
        (IssuanceStatus.INTENT, IssuanceStatus.REVOKING),
        (IssuanceStatus.ISSUED, IssuanceStatus.REVOKING),
        (IssuanceStatus.REVOKING, IssuanceStatus.REVOKED),
        (IssuanceStatus.REVOKING, IssuanceStatus.ABANDONED),
        (IssuanceStatus.REVOKED, IssuanceStatus.REVOKING),  # the CA's list lacks it
    }
)

TABLES = {
    "federation_peers": PEER_MOVES,
    "federation_grants": GRANT_MOVES,
    "federation_enrollment_tokens": TOKEN_MOVES,
    "federation_certificates": ISSUANCE_MOVES,
}
TYPES: dict[str, type[StrEnum]] = {
    "federation_peer_status": PeerStatus,
    "federation_grant_status": GrantStatus,
    "federation_token_status": TokenStatus,
    "federation_issuance_status": IssuanceStatus,
}


def test_the_database_allows_the_moves_of_the_core_and_no_other() -> None:
    text = "".join(each.read_text(encoding="utf-8") for each in MIGRATIONS.glob("*.py"))
    written = set(re.findall(r"\('(federation_\w+)', '(\w+)', '(\w+)'\)", text))
    assert written == {
        (table, str(old), str(new)) for table, moves in TABLES.items() for old, new in moves
    }


@pytest.mark.parametrize("name", TYPES)
def test_the_database_knows_the_statuses_of_the_core(name: str) -> None:
    text = (MIGRATIONS / "0001_first.py").read_text(encoding="utf-8")
    match = re.search(rf"CREATE TYPE {name} AS ENUM\s+\(([^)]*)\)", text)
    assert match is not None
    assert re.findall(r"'(\w+)'", match[1]) == [str(each) for each in TYPES[name]]


@pytest.mark.parametrize("ended", [each for each in GrantStatus if each.ended])
def test_nothing_leaves_an_end(ended: GrantStatus) -> None:
    assert not [move for move in GRANT_MOVES if move[0] is ended]


def test_what_suspends_and_resumes_moves_by_the_table() -> None:
    for status, suspended in product(GrantStatus, (True, False)):
        after = live_grant_status(status, suspended=suspended)
        assert after is status or (status, after) in GRANT_MOVES
        assert status is not GrantStatus.PENDING or after is GrantStatus.PENDING


def test_an_enrollment_does_not_lift_a_suspension() -> None:
    assert enrolled_grant_status(suspended=True) is GrantStatus.SUSPENDED
    assert enrolled_grant_status(suspended=False) is GrantStatus.ACTIVE
