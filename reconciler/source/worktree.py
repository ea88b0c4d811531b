"""The commit that a folder of manifests is checked out from, where a repository holds it.

The files are compared as they were read, not by `git status`: that would run the repository's
filters, and would call a manifest clean that git ignores and an apply would not.
"""

from __future__ import annotations

import functools
import hashlib
import logging
from typing import TYPE_CHECKING, Final

from reconciler.errors import MosaicError
from reconciler.source.faults import said
from reconciler.source.git import SHA1_HEX, run_git
from reconciler.source.history import COMMIT_WORDS, parse_commit
from reconciler.source.names import hidden, is_manifest
from reconciler.source.tree import entries

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from reconciler.core.commits import Commit
    from reconciler.core.files import SourceFile

_log = logging.getLogger(__name__)

_NONE: Final = ("not a git repository", "does not have any commits yet", "bad default revision")


def commit_of(root: Path, files: Sequence[SourceFile]) -> tuple[Commit | None, bool]:
    """Return the commit at HEAD of the checkout that holds `root`, and whether `files` differ.

    A folder that no repository holds has none; where git cannot tell, that is logged.
    """
    try:
        head = run_git((*COMMIT_WORDS, "--"), cwd=root)
        if head.code != 0:
            if not any(each in head.errors.decode("utf-8", "replace") for each in _NONE):
                _tell(root, said(head))
            return None, False
        commit = parse_commit(head.output)
        listed = run_git(("ls-tree", "-r", "-z", "-l", commit.id), cwd=root)
        if listed.code != 0:
            _tell(root, said(listed))
            return None, False
    except MosaicError as error:
        _tell(root, error.message)
        return None, False
    committed = {
        entry.name: entry.id
        for entry in entries(listed.output)
        if is_manifest(entry.name) and not hidden(entry.name)
    }
    found = {file.path: _blob_id(file.content, commit.id) for file in files}
    return commit, committed != found


@functools.cache
def _tell(root: Path, why: str) -> None:
    """Log it once a process: a loop reads again and again."""
    _log.warning("the commit of %s is not known: %s", root, why)


def _blob_id(content: bytes, like: str) -> str:
    """Return the hash under which git keeps a file, in the repository of the commit `like`."""
    algorithm = "sha1" if len(like) == SHA1_HEX else "sha256"
    header = f"blob {len(content)}\0".encode()
    return hashlib.new(algorithm, header + content, usedforsecurity=False).hexdigest()
