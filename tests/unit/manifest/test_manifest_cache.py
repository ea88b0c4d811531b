"""The cache changes neither what files declare nor which problems they have."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings

from reconciler.core.source import Source, SourceFile
from reconciler.errors import InvalidManifests
from reconciler.manifest import cache
from reconciler.manifest.cache import ManifestCache
from reconciler.manifest.load import declared_in, load
from reconciler.manifest.write import manifest_text
from tests.support.gateways.enrollee import grant_manifest, peer_manifest
from tests.support.manifests.strategies import desired as any_desired

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.core.model.spec import Desired


def source(**texts: str) -> Source:
    files = [SourceFile(f"{name}.yaml", text.encode()) for name, text in sorted(texts.items())]
    return Source("test", tuple(files))


def load_cached(read: Source, folder: Path) -> Desired:
    return ManifestCache(folder).load(read)


GOOD = source(beta=peer_manifest(), x=grant_manifest("x"), y=grant_manifest("y"))


@pytest.fixture
def warm(tmp_path: Path) -> Path:
    """Return a cache that has seen GOOD."""
    assert load_cached(GOOD, tmp_path / "cache") == load(GOOD)
    return tmp_path / "cache"


def test_a_file_that_is_as_it_was_is_not_parsed(
    warm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[str] = []

    def seen(file: SourceFile) -> object:
        parsed.append(file.path)
        return declared_in(file)

    monkeypatch.setattr("reconciler.manifest.load.declared_in", seen)
    assert load_cached(GOOD, warm) == load(GOOD)
    assert parsed == []
    changed = source(beta=peer_manifest(), x=grant_manifest("x", rows=7), z=grant_manifest("y"))
    assert load_cached(changed, warm) == load(changed)
    assert parsed == ["x.yaml"]  # a file of another name that says the same is known
    again = load_cached(changed, warm)
    assert [each.place.path for each in again.grants] == ["x.yaml", "z.yaml"]
    assert parsed == ["x.yaml"]


@pytest.mark.parametrize(
    "wrong",
    [
        source(x=grant_manifest("x")),  # its peer is gone
        source(beta=peer_manifest(), x=grant_manifest("x"), y=grant_manifest("x")),
        source(beta=peer_manifest(), x=grant_manifest("x"), y="kind: Grant\n"),
        source(beta=peer_manifest(), x=""),
        source(
            beta=peer_manifest().replace("inbound,", "outbound, endpoint: https://b.example,"),
            x=grant_manifest("x"),
        ),
    ],
)
def test_every_problem_is_told_as_without(warm: Path, wrong: Source) -> None:
    with pytest.raises(InvalidManifests) as expected:
        load(wrong)
    for _ in range(2):
        with pytest.raises(InvalidManifests) as result:
            load_cached(wrong, warm)
        assert result.value.problems == expected.value.problems


@pytest.mark.parametrize("spoilt", [b"", b"\0" * 64, b"[]"])
def test_a_cache_that_cannot_be_read_is_none(warm: Path, spoilt: bytes) -> None:
    file = warm / "manifests"
    before = file.read_bytes()
    file.write_bytes(spoilt)
    assert load_cached(GOOD, warm) == load(GOOD)
    assert len(file.read_bytes()) == len(before)


def test_a_cache_is_none_whichever_octet_of_it_is_another(warm: Path) -> None:
    file = warm / "manifests"
    before = file.read_bytes()
    for at in range(0, len(before), 7):
        file.write_bytes(before[:at] + bytes([before[at] ^ 1]) + before[at + 1 :])
        assert ManifestCache(warm).index.files == {}


def test_what_another_version_kept_counts_for_nothing(
    warm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ManifestCache(warm).index.files
    monkeypatch.setattr(cache, "VERSION", "another")
    assert ManifestCache(warm).index.files == {}
    assert load_cached(GOOD, warm) == load(GOOD)


def test_a_folder_that_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    assert load_cached(GOOD, tmp_path / "cache") == load(GOOD)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(any_desired())
def test_whatever_is_declared_is_the_same_from_the_cache(tmp_path: Path, declared: Desired) -> None:
    peers = {f"p-{each.name}": manifest_text(each.name, each.spec) for each in declared.peers}
    grants = {f"g-{each.name}": manifest_text(each.name, each.spec) for each in declared.grants}
    read = source(**peers, **grants)
    assert load_cached(read, tmp_path) == load(read)
    assert load_cached(read, tmp_path) == load(read)


# Every field that a manifest has, written out and left out.
EVERYTHING = source(
    a=peer_manifest(),
    b="""\
apiVersion: federation.mosaicstack.dev/v1
kind: Peer
metadata: {name: gamma, labels: {team: b, area: a}}
spec: {direction: outbound, displayName: Gamma, endpoint: "https://gamma.example/", protect: true}
""",
    c=grant_manifest("x"),
    d="""\
apiVersion: federation.mosaicstack.dev/v1
kind: Grant
metadata: {name: y}
spec:
  peer: beta
  subjectUserId: maria@alpha.example
  expiresAt: "2036-06-30T02:00:00+02:00"
  suspended: true
  protect: true
  certificate: {lifetime: 1h30m}
  scope:
    resources:
      - {type: tasks, verbs: [list, get], filter: {teams: [b, a], personal: false}}
      - {type: notes, verbs: [list]}
    maxRowsPerQuery: 5
""",
)


def test_the_format_has_a_number_of_its_own() -> None:
    """Where this fails, raise `FORMAT` in the cache, and write the new digest beside it here."""
    entries = [[*map(cache.entry_of, declared_in(file))] for file in EVERYTHING.files]
    digest = hashlib.sha256(json.dumps(entries).encode()).hexdigest()
    assert (cache.FORMAT, digest) == (
        4,
        "e2d908ab69ac6db7273df42e6b64e60f827e8daf14d8c844cb20823adfdae653",
    )
