"""Plans of single cases, in words."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from reconciler.core.model.observed import LiveCertificate, Observed, ObservedGrant
from reconciler.core.model.scope import Effect, Resource, ResourceType, Scope, Verb
from reconciler.core.model.spec import (
    Declared,
    Desired,
    Direction,
    GrantSpec,
    PeerSpec,
    SourceLocation,
    spec_digest,
)
from reconciler.core.model.states import GrantStatus, HoldKind, PeerStatus
from reconciler.core.plan.diff import diff
from reconciler.core.plan.model import Action, Impact, NoteKind, Plan
from reconciler.core.plan.plan import plan
from tests.support.manifests.plan_model import applied
from tests.support.manifests.strategies import NOW, hold

SCOPE = Scope((Resource(ResourceType.TASKS, frozenset({Verb.LIST})),), 100)
PEER = PeerSpec(Direction.INBOUND, "Beta")
GRANT = GrantSpec("beta", "maria", NOW + timedelta(days=30), SCOPE)


def source(*grants: GrantSpec, peer: PeerSpec | None = PEER) -> Desired:
    peers = [("beta", peer)] if peer is not None else []
    named = [(f"g{index}", spec) for index, spec in enumerate(grants)]
    return Desired(
        tuple(Declared(n, s, SourceLocation("a.yaml", 3), spec_digest(s)) for n, s in peers),
        tuple(Declared(n, s, SourceLocation("a.yaml", 9), spec_digest(s)) for n, s in named),
    )


def rows(*grants: GrantSpec, peer: PeerSpec = PEER, **changed: Any) -> Observed:
    wanted = source(*grants, peer=peer)
    made = applied(Observed(NOW), plan(wanted, Observed(NOW)))
    return replace(made, grants=tuple(replace(row, **changed) for row in made.grants))


def changes_of(made: Plan) -> list[tuple[str, str, str]]:
    return [(str(c.action), f"{c.kind}/{c.name}".lower(), c.reason) for c in made.changes]


def noted(made: Plan) -> list[tuple[str, NoteKind]]:
    return [(f"{n.kind}/{n.name}".lower(), n.note) for n in made.notes]


def test_new_manifests_are_created_the_peer_first() -> None:
    assert changes_of(plan(source(GRANT), Observed(NOW))) == [
        ("create", "peer/beta", "new in git"),
        ("create", "grant/g0", "new in git"),
    ]


def test_a_manifest_that_left_git_is_revoked() -> None:
    assert changes_of(plan(source(), rows(GRANT))) == [("revoke", "grant/g0", "no longer in git")]


def test_a_peer_that_left_git_goes_after_its_grants() -> None:
    assert changes_of(plan(source(peer=None), rows(GRANT))) == [
        ("revoke", "grant/g0", "no longer in git"),
        ("revoke", "peer/beta", "no longer in git"),
    ]


def test_an_unmanaged_grant_goes_with_its_peer() -> None:
    made = plan(source(peer=None), rows(GRANT, managed=False))
    assert changes_of(made)[0] == ("revoke", "grant/g0", "its peer 'beta' is removed")


def test_a_row_that_git_has_not_seen_is_listed_and_left() -> None:
    made = plan(source(), rows(GRANT, managed=False))
    assert changes_of(made) == []
    assert noted(made) == [("grant/g0", NoteKind.NOT_IN_GIT_YET)]


def test_a_row_that_git_sees_for_the_first_time_becomes_managed_without_a_change() -> None:
    made = plan(source(GRANT), rows(GRANT, managed=False))
    assert made.empty
    assert [each.row.name for each in made.adopted_grants] == ["g0"]
    assert made.summary.total == 2


def test_another_subject_user_replaces_the_grant() -> None:
    made = plan(source(replace(GRANT, subject_user_id="nils")), rows(GRANT))
    assert changes_of(made) == [("replace", "grant/g0", "its subject user changes")]


def test_another_direction_replaces_the_peer() -> None:
    outbound = PeerSpec(Direction.OUTBOUND, "Beta", "https://beta.example")
    made = plan(source(peer=outbound), rows())
    assert changes_of(made) == [("replace", "peer/beta", "its direction changes")]


def test_a_replacement_whose_end_has_passed_is_a_revocation() -> None:
    ended = replace(GRANT, subject_user_id="nils", expires_at=NOW)
    made = plan(source(ended), rows(GRANT))
    assert [c.action for c in made.changes] == [Action.REVOKE]


def test_an_end_moved_into_the_past_is_a_revocation_that_the_guard_sees() -> None:
    made = plan(source(replace(GRANT, expires_at=NOW - timedelta(days=1))), rows(GRANT))
    expected = "its expiresAt is set to a time that has passed"
    assert changes_of(made) == [("revoke", "grant/g0", expected)]


def test_a_manifest_whose_end_has_passed_is_never_created_and_listed() -> None:
    made = plan(source(replace(GRANT, expires_at=NOW)), rows())
    assert changes_of(made) == []
    assert noted(made) == [("grant/g0", NoteKind.ENDED)]


def test_an_expired_name_with_a_later_end_begins_again() -> None:
    assert changes_of(plan(source(GRANT), rows())) == [("create", "grant/g0", "new in git")]


def revoked_by_hand(observed: Observed) -> Observed:
    brake = hold(HoldKind.REVOKE)
    grants = [replace(row, status=GrantStatus.REVOKED, hold=brake) for row in observed.grants]
    return replace(observed, grants=tuple(grants))


def test_a_held_revoked_name_is_not_created_again_and_the_command_is_named() -> None:
    made = plan(source(GRANT), revoked_by_hand(rows(GRANT)))
    assert changes_of(made) == []
    note = made.notes[0]
    assert note.note is NoteKind.HELD_REVOKED
    assert note.command == "mosaic federation grant resume g0"


def test_a_held_revoked_name_is_free_once_its_manifest_has_left_git() -> None:
    held = revoked_by_hand(rows(GRANT))
    made = plan(source(), held)
    assert made.empty
    assert [row.name for row in made.released_grants] == ["g0"]
    again = plan(source(GRANT), applied(held, made))
    assert changes_of(again) == [("create", "grant/g0", "new in git")]


def test_a_hold_on_a_name_that_git_never_had_stays() -> None:
    held = revoked_by_hand(rows(GRANT, managed=False))
    assert not plan(source(), held).released_grants


def test_the_grants_of_a_peer_that_an_operator_revoked_are_not_created() -> None:
    peers = [
        replace(row, status=PeerStatus.REVOKED, hold=hold(HoldKind.REVOKE)) for row in rows().peers
    ]
    made = plan(source(GRANT), Observed(NOW, tuple(peers)))
    assert changes_of(made) == []
    assert noted(made) == [
        ("grant/g0", NoteKind.HELD_REVOKED),
        ("peer/beta", NoteKind.HELD_REVOKED),
    ]


def test_a_suspension_by_hand_is_noted_with_the_command_that_lifts_it() -> None:
    held: ObservedGrant = replace(
        rows(GRANT).grants[0], status=GrantStatus.SUSPENDED, hold=hold(HoldKind.SUSPEND)
    )
    made = plan(source(GRANT), replace(rows(GRANT), grants=(held,)))
    assert made.empty
    assert made.notes[0].detail == "suspended by user:olga@host: looks odd"
    assert made.notes[0].command == "mosaic federation grant resume g0"


def test_a_replacement_inherits_the_suspension_by_hand() -> None:
    brake = hold(HoldKind.SUSPEND)
    held = rows(GRANT, status=GrantStatus.SUSPENDED, hold=brake)
    made = plan(source(replace(GRANT, subject_user_id="nils")), held)
    assert [(str(c.action), c.inherited_hold) for c in made.changes] == [("replace", brake)]
    assert applied(held, made).grants[0].hold == brake


def test_each_field_says_what_it_does_to_authority() -> None:
    team = Resource(ResourceType.TASKS, frozenset(Verb), frozenset({"platform"}))
    after = GrantSpec(
        "beta",
        "maria",
        NOW + timedelta(days=10),
        Scope((team, Resource(ResourceType.NOTES, frozenset({Verb.GET}))), 500),
        timedelta(hours=1),
        suspended=True,
        protect=True,
    )
    assert [(f.path, f.effect) for f in diff(GRANT, after)] == [
        ("expiresAt", Effect.NARROWS),
        ("suspended", Effect.NARROWS),
        ("protect", Effect.NEUTRAL),
        ("scope.resources[tasks].verbs", Effect.WIDENS),
        ("scope.resources[tasks].filter.teams", Effect.NARROWS),
        ("scope.resources[notes]", Effect.WIDENS),
        ("scope.maxRowsPerQuery", Effect.WIDENS),
        ("certificate.lifetime", Effect.NARROWS),
    ]


SOON = LiveCertificate("1a", "beta", NOW + timedelta(hours=1))
LATER = LiveCertificate("2b", "beta", NOW + timedelta(days=2))
NARROW = Scope(SCOPE.resources, 5)


@pytest.mark.parametrize(
    ("after", "impact", "certificates"),
    [
        (None, Impact.REVOKED, (SOON, LATER)),
        (replace(GRANT, subject_user_id="nils"), Impact.REVOKED, (SOON, LATER)),
        (replace(GRANT, suspended=True), Impact.WITHHELD, (SOON, LATER)),
        (replace(GRANT, scope=NARROW), Impact.NARROWED, (SOON, LATER)),
        # the later one would outlast the grant's new end, the other ends before it
        (replace(GRANT, expires_at=NOW + timedelta(days=1)), Impact.NARROWED, (LATER,)),
        (replace(GRANT, expires_at=NOW + timedelta(days=3)), None, ()),
        # that of the next certificate
        (replace(GRANT, lifetime=timedelta(minutes=5)), None, ()),
        (replace(GRANT, scope=Scope(SCOPE.resources, 500), protect=True), None, ()),
    ],
)
def test_a_change_names_the_live_certificates_that_it_ends_or_narrows(
    after: GrantSpec | None, impact: Impact | None, certificates: tuple[LiveCertificate, ...]
) -> None:
    wanted = source(after) if after is not None else source()
    (change,) = plan(wanted, rows(GRANT, certificates=(SOON, LATER))).changes
    assert (change.impact, change.certificates) == (impact, certificates)
