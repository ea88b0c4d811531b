"""The checkout that holds a folder of manifests: its commit, and what git knows of the files.

The files are compared as they were read, not by `git status`, which would run the repository's
filters. Line ends do not count, nor what stands in `$Id$`: a checkout may have its own
(`text eol=crlf`, `core.autocrlf`, `ident`).
"""

from __future__ import annotations

import functools
import hashlib
import logging
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconciler.core.model.text import counted, printable
from reconciler.core.source import MAX_FILE
from reconciler.errors import NeedsEdit
from reconciler.source.choice import NameKind, choose
from reconciler.source.git.command import SHA1_HEX, Repository, run_git
from reconciler.source.git.errors import error_summary
from reconciler.source.git.history import COMMIT_WORDS, parse_commit
from reconciler.source.git.objects import read_blobs
from reconciler.source.git.tree import TreeListing
from reconciler.source.names import hidden, is_manifest, unreadable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reconciler.core.model.commits import Commit
    from reconciler.core.source import SourceFile
    from reconciler.source.git.objects import Row

_log = logging.getLogger(__name__)

_NONE: Final = ("does not have any commits yet", "bad default revision")
_IDENT: Final = re.compile(rb"\$Id:[^$\n]*\$")  # gitattributes(5), ident
_LOOK: Final = "see what `git status` says there, or read the commit itself: name it by --ref"
_SHOWN: Final = 5  # names that a message has


@dataclass(frozen=True, slots=True)
class CheckoutLocation:
    """Where a path lies in a repository: `prefix` with a `/` at the end, empty for the top."""

    repository: Repository
    prefix: str
    in_work_tree: bool


def locate(path: Path) -> CheckoutLocation | None:
    """Return the repository that holds a folder, and the folder's place in it; None where none.

    Raises:
        NeedsEdit: `source_unreadable`: git cannot read it, or it is not in the repository's tree.
    """
    options = (
        "--is-inside-work-tree",
        "--is-bare-repository",
        "--absolute-git-dir",
        "--show-prefix",
    )
    result = run_git(("rev-parse", *options), cwd=path)
    if result.code != 0:
        if b"not a git repository" in result.errors:
            return None
        raise unreadable(f"{path} cannot be read by git: {error_summary(result)}")
    inside, bare, folder, prefix, *_ = result.output.decode("utf-8", "surrogateescape").split("\n")
    top = Path(folder).parent
    if inside == "false" and bare == "false" and path.resolve() not in (top, Path(folder)):
        raise NeedsEdit(
            "source_unreadable",
            f"{path} is outside of the work tree that its repository names (core.worktree)",
            hint=f"name the repository, {top}, and the folder within by --path",
        )
    return CheckoutLocation(Repository(Path(folder)), prefix, inside == "true")


@dataclass(frozen=True, slots=True)
class Checkout:
    """The checkout that holds the folder `root`: its commit at HEAD, and what that has there.

    Its methods raise `source_unreadable` if git fails: what it leaves out and ignores is not known.
    """

    root: Path
    commit: Commit
    listing: TreeListing

    @classmethod
    def of(cls, root: Path) -> Checkout | None:
        """Return the checkout that holds a folder; None where none does.

        So it is where git does not find out whether one does, which is logged.

        Raises:
            NeedsEdit: `source_unreadable`: git cannot read its commit.
            Retry: `source_unavailable`: git takes too long, or is killed, as at the end of a loop.
        """
        try:
            location = locate(root)
        except NeedsEdit as error:
            _warn(root, error.message)
            return None
        if location is None or not location.in_work_tree:
            return None
        head = location.repository.ask(*COMMIT_WORDS, "--")
        if head.code != 0:
            if any(each in head.errors.decode("utf-8", "replace") for each in _NONE):
                return None
            raise unreadable(f"{root} cannot be read by git: {error_summary(head)}", _LOOK)
        commit = parse_commit(head.output)
        tree = location.repository.object(f"{commit.id}:{location.prefix.rstrip('/')}")
        if tree is None:  # it has no such folder, or git fails here
            location.repository.run("ls-tree", commit.id, "--", location.prefix.rstrip("/"))
        listing = TreeListing(location.repository, tree or "", commit.id, location.prefix)
        listing.entries()
        return cls(root, commit, listing)

    def submodules(self) -> frozenset[str]:
        """Return the submodules in the folder, whether or not they are filled."""
        if not any(each.kind is NameKind.SUBMODULE for each in self.listing.entries()):
            return frozenset()
        tracked = (record.partition("\t") for record in self._ask("ls-files", "--stage", "-z"))
        modules = (name for facts, _, name in tracked if facts.startswith("160000 "))
        return frozenset(name for name in modules if not hidden(name))

    def ignored(self, names: list[str]) -> frozenset[str]:
        """Return which of some names the repository ignores and does not hold.

        It ignores none where it holds nothing of the folder, which is not its own then.
        """
        entries = self.listing.entries()
        tracked = {each.name for each in entries}
        unknown = [name for name in names if name not in tracked]
        if not entries or not unknown:
            return frozenset()
        named = "".join(f"./{name}\0" for name in unknown).encode("utf-8", "surrogateescape")
        # it takes no literal pathspecs; "./" keeps a name from being a magic one
        printed = self._ask("check-ignore", "-z", "--stdin", content=named, literal=False)
        ignored = frozenset(each.removeprefix("./") for each in printed)
        passed = sorted(filter(is_manifest, ignored))
        if passed:
            _note_ignored(self.root, tuple(passed))
        return ignored

    def differs(self, files: Sequence[SourceFile]) -> bool:
        """Tell whether the manifests that were read are not those of the commit.

        Raises:
            NeedsEdit: `source_unreadable`: a sparse checkout leaves manifests out.
        """
        read = {each.path: each for each in files}
        try:
            manifests, problems = choose(self.listing, str(self.root))
        except NeedsEdit:  # the commit could not be read itself
            return True
        committed = {each.name: self.listing.row(each.place) for each in manifests}
        self._refuse_sparse(sorted(committed.keys() - read.keys()))
        return bool(problems) or committed.keys() != read.keys() or self._changed(committed, read)

    def _changed(self, committed: dict[str, Row], read: dict[str, SourceFile]) -> bool:
        """Tell whether a file is another one, but for what a checkout writes into it."""
        changed = [
            (row, read[name])
            for name, row in committed.items()
            if _blob_id(read[name], self.commit.id) != row.id
        ]
        if any(row.size > MAX_FILE for row, _ in changed):
            return True
        try:
            blobs = read_blobs(self.listing.repository, [row for row, _ in changed])
        except NeedsEdit:  # a partial clone lacks it
            return True
        return any(
            _as_committed(blob) != _as_committed(file.content)
            for blob, (_, file) in zip(blobs, changed, strict=True)
        )

    def _refuse_sparse(self, missing: list[str]) -> None:
        """Raise where manifests are not there because the checkout is a sparse one.

        They were not removed: a read without them would revoke what they declare.
        """
        if not missing:
            return
        tagged = (record.partition(" ") for record in self._ask("ls-files", "-t", "-z"))
        skipped = {name for tag, _, name in tagged if tag == "S"}
        left_out = [printable(name) for name in missing if name in skipped]
        if left_out:
            shown = ", ".join(left_out[:_SHOWN]) + (", …" if len(left_out) > _SHOWN else "")
            raise NeedsEdit(
                "source_unreadable",
                f"a sparse checkout leaves out {counted(len(left_out), 'manifest')}: {shown}",
                hint="git sparse-checkout disable, or read the commit itself: name it by --ref",
            )

    def _ask(
        self,
        *words: str,
        content: bytes | None = None,
        literal: bool = True,
    ) -> list[str]:
        """Return what git prints of the folder, by NUL."""
        env = {"GIT_LITERAL_PATHSPECS": str(int(literal))}
        result = run_git(words, cwd=self.root, env=env, content=content)
        if result.code not in (0, 1):  # check-ignore: none is ignored
            raise unreadable(f"{self.root} cannot be read by git: {error_summary(result)}", _LOOK)
        return [
            each for each in result.output.decode("utf-8", "surrogateescape").split("\0") if each
        ]


@dataclass(frozen=True, slots=True)
class GitIndex:
    """Which file the index of a checkout is, and whether git has it locked.

    Git locks it before it changes files of the checkout, and then puts another one in its place.
    """

    stamp: tuple[int, ...]
    locked: bool


def git_index(checkout: Checkout) -> GitIndex:
    """Return the index of a checkout as it is now."""
    folder = checkout.listing.repository.folder
    stamp: tuple[int, ...] = ()
    with suppress(OSError):  # a checkout may have none, as that of no file
        status = (folder / "index").stat()
        stamp = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return GitIndex(stamp, (folder / "index.lock").exists())


@functools.cache
def _warn(root: Path, why: str) -> None:
    """Log it once a process: a loop reads again and again."""
    _log.warning("the commit of %s is not known: %s", root, why)


@functools.cache
def _note_ignored(root: Path, names: tuple[str, ...]) -> None:
    shown = ", ".join(printable(name) for name in names[:_SHOWN])
    more = ", …" if len(names) > _SHOWN else ""
    _log.warning("%s: git ignores %s%s, so they are not read", root, shown, more)


def _as_committed(content: bytes) -> bytes:
    return _IDENT.sub(b"$Id$", content.replace(b"\r\n", b"\n"))


def _blob_id(file: SourceFile, like: str) -> str:
    """Return the hash under which git keeps a file, in the repository of the commit `like`."""
    if file.blob is None or len(file.blob) != len(like):
        algorithm = "sha1" if len(like) == SHA1_HEX else "sha256"
        content = b"blob %d\0%b" % (len(file.content), file.content)
        file.blob = hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()
    return file.blob
