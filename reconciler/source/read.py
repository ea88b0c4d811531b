"""A source by its setting: where its manifests are, and reading them."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconciler.core.model.text import printable, without_credentials
from reconciler.core.setting_values import folder_options, is_url
from reconciler.core.source import FileIndex, Source
from reconciler.errors import NeedsEdit, Retry
from reconciler.source.directory import PAUSE_S, READINGS, read_directory
from reconciler.source.folder_listing import repository_of
from reconciler.source.folder_state import take_snapshot
from reconciler.source.names import refuse_dash

if TYPE_CHECKING:
    from reconciler.core.setting_values import SignatureSetting, SourceSetting

SETTLE_S: Final = 1.0  # without a change, before a checkout that git has locked is read


def read_source(
    setting: SourceSetting,
    applied: str | None = None,
    signatures: SignatureSetting | None = None,
    index: FileIndex | None = None,
) -> Source:
    """Return the files of a source; of a repository, with how it follows the `applied` commit.

    `signatures` asks for the commits since then, and who signed them. What is as the `index` has it
    is not read.

    Raises:
        NeedsEdit: `source_unreadable`.
        Retry: `source_unavailable`: a remote repository cannot be fetched.
    """
    refuse_dash(setting.location, "the source")
    if setting.is_git:
        # late, as below: a folder outside of any repository needs no git
        from reconciler.source.repository import read_repository  # noqa: PLC0415 - as above

        return read_repository(setting, applied, signatures, index or FileIndex())
    if signatures is not None:
        raise NeedsEdit(
            "config_invalid",
            "signatures are required, and a folder has no commits to judge",
            hint="read the repository itself: name its ref by --ref",
        )
    return _read_folder(folder_of(setting), index)


def _read_folder(folder: Path, index: FileIndex | None) -> Source:
    """Read a folder as it lies there; in a checkout, as git would take it.

    While git switches to another commit, manifests are missing that are in both: what is returned
    was read while it did not.

    Raises:
        Retry: `source_unavailable`: git changes the checkout each time that it is read.
    """
    if not folder.is_dir() or repository_of(str(folder)) is None:
        return read_directory(folder, index=index)
    from reconciler.source.git.worktree import Checkout, git_index  # noqa: PLC0415 - as above

    for reading in range(READINGS):
        time.sleep(PAUSE_S * reading)
        checkout = Checkout.of(folder)
        if checkout is None:
            return read_directory(folder, index=index)
        before = git_index(checkout)
        state = take_snapshot(folder) if before.locked else None
        ignored, submodules = checkout.ignored, checkout.submodules()
        source = read_directory(folder, submodules=submodules, ignored=ignored, index=index)
        if state is not None:  # by `git commit -a`, say, as long as its editor is open
            time.sleep(SETTLE_S)
        if git_index(checkout) == before and state in (None, take_snapshot(folder)):
            return replace(source, commit=checkout.commit, dirty=checkout.differs(source.files))
    raise Retry(
        "source_unavailable",
        f"git changed {folder} while it was read, {READINGS} times",
        hint="nothing was changed; run the command again when git has ended there",
    )


def folder_of(setting: SourceSetting) -> Path:
    """Return the folder of a source that is one.

    Raises:
        NeedsEdit: `config_invalid`: it is a git repository.
    """
    if setting.is_git:
        shown = printable(without_credentials(setting.location), 255)
        ref = f" (ref {setting.ref!r}, by {setting.ref_origin})" if setting.ref_origin else ""
        first = "clone it, and " if is_url(setting.location) else ""
        raise NeedsEdit(
            "config_invalid",
            f"the source {shown} is a git repository{ref}, and a folder is needed",
            hint=f"{first}name the folder: {folder_options(setting)}",
        )
    return Path(setting.location)
