"""A source by its setting: where its manifests are, and reading them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.core.model.text import printable, without_credentials
from reconciler.core.setting_values import folder_options, is_url
from reconciler.core.source import FileIndex, Source
from reconciler.errors import NeedsEdit
from reconciler.source.directory import read_directory
from reconciler.source.folder_listing import repository_of
from reconciler.source.names import refuse_dash

if TYPE_CHECKING:
    from reconciler.core.setting_values import SignatureSetting, SourceSetting


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
    """Read a folder as it lies there; in a checkout, as git would take it."""
    checkout = None
    if folder.is_dir() and repository_of(str(folder)) is not None:
        from reconciler.source.git.worktree import Checkout  # noqa: PLC0415 - as above

        checkout = Checkout.of(folder)
    if checkout is None:
        return read_directory(folder, index=index)
    submodules = checkout.submodules()
    source = read_directory(folder, submodules=submodules, ignored=checkout.ignored, index=index)
    return replace(source, commit=checkout.commit, dirty=checkout.differs(source.files))


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
