"""The settings that the environment holds: `MOSAIC_*`, and `MOSAIC_*_FILE` for secrets.

An empty variable is an unset one. What a platform injects for a Service or a linked container
whose name begins with `mosaic` is passed over.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from reconciler.config.definitions import PREFIX, SETTINGS, Assignment, invalid
from reconciler.core.spelling import edits, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FILE_SUFFIX: Final = "_FILE"
MAX_TYPO: Final = 2  # edits; the prefix is the platform's, so only a near miss is ours to refuse

# name and value, of Kubernetes (pkg/kubelet/envvars) and of Docker's links
_SERVICE_LINKS: Final = tuple(
    (re.compile(name, re.ASCII), re.compile(value, re.ASCII))
    for name, value in (
        (r".*_PORT(_[0-9]+_(TCP|UDP|SCTP))?", r"(tcp|udp|sctp)://\S+"),
        (r".*_PORT_[0-9]+_(TCP|UDP|SCTP)_PROTO", r"tcp|udp|sctp"),
        (r".*_PORT_[0-9]+_(TCP|UDP|SCTP)_(ADDR|PORT)", r".+"),
        (r".*_SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)", r".+"),
        (r".*_NAME", r"/[^/]+/[^/]+"),  # a link's: /<this container>/<alias>
        (r".*_ENV_.+", r"(?s:.+)"),  # a link's: the other container's variables
    )
)


def read_environment(environ: Mapping[str, str], cwd: Path) -> dict[str, Assignment]:
    """Return the settings of the environment by name; a secret is read from its file.

    Raises:
        NeedsEdit: `config_invalid`, naming the variable.
    """
    known = {setting.variable: setting for setting in SETTINGS}
    files = {s.variable + FILE_SUFFIX: s for s in SETTINGS if s.secret}
    given: dict[str, Assignment] = {}
    for variable, text in sorted(environ.items()):
        if not variable.startswith(PREFIX) or not text or _is_service_link(variable, text):
            continue
        setting = known.get(variable) or files.get(variable)
        if setting is None:
            _refuse_typo(variable, (*known, *files))
            continue
        if setting.name in given:
            raise invalid(variable, f"{given[setting.name].origin} is set too", "keep one of them")
        file = cwd / text if variable in files else None
        value = read_secret(variable, file) if file is not None else text
        given[setting.name] = Assignment(value, variable, cwd, file=file)
    return given


def _is_service_link(variable: str, text: str) -> bool:
    return any(name.fullmatch(variable) and value.fullmatch(text) for name, value in _SERVICE_LINKS)


def _refuse_typo(variable: str, known: tuple[str, ...]) -> None:
    close = [
        each
        for each in known
        if abs(len(each) - len(variable)) <= MAX_TYPO and edits(variable, each) <= MAX_TYPO
    ]
    if close:
        hint = f"did you mean {nearest(variable, close)}?"
        raise invalid(variable, "there is no such setting", hint)


def read_secret(variable: str, path: Path) -> str:
    """Return the text of the file that a variable names.

    Raises:
        NeedsEdit: `config_invalid`, naming both.
    """
    try:
        text = path.read_text("utf-8-sig").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise invalid(
            variable, f"{path} cannot be read: {reason}", "name a readable file"
        ) from None
    if not text:
        raise invalid(variable, f"{path} is empty", "write the value into it")
    return text
