"""What holds of every plan, whatever git says and whatever the rows are."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from reconciler.core.model.observed import Observed, ObservedGrant, ObservedPeer
from reconciler.core.model.spec import Desired, Direction, Identity, Kind, SourceLocation
from reconciler.core.plan.guard import GuardOptions, judge
from reconciler.core.plan.model import Action, NoteKind
from reconciler.core.plan.plan import plan
from reconciler.core.plan.selection import Selection, narrowed_plan
from tests.support.manifests.plan_model import applied
from tests.support.manifests.strategies import NOW, desired, observed, shuffled

ANYTHING = (desired(), observed())


def every_row(rows: Observed) -> list[ObservedPeer | ObservedGrant]:
    return [*rows.peers, *rows.grants]


def settled(source: Desired, rows: Observed) -> Observed:
    return applied(rows, plan(source, rows))


@given(*ANYTHING)
def test_a_plan_of_what_was_just_applied_is_empty(source: Desired, rows: Observed) -> None:
    again = plan(source, settled(source, rows))
    assert again.empty
    assert not again.adopted_peers
    assert not again.adopted_grants
    assert not again.released_peers
    assert not again.released_grants


@given(desired(), desired())
def test_applying_the_plan_gives_what_is_declared(first: Desired, second: Desired) -> None:
    rows = settled(second, settled(first, Observed(NOW)))
    peers = {(row.name, row.digest, row.place) for row in rows.peers}
    assert peers == {(each.name, each.digest, each.place) for each in second.peers}
    grants = {(row.name, row.digest, row.place) for row in rows.grants}
    assert grants == {
        (each.name, each.digest, each.place) for each in second.grants if each.spec.expires_at > NOW
    }


@given(*ANYTHING)
def test_after_an_apply_every_managed_row_is_declared_and_means_what_git_says(
    source: Desired, rows: Observed
) -> None:
    after = settled(source, rows)
    declared = {each.name: each.digest for each in source.grants}
    for row in after.grants:
        if row.managed and not row.ended:
            assert row.digest == declared[row.name]
    names = {each.name for each in source.peers}
    assert {row.name for row in after.peers if row.managed} <= names


@given(*ANYTHING)
def test_what_an_operator_holds_is_never_undone(source: Desired, rows: Observed) -> None:
    made = plan(source, rows)
    held = {row.name for row in rows.grants if row.held_revoked}
    held_peers = {row.name for row in rows.peers if row.held_revoked}
    for change in made.grant_changes(Action.CREATE, Action.REPLACE):
        assert change.declared is not None
        assert change.declared.spec.peer not in held_peers
        assert change.action is Action.REPLACE or change.name not in held
    for peer in made.peer_changes(Action.CREATE):
        assert peer.name not in held_peers
    after = {row.id: row for row in applied(rows, made).grants}
    named = {row.name: row for row in after.values() if not row.ended}
    for row in rows.grants:
        if row.id in after:
            assert after[row.id].hold == row.hold
        elif row.hold is not None and row.name in named:
            assert named[row.name].hold == row.hold


@given(*ANYTHING)
def test_what_git_has_not_seen_is_left_alone_while_its_peer_stays(
    source: Desired, rows: Observed
) -> None:
    made = plan(source, rows)
    gone = {change.name for change in made.peer_changes(Action.REVOKE, Action.REPLACE)}
    declared = {each.name for each in source.grants}
    for row in rows.grants:
        if row.managed or row.ended or row.name in declared or row.spec.peer in gone:
            continue
        assert row.name not in {change.name for change in made.grant_changes(*Action)}
        expected = NoteKind.NOT_IN_GIT_YET
        notes = [note for note in made.notes if (note.kind, note.name) == (Kind.GRANT, row.name)]
        assert expected in {note.note for note in notes}


@given(st.data(), *ANYTHING)
def test_the_order_of_the_input_does_not_matter(
    data: st.DataObject, source: Desired, rows: Observed
) -> None:
    other_rows, other_source = shuffled(data, rows, source)
    one, other = plan(source, rows), plan(other_source, other_rows)
    assert one.changes == other.changes
    assert one.notes == other.notes
    assert one.summary == other.summary
    assert one.digest == other.digest
    assert set(one.adopted_grants) == set(other.adopted_grants)


@given(*ANYTHING)
def test_the_digest_covers_no_place(source: Desired, rows: Observed) -> None:
    elsewhere = Desired(
        tuple(replace(each, place=SourceLocation("elsewhere.yaml", 99)) for each in source.peers),
        tuple(replace(each, place=SourceLocation("elsewhere.yaml", 98)) for each in source.grants),
    )
    assert plan(source, rows).digest == plan(elsewhere, rows).digest


@given(*ANYTHING)
def test_access_is_narrowed_before_it_is_widened(source: Desired, rows: Observed) -> None:
    changes = plan(source, rows).changes
    ranks = [list(Action).index(change.action) for change in changes]
    assert ranks == sorted(ranks)
    order = [(change.action, change.kind) for change in changes]
    if {(Action.REVOKE, Kind.GRANT), (Action.REVOKE, Kind.PEER)} <= set(order):
        assert order.index((Action.REVOKE, Kind.GRANT)) < order.index((Action.REVOKE, Kind.PEER))
    if {(Action.CREATE, Kind.GRANT), (Action.CREATE, Kind.PEER)} <= set(order):
        assert order.index((Action.CREATE, Kind.PEER)) < order.index((Action.CREATE, Kind.GRANT))


@given(*ANYTHING)
def test_no_live_grant_is_left_to_a_peer_that_went(source: Desired, rows: Observed) -> None:
    after = settled(source, rows)
    live = {row.id for row in after.peers if not row.ended}
    before = {row.id for row in rows.peers if not row.ended}
    for row in after.grants:
        if not row.ended and row.peer_id in before | live:
            assert row.peer_id in live


@given(*ANYTHING)
def test_the_counts_add_up(source: Desired, rows: Observed) -> None:
    made = plan(source, rows)
    after = applied(rows, made)
    summary = made.summary
    assert summary.unchanged >= 0
    assert len(made.changes) == (summary.create + summary.update + summary.replace + summary.revoke)
    managed_after = sum(row.managed and not row.ended for row in every_row(after))
    assert managed_after == summary.total - summary.revoke


@given(*ANYTHING)
def test_nothing_protected_goes_past_the_guard(source: Desired, rows: Observed) -> None:
    made = plan(source, rows)
    verdict = judge(made, GuardOptions(allow_empty=True))
    if not verdict.allowed:
        return
    after = {row.id for row in every_row(applied(rows, made))}
    for row in every_row(rows):
        if row.spec.protect and not row.ended:
            assert row.id in after


@given(*ANYTHING)
def test_every_name_is_one_change_at_most(source: Desired, rows: Observed) -> None:
    made = plan(source, rows)
    names = [(change.kind, change.name) for change in made.changes]
    assert len(names) == len(set(names))


@given(st.data(), *ANYTHING)
def test_a_plan_of_some_objects_can_be_carried_out_and_leaves_the_others_alone(
    data: st.DataObject, source: Desired, rows: Observed
) -> None:
    known = sorted({*declared_objects(source), *row_objects(rows)})
    some = st.frozensets(st.sampled_from(known), max_size=3) if known else st.just(frozenset())
    selection = Selection(data.draw(some), data.draw(some))
    made = narrowed_plan(source, rows, selection)
    after = applied(rows, made)

    changed = {(change.kind, change.name) for change in made.changes}
    assert not changed & selection.but
    assert changed <= {(change.kind, change.name) for change in plan(source, rows).changes}
    unlike = {row.id for row in every_row(rows)} - {row.id for row in every_row(after)}
    for row in every_row(rows):
        identity = (Kind.PEER if isinstance(row, ObservedPeer) else Kind.GRANT, row.name)
        assert identity not in selection.but or row.id not in unlike
    inbound = {
        row.name for row in after.peers if not row.ended and row.spec.direction is Direction.INBOUND
    }
    assert {row.spec.peer for row in after.grants if not row.ended} <= inbound
    whole = plan(source, rows)
    assert made.managed_before == whole.managed_before
    if selection.whole:
        assert made == whole


def declared_objects(source: Desired) -> set[Identity]:
    peers = {(Kind.PEER, each.name) for each in source.peers}
    return peers | {(Kind.GRANT, each.name) for each in source.grants}


def row_objects(rows: Observed) -> set[Identity]:
    return {
        (Kind.PEER if isinstance(row, ObservedPeer) else Kind.GRANT, row.name)
        for row in every_row(rows)
    }
