"""A file that a command writes together with rows."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from reconciler.errors import NeedsEdit, Refused
from reconciler.files import USERS, remedy, replace_file, write_new

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class FileChange:
    """The new content of a file in `folder`; `before` is the old one, None where it is new.

    A link stays one: what it leads to is rewritten. `option` is the one that named the folder, and
    `if_taken` is the hint where a new file is there already. Only its owner reads a `private` one.
    """

    folder: Path
    path: str
    before: bytes | None
    after: bytes
    option: str = ""
    if_taken: str = "edit it, or choose another name"
    private: bool = False

    @property
    def place(self) -> Path:
        """The file itself, wherever links lead to."""
        path = self.folder / self.path
        return path if self.before is None else path.resolve()

    def refuse_changed(self) -> None:
        """Raise where the file is not what the change was made for.

        Raises:
            Refused: `plan_stale`; `name_taken`: the new file is there.
        """
        if self.before is None:
            if os.path.lexists(self.place):
                raise self.taken()
        elif self.place.read_bytes() != self.before:
            raise Refused(
                "plan_stale",
                f"{self.path} has changed since it was read",
                hint="nothing was changed; run the command again",
            )

    def write(self, temporary: str) -> None:
        """Put the new content in place.

        Raises:
            Refused: as `refuse_changed`. NeedsEdit: it cannot be written.
        """
        try:
            self.refuse_changed()
            if self.before is not None:
                replace_file(self.place, self.after, temporary=temporary)
                return
            mode = 0o600 if self.private else USERS
            if not write_new(self.place, self.after, mode, temporary=temporary):
                raise self.taken()
        except OSError as error:
            raise self.unwritable(error) from None

    def taken(self) -> Refused:
        """Return the refusal of a new file that is there already."""
        message = f"{self.folder / self.path} exists already; nothing was changed"
        return Refused("name_taken", message, hint=self.if_taken)

    def unwritable(self, error: OSError) -> NeedsEdit:
        """Return what to raise where the file cannot be written."""
        option = f"{self.option}: " if self.option else ""
        path = self.folder / self.path
        message = f"{option}{path} cannot be written: {error.strerror}; nothing was changed"
        return NeedsEdit("value_invalid", message, hint=remedy(error))
