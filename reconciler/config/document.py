"""`mosaic.toml`: the settings of a home."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Final

from reconciler.config.definitions import (
    BY_NAME,
    NOT_IN_HOME,
    PREFIX,
    SETTINGS,
    Assignment,
    invalid,
)
from reconciler.core.model.text import without_credentials
from reconciler.core.spelling import nearest
from reconciler.errors import OTHER_USER
from reconciler.files import replace_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from reconciler.config.home import Home


_HEADER: Final = re.compile(r"\s*\[\[?\s*[\w.-]+\s*\]\]?\s*(#.*)?$", re.ASCII)
TARGETS: Final = "notify"  # the tables of the targets of notices


def read_document(home: Home) -> dict[str, Assignment]:
    """Return the settings of a home by name.

    Raises:
        NeedsEdit: `config_invalid`, naming the file and the key.
    """
    try:
        document = tomllib.loads(_content(home))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        hint = OTHER_USER if isinstance(error, PermissionError) else "correct it"
        raise invalid(str(home.config), f"it cannot be read: {reason}", hint) from None
    document.pop(TARGETS, None)  # tables, which only those read who send notices
    known = tuple(each.name for each in SETTINGS if each.name not in NOT_IN_HOME)
    for key in document:
        if key not in known:
            name = key.lower().removeprefix(PREFIX.lower())  # of who writes a variable's name
            hint = f"did you mean {nearest(name, known)!r}?"
            raise invalid(str(home.config), f"there is no setting {key!r}", hint)
    return {
        key: Assignment(
            _toml_text(home, key, value), f"{home.config}: {key}", home.path.parent, stored=True
        )
        for key, value in document.items()
    }


def _content(home: Home) -> str:
    return home.config.read_text("utf-8-sig")  # some editors begin a file with a byte order mark


def _toml_text(home: Home, key: str, value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ",".join(value)
    raise invalid(f"{home.config}: {key}", f"got {value!r}, expected text", "write it in quotes")


def change_config(home: Home, values: Mapping[str, str]) -> None:
    """Give settings of `mosaic.toml` other values, and leave every other line as it is.

    Raises:
        NeedsEdit: `config_invalid`: a setting is not on a line of its own there.
    """
    before = _content(home)
    text = changed_text(before, values)
    if text is None:
        names = ", ".join(values)
        message = f"{names} cannot be changed here: each must be on a line of its own"
        hint = "write each on one line, then run the command again"
        raise invalid(str(home.config), message, hint)
    if tomllib.loads(text) != tomllib.loads(before):
        replace_file(home.config, text.encode())


def changed_text(before: str, values: Mapping[str, str]) -> str | None:
    """Return a document with other values, or None if one is not on a line of its own."""
    lines = before.splitlines(keepends=True)
    for name, value in values.items():
        line = f"{name} = {_quoted(value)}"
        # what follows the first header belongs to its table
        end = next((i for i, text in enumerate(lines) if _HEADER.match(text)), len(lines))
        own = [i for i, text in enumerate(lines[:end]) if key_pattern(name).match(text)]
        if own:
            comment = re.search(r"""["']\s*(#.*)$""", lines[own[0]].rstrip("\r\n"))
            lines[own[0]] = f"{line}  {comment[1]}\n" if comment else f"{line}\n"
        else:
            lines.insert(end, f"\n{line}\n")
    text = "".join(lines)
    has = _parsed(before)
    return text if has is not None and _parsed(text) == {**has, **values} else None


def key_pattern(name: str) -> re.Pattern[str]:
    """Return what matches the beginning of a line that sets a key."""
    return re.compile(rf"""\s*(?P<quote>["']?){name}(?P=quote)\s*=""")


def _parsed(text: str) -> dict[str, object] | None:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:  # an old value was not whole on its line
        return None


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def stored_line(name: str, value: str) -> str:
    """Return the line of `mosaic.toml` that sets a setting."""
    return f"{name} = {_quoted(value)}"


def write_config(path: Path, settings: Mapping[str, str]) -> None:
    """Write `mosaic.toml`, each value with what it means above it; whole or not at all.

    Only its owner may read one whose source holds a password.
    """
    lines = ["# The settings of this gateway. A flag or a MOSAIC_* variable overrides a line.\n"]
    for name, value in settings.items():
        lines.append(f"\n# {BY_NAME[name].meaning}\n{stored_line(name, value)}\n")
    source = settings.get("source", "")
    mode = 0o644 if without_credentials(source) == source else 0o600
    replace_file(path, "".join(lines).encode(), mode)
