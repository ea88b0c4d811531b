"""Hypothesis strategies for the core's values, small enough that names and fields collide."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from hypothesis import strategies as st

from reconciler.core.model.observed import Hold, Observed, ObservedGrant, ObservedPeer
from reconciler.core.model.scope import RESOURCE_TYPES, VERBS, Resource, ResourceType, Scope
from reconciler.core.model.spec import (
    Declared,
    Desired,
    Direction,
    GrantSpec,
    PeerSpec,
    SourceLocation,
    spec_digest,
)
from reconciler.core.model.states import GrantStatus, HoldKind, PeerStatus, live_grant_status
from reconciler.core.plan.plan import plan
from tests.support.manifests.plan_model import applied

NOW: Final = datetime(2026, 6, 1, 12, tzinfo=UTC)
TEAMS: Final = ("platform", "sales")

verb_sets = st.frozensets(st.sampled_from(VERBS), min_size=1)
team_sets = st.none() | st.frozensets(st.sampled_from(TEAMS))


@st.composite
def resources(draw: st.DrawFn, kinds: tuple[ResourceType, ...] = RESOURCE_TYPES) -> Resource:
    return Resource(
        draw(st.sampled_from(kinds)), draw(verb_sets), draw(team_sets), draw(st.booleans())
    )


@st.composite
def scopes(draw: st.DrawFn, kinds: tuple[ResourceType, ...] = RESOURCE_TYPES[:3]) -> Scope:
    value = draw(
        st.lists(resources(kinds), min_size=1, max_size=len(kinds), unique_by=lambda r: r.type)
    )
    ordered = sorted(value, key=lambda each: RESOURCE_TYPES.index(each.type))
    return Scope(tuple(ordered), draw(st.sampled_from((1, 100, 10_000))))


@st.composite
def peer_specs(draw: st.DrawFn) -> PeerSpec:
    direction = draw(st.sampled_from(Direction))
    endpoints = st.just("https://beta.example")
    return PeerSpec(
        direction=direction,
        display_name=draw(st.sampled_from(("Beta", "Gamma GmbH"))),
        endpoint=draw(endpoints if direction is Direction.OUTBOUND else st.none() | endpoints),
        labels=draw(st.sampled_from(((), (("region", "eu"),)))),
        protect=draw(st.booleans()),
    )


@st.composite
def grant_specs(draw: st.DrawFn, peers: tuple[str, ...]) -> GrantSpec:
    return GrantSpec(
        peer=draw(st.sampled_from(peers)),
        subject_user_id=draw(st.sampled_from(("maria", "nils"))),
        expires_at=NOW + draw(st.sampled_from((-1, 0, 1, 30))) * timedelta(days=1),
        scope=draw(scopes(RESOURCE_TYPES[:2])),
        lifetime=draw(st.sampled_from((timedelta(hours=1), timedelta(hours=24)))),
        suspended=draw(st.booleans()),
        protect=draw(st.booleans()),
    )


@st.composite
def desired(draw: st.DrawFn) -> Desired:
    """Draw what a source may declare: every grant names an inbound peer of it."""
    names = draw(st.sets(st.sampled_from(("alpha", "beta", "gamma"))))
    places = st.builds(SourceLocation, st.sampled_from(("a.yaml", "b.yaml")), st.integers(1, 3))
    peers = [_declared(name, draw(peer_specs()), draw(places)) for name in sorted(names)]
    inbound = tuple(each.name for each in peers if each.spec.direction is Direction.INBOUND)
    grants: list[Declared[GrantSpec]] = []
    if inbound:
        wanted = draw(st.sets(st.sampled_from(("one", "two", "three", "four"))))
        specs = grant_specs(inbound)
        grants = [
            Declared(name, spec, draw(places), spec_digest(spec))
            for name in sorted(wanted)
            for spec in [draw(specs)]
        ]
    return Desired(tuple(peers), tuple(grants))


@st.composite
def observed(draw: st.DrawFn) -> Observed:
    """Draw rows that an apply, enrollments and operators may have left."""
    source = draw(desired())
    before = Observed(NOW)
    rows = applied(before, plan(source, before))
    peers = tuple(_lived(draw, row) for row in rows.peers)
    held = {row.name for row in peers if row.ended}
    grants = []
    for row in rows.grants:
        lived = _enrolled(draw, row)
        if row.spec.peer in held:
            if not draw(st.booleans()):
                continue
            lived = _revoked(lived)
        grants.append(lived)
    return Observed(NOW, peers, tuple(grants))


def shuffled(data: st.DataObject, rows: Observed, source: Desired) -> tuple[Observed, Desired]:
    """Return the same in another order."""
    return (
        Observed(
            rows.now,
            tuple(data.draw(st.permutations(rows.peers))),
            tuple(data.draw(st.permutations(rows.grants))),
        ),
        Desired(
            tuple(data.draw(st.permutations(source.peers))),
            tuple(data.draw(st.permutations(source.grants))),
        ),
    )


def hold(kind: HoldKind) -> Hold:
    return Hold(kind, "user:olga@host", NOW, "looks odd")


def _declared(name: str, spec: PeerSpec, place: SourceLocation) -> Declared[PeerSpec]:
    return Declared(name, spec, place, spec_digest(spec))


def _lived(draw: st.DrawFn, row: ObservedPeer) -> ObservedPeer:
    managed = draw(st.booleans())
    match draw(st.sampled_from(("pending", "active", "held"))):
        case "held":
            operator_hold = hold(HoldKind.REVOKE)
            return replace(row, status=PeerStatus.REVOKED, hold=operator_hold, managed=managed)
        case status:
            return replace(row, status=PeerStatus(status), managed=managed)


def _enrolled(draw: st.DrawFn, row: ObservedGrant) -> ObservedGrant:
    managed = draw(st.booleans())
    fate = draw(st.sampled_from(("pending", "enrolled", "braked", "revoked")))
    if fate == "revoked":
        return _revoked(replace(row, managed=managed))
    operator_hold = hold(HoldKind.SUSPEND) if fate == "braked" else None
    enrolled = GrantStatus.ACTIVE if fate != "pending" else GrantStatus.PENDING
    suspended = row.spec.suspended or operator_hold is not None
    status = live_grant_status(enrolled, suspended=suspended)
    return replace(row, managed=managed, hold=operator_hold, status=status)


def _revoked(row: ObservedGrant) -> ObservedGrant:
    return replace(row, status=GrantStatus.REVOKED, hold=hold(HoldKind.REVOKE))
