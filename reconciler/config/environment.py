"""The settings that the environment holds: `MOSAIC_*`, and `MOSAIC_*_FILE` for secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from reconciler.config.table import PREFIX, SETTINGS, Assignment, invalid
from reconciler.core.words import edits, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FILE_SUFFIX: Final = "_FILE"
MAX_TYPO: Final = 2  # edits; the prefix is the platform's, so only a near miss is ours to refuse


def read_environment(environ: Mapping[str, str], cwd: Path) -> dict[str, Assignment]:
    """Return the settings of the environment by name; a secret is read from its file.

    Raises:
        NeedsEdit: `config_invalid`, naming the variable.
    """
    known = {setting.variable: setting for setting in SETTINGS}
    files = {s.variable + FILE_SUFFIX: s for s in SETTINGS if s.secret}
    given: dict[str, Assignment] = {}
    for variable in sorted(name for name in environ if name.startswith(PREFIX)):
        setting = known.get(variable) or files.get(variable)
        if setting is None:
            _refuse_typo(variable, (*known, *files))
            continue
        if setting.name in given:
            raise invalid(variable, f"{given[setting.name].origin} is set too", "keep one of them")
        text = environ[variable]
        if variable in files:
            text = _secret_of(variable, cwd / text)
        given[setting.name] = Assignment(text, variable, cwd)
    return given


def _refuse_typo(variable: str, known: tuple[str, ...]) -> None:
    close = nearest(variable, known)
    if edits(variable, close) <= MAX_TYPO:
        raise invalid(variable, "there is no such setting", f"did you mean {close}?")


def _secret_of(variable: str, path: Path) -> str:
    try:
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise invalid(
            variable, f"{path} cannot be read: {reason}", "name a readable file"
        ) from None
    if not text:
        raise invalid(variable, f"{path} is empty", "write the value into it")
    return text
