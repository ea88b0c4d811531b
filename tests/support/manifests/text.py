"""Manifests as text, and what is wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from reconciler.core.source import Source, SourceFile
from reconciler.errors import InvalidManifests, Problem
from reconciler.manifest.load import load

if TYPE_CHECKING:
    from reconciler.core.model.spec import Desired

TYPES = "tasks, projects, events, notes, memory, knowledge"
PEER = """\
apiVersion: federation.mosaicstack.dev/v1
kind: Peer
metadata: {name: beta}
spec: {direction: inbound}
"""
GRANT = """\
apiVersion: federation.mosaicstack.dev/v1
kind: Grant
metadata:
  name: beta-tasks
spec:
  peer: beta
  subjectUserId: maria
  expiresAt: 2036-06-30T00:00:00Z
  scope:
    resources:
      - {type: tasks, verbs: [list, get]}
    maxRowsPerQuery: 500
"""


def source(**files: str | bytes) -> Source:
    """Return a source of these files, each named by its keyword and `.yaml`."""
    return Source(
        "test",
        tuple(
            SourceFile(f"{name}.yaml", text.encode() if isinstance(text, str) else text)
            for name, text in sorted(files.items())
        ),
    )


def loaded(**files: str | bytes) -> Desired:
    return load(source(**files))


def problems(**files: str | bytes) -> list[Problem]:
    """Return the problems of a source that must have some."""
    with pytest.raises(InvalidManifests) as caught:
        load(source(**files))
    assert caught.value.exit_code == 1
    assert list(caught.value.problems) == sorted(caught.value.problems)
    return list(caught.value.problems)


def grant(old: str, new: str) -> str:
    """Return the grant with one change."""
    assert old in GRANT
    return GRANT.replace(old, new, 1)


def peer(old: str, new: str) -> str:
    """Return the peer with one change."""
    assert old in PEER
    return PEER.replace(old, new, 1)


def problem_lines(source: Source) -> list[str]:
    """Return the problems of a source that must have some, as they are printed."""
    with pytest.raises(InvalidManifests) as caught:
        load(source)
    return [str(each) for each in caught.value.problems]
