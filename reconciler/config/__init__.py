"""The settings: flags, then `MOSAIC_*` variables, then `mosaic.toml`; read once, at the top.

The table `SETTINGS` names every one, with what it means and how its text is read. Nothing below
this package reads the environment for a setting.
"""

from __future__ import annotations

from reconciler.config.database import database_source
from reconciler.config.definitions import SETTINGS, Setting
from reconciler.config.document import write_config
from reconciler.config.settings import (
    FIND_HOME,
    Settings,
    load_settings,
    require,
    require_repository,
    unstored_texts,
)

__all__ = [
    "FIND_HOME",
    "SETTINGS",
    "Setting",
    "Settings",
    "database_source",
    "load_settings",
    "require",
    "require_repository",
    "unstored_texts",
    "write_config",
]
