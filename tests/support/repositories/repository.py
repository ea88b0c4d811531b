"""Real git repositories that a test makes, with commits by people who have names."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.core.setting_values import SourceSetting
from reconciler.source.read import read_source

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.core.source import Source


@dataclass(frozen=True)
class Checkout:
    """A repository with its work tree, whose branch is `main`."""

    path: Path

    @classmethod
    def make(cls, path: Path, **files: str) -> Checkout:
        """Make one, with a first commit of these files, each named by its keyword and `.yaml`."""
        path.mkdir(parents=True)
        made = cls(path)
        made.git("init", "-q", "-b", "main")
        made.write(**files)
        made.commit("first")
        return made

    @property
    def url(self) -> str:
        return f"file://{self.path}"

    def git(self, *args: str, content: bytes | None = None) -> str:
        who = ("-c", "user.name=Ada Lovelace", "-c", "user.email=ada@alpha.example")
        done = subprocess.run(
            ["git", *who, *args], cwd=self.path, input=content, capture_output=True, check=False
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().strip()

    def write(self, **files: str) -> None:
        """Write files below `manifests/`."""
        folder = self.path / "manifests"
        folder.mkdir(exist_ok=True)
        for name, text in files.items():
            (folder / f"{name}.yaml").write_text(text)

    def commit(self, subject: str, *options: str) -> str:
        """Commit all that is there; return the hash."""
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", subject, *options)
        return self.head

    @property
    def head(self) -> str:
        return self.git("rev-parse", "HEAD")

    def object(self, kind: str, content: bytes) -> str:
        """Store an object as it is, however wrong; return its hash."""
        return self.git("hash-object", "-w", "-t", kind, "--literally", "--stdin", content=content)

    def tree(self, *entries: tuple[str, bytes, str]) -> str:
        """Store a tree of (mode, name, hash), in that order, whatever git would say to it."""
        lines = (
            f"{mode} ".encode() + name + b"\0" + bytes.fromhex(identity)
            for mode, name, identity in entries
        )
        return self.object("tree", b"".join(lines))

    def commit_tree(self, tree: str, branch: str) -> str:
        """Make a branch of one commit of a tree."""
        made = self.git("commit-tree", "-m", "hostile", tree)
        self.git("update-ref", f"refs/heads/{branch}", made)
        return made

    def read(self, ref: str = "main", path: str | None = None, *, applied: str = "") -> Source:
        """Read it in place."""
        return read_source(SourceSetting(str(self.path), ref, path), applied or None)
