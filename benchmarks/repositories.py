"""Repositories: a commit is read against what git itself takes, a folder against its bytes."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from benchmarks.manifests import GRANT, GRANTS, PEER
from benchmarks.measure import Figure, compare
from reconciler.core.setting_values import SourceSetting
from reconciler.source.read import read_source

IDENTITY = ("-c", "user.name=Ada", "-c", "user.email=ada@alpha.example")


def figures() -> list[Figure]:
    """Return the figures of this subject."""
    with tempfile.TemporaryDirectory(prefix="mosaic-bench-") as folder:
        return _reading(Path(folder))


def _reading(folder: Path) -> list[Figure]:
    manifests = folder / "manifests"
    manifests.mkdir()
    (manifests / "peer.yaml").write_text(PEER)
    for number in range(GRANTS):
        (manifests / f"{number}.yaml").write_text(GRANT.replace("NUMBER", str(number)))

    def git(*words: str, given: bytes = b"") -> bytes:
        command = ["git", *IDENTITY, *words]
        done = subprocess.run(command, cwd=folder, input=given, capture_output=True, check=True)
        return done.stdout

    git("init", "-q", "-b", "main")
    git("add", "-A")
    git("commit", "-q", "-m", "benchmark")
    setting = SourceSetting(str(folder), "main", "manifests")

    def floor(_: None) -> None:
        listed = git("ls-tree", "-r", "-z", "-l", "main", "--", "manifests")
        ids = b"".join(line.split()[2] + b"\n" for line in listed.split(b"\0") if line)
        git("cat-file", "--batch", given=ids)

    return [
        compare(
            f"read {GRANTS:,} manifests of a commit",
            lambda _: read_source(setting),
            "git ls-tree and cat-file",
            floor,
            lambda: None,
        ),
        compare(
            f"read {GRANTS:,} manifests of a folder",
            lambda _: read_source(SourceSetting(str(manifests))),
            "their bytes",
            lambda _: [path.read_bytes() for path in sorted(manifests.iterdir())],
            lambda: None,
        ),
    ]
