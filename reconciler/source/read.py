"""A source by its setting: where its manifests are, and reading them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from reconciler.errors import NeedsEdit
from reconciler.source.directory import read_directory

if TYPE_CHECKING:
    from reconciler.core.files import Source
    from reconciler.core.values import SourceSetting


def read_source(setting: SourceSetting, applied: str | None = None) -> Source:
    """Return the files of a source; of a repository, with how it follows the `applied` commit.

    Raises:
        NeedsEdit: `source_unreadable`, or `config_invalid` for a git repository.
    """
    return read_directory(folder_of(setting))


def folder_of(setting: SourceSetting) -> Path:
    """Return the folder of a source that is one.

    Raises:
        NeedsEdit: `config_invalid`: it is a git repository.
    """
    if setting.is_git:
        raise NeedsEdit(
            "config_invalid",
            "MOSAIC_SOURCE names a git repository, and this version reads folders",
            hint="check it out, name the folder, and unset MOSAIC_REF",
        )
    return Path(setting.location)
