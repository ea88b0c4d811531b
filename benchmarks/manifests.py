"""Manifests: loading a source against the C parser's bare events, and a plan against loading."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from uuid import UUID

from benchmarks.measure import Figure, compare
from reconciler.core.model.ids import GrantId, PeerId
from reconciler.core.model.observed import Observed, ObservedGrant, ObservedPeer
from reconciler.core.model.states import GrantStatus, PeerStatus
from reconciler.core.plan.plan import plan
from reconciler.core.source import Source, SourceFile
from reconciler.manifest.cache import ManifestCache
from reconciler.manifest.load import load
from reconciler.manifest.yaml.events import StreamEndEvent, c_events

if TYPE_CHECKING:
    from reconciler.core.model.spec import Desired

GRANTS = 2000

PEER = """apiVersion: federation.mosaicstack.dev/v1
kind: Peer
metadata: {name: beta}
spec: {direction: inbound, displayName: Beta}
"""
GRANT = """# yaml-language-server: $schema=../schemas/grant.schema.json
apiVersion: federation.mosaicstack.dev/v1
kind: Grant
metadata:
  name: grant-NUMBER
spec:
  peer: beta
  subjectUserId: 7d1f6c1e-6b2e-4a44-9d1f-0f6c0b1c2d3e
  expiresAt: 2036-06-30T00:00:00Z
  suspended: false
  protect: false
  scope:
    resources:
      - type: tasks
        verbs: [list, get]
        filter:
          teams: [platform, research]
          personal: false
      - type: notes
        verbs: [list]
      - type: events
        verbs:
          - list
    maxRowsPerQuery: 500
  certificate:
    lifetime: 12h
"""


def figures() -> list[Figure]:
    """Return the figures of this subject."""
    texts = [GRANT.replace("NUMBER", str(number)) for number in range(GRANTS)]
    files = (
        SourceFile("peer.yaml", PEER.encode()),
        *(SourceFile(f"{n}.yaml", text.encode()) for n, text in enumerate(texts)),
    )
    source = Source("benchmark", files)
    desired = load(source)
    observed = _observed(desired)

    def events(_: None) -> None:
        for text in texts:
            next_event = c_events(text)
            while type(next_event()) is not StreamEndEvent:
                pass

    return [
        compare(
            f"load {GRANTS:,} manifests",
            lambda _: load(source),
            "the parser's events",
            events,
            lambda: None,
        ),
        _cached(source),
        compare(
            f"plan {GRANTS:,} unchanged grants",
            lambda _: plan(desired, observed),
            "loading them",
            lambda _: load(source),
            lambda: None,
        ),
    ]


def _observed(desired: Desired) -> Observed:
    peer = desired.peers[0]
    peer_id = PeerId(UUID(int=1))
    peers = (
        ObservedPeer(
            id=peer_id,
            name=peer.name,
            spec=peer.spec,
            digest=peer.digest,
            status=PeerStatus.ACTIVE,
            managed=True,
            place=peer.place,
        ),
    )
    grants = tuple(
        ObservedGrant(
            id=GrantId(UUID(int=number + 2)),
            name=each.name,
            peer_id=peer_id,
            spec=each.spec,
            digest=each.digest,
            status=GrantStatus.ACTIVE,
            managed=True,
            place=each.place,
        )
        for number, each in enumerate(desired.grants)
    )
    return Observed(datetime.now(UTC), peers, grants)


def _cached(source: Source) -> Figure:
    with TemporaryDirectory() as folder:
        ManifestCache(Path(folder)).load(source)
        return compare(
            f"load {GRANTS:,} known manifests",
            lambda _: ManifestCache(Path(folder)).load(source),
            "parsing them",
            lambda _: load(source),
            lambda: None,
        )
