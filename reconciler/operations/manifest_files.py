"""Files of a source that are rewritten together with rows: all of them, or none."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.errors import Refused
from reconciler.files import replace_file
from reconciler.manifest.write import write_manifest
from reconciler.store.locks import locked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import timedelta
    from pathlib import Path

    from reconciler.store.db import Database, Tx


@dataclass(frozen=True, slots=True)
class Rewriting:
    """The contents of the files that change, by path below `folder`; absent `before`: a new one.

    A link stays one: what it leads to is rewritten.
    """

    folder: Path
    before: dict[str, bytes]
    after: dict[str, bytes]

    @contextmanager
    def with_rows(self, opened: Database, wait: timedelta) -> Iterator[Tx]:
        """Give a transaction that holds the lock; the files are written last, before its commit.

        Raises:
            Retry: `lock_held`.
            Refused: `plan_stale`: a file is not what was read. `name_taken`: a new one is there.
        """
        written = False
        try:
            with locked(opened, wait) as tx:
                yield tx
                self._write()
                written = True
        except BaseException:
            if written:
                self._undo(tuple(self.after))
            raise

    def _write(self) -> None:
        written: list[str] = []
        try:
            for path, content in sorted(self.after.items()):
                if path not in self.before:
                    write_manifest(self.folder / path, content.decode())
                else:
                    self._refuse_changed(path)
                    replace_file((self.folder / path).resolve(), content)
                written.append(path)
        except BaseException:
            self._undo(written)
            raise

    def _undo(self, paths: Sequence[str]) -> None:
        """Make files what they were."""
        for path in paths:
            if path in self.before:
                replace_file((self.folder / path).resolve(), self.before[path])
            else:
                (self.folder / path).unlink(missing_ok=True)

    def _refuse_changed(self, path: str) -> None:
        if (self.folder / path).read_bytes() != self.before[path]:
            raise Refused(
                "plan_stale",
                f"{path} has changed since it was read",
                hint="nothing was changed; run the command again",
            )
