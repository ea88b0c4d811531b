"""A folder of manifests, read with care: nothing outside it, nothing that could stall a read.

Where a link was repointed during the read, or the folder was replaced (the kubelet swaps `..data`
so), all of it is read again: what is returned is of one generation.
"""

from __future__ import annotations

import os
import shlex
import stat
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from reconciler.core.source import FileIndex, Source, SourceFile
from reconciler.errors import Retry
from reconciler.source.choice import NameKind, choose, counts, follow
from reconciler.source.folder_listing import FolderChanged, FolderListing
from reconciler.source.names import content_problem, refuse_total, unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Ignored = Callable[[list[str]], frozenset[str]]

READINGS: Final = 5
PAUSE_S: Final = 0.05  # before the second reading, and longer before each that follows
# A file that was written so shortly before it was read may be written again within the same tick of
# its file system's clock, with the same size: git's rule for its index (gitformat-index(5), racy).
RACY_NS: Final = 2_000_000_000

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def read_directory(
    root: Path,
    *,
    submodules: frozenset[str] = frozenset(),
    ignored: Ignored = lambda _: frozenset(),
    index: FileIndex | None = None,
) -> Source:
    """Return the `*.yaml` and `*.yml` files below `root`; names that begin with a dot are skipped.

    A link that ends at a regular file within is read as that file. Any other, a special file, one
    that is too large or whose name is easily mistaken becomes a problem of the source, beside those
    of the manifests. `submodules` are those that git knows; `ignored` picks what git ignores. A
    file whose stamp is that of the `index` is not read.

    Raises:
        NeedsEdit: `source_unreadable`: the folder is missing, is none, or cannot be read.
        Retry: `source_unavailable`: it changes each time that it is read.
    """
    for reading in range(READINGS):
        time.sleep(PAUSE_S * reading)
        try:
            return _read(root, submodules, ignored, index or FileIndex())
        except FolderChanged as change:
            last = change
    raise Retry(
        "source_unavailable",
        f"{root} changed while it was read, {READINGS} times: {last}",
        hint="nothing was changed; run the command again when nothing writes to it",
    )


def _read(root: Path, submodules: frozenset[str], ignored: Ignored, index: FileIndex) -> Source:
    settled_ns = time.time_ns() - RACY_NS
    with _opened(root) as top:
        listing = FolderListing(str(root), top, submodules, index.files)
        skipped = _skipped(listing, ignored)
        manifests, problems = choose(listing, str(root), ignored=skipped)
        files: list[SourceFile] = []
        total = 0
        for each in manifests:
            if not each.links and listing.unchanged(each.name):
                record = index.files[each.name]
                files.append(
                    SourceFile(each.name, record=record, load=partial(_load, root, each.name))
                )
                total += listing.stamps[each.name][2]
                continue
            content = listing.read(each.place)
            problem = content_problem(each.name, content)
            if problem is not None:
                problems.append(problem)
                continue
            assert content is not None
            total += len(content)
            refuse_total(str(root), total)
            file = SourceFile(each.name, content)
            if not each.links and max(listing.stamps[each.name][3:]) < settled_ns:
                file.stamp = listing.stamps[each.name]
            files.append(file)
        refuse_total(str(root), total)
        listing.refuse_changed()
    return Source(str(root), tuple(files), tuple(problems))


def _load(root: Path, name: str) -> bytes:
    """Read a file that was not read, because its content is needed all the same."""
    with _opened(root) as top:
        try:
            return FolderListing(str(root), top).read(name) or b""
        except FolderChanged:
            return b""  # which is not the content that is known


def _skipped(listing: FolderListing, ignored: Ignored) -> frozenset[str]:
    """Return the names that git ignores, of places that links lead to as well.

    Anything else that may not be looked into stops all.
    """
    wanted = [each for each in listing.entries() if counts(each)]
    links = (follow(listing, each.name) for each in wanted if each.kind is NameKind.LINK)
    places = [
        end.place for end in links if end.at in (NameKind.FILE, NameKind.FOLDER) and end.place
    ]
    skipped = ignored([*(each.name for each in wanted), *places, *listing.closed])
    for name, error in listing.closed.items():
        if name not in skipped:
            raise unreadable(f"{listing.root}/{name} cannot be read: {error.strerror}")
    return skipped


@contextmanager
def _opened(root: Path) -> Iterator[int]:
    try:
        if not stat.S_ISDIR(root.stat().st_mode):
            raise unreadable(f"{root} is not a folder")
        descriptor = os.open(root, _FOLDER)
    except FileNotFoundError:
        made = "" if root.suffix else f", or create it: `mkdir -p {shlex.quote(str(root))}`"
        raise unreadable(f"{root} does not exist", f"correct the path{made}") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise unreadable(f"{root} cannot be read: {reason}") from None
    try:
        yield descriptor
    finally:
        os.close(descriptor)
