"""The targets of notices: the `[[notify]]` tables of `mosaic.toml`, or of `MOSAIC_NOTIFY_FILE`."""

from __future__ import annotations

import re
import tomllib
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from reconciler.clients.notices import HOW_TO_SIGN, is_url
from reconciler.config.definitions import BY_NAME, invalid
from reconciler.config.document import TARGETS
from reconciler.core.model.spec import NAME_PATTERN
from reconciler.core.model.text import printable
from reconciler.core.notices.model import FILTERABLE
from reconciler.core.notices.target import Target, TargetKind
from reconciler.core.spelling import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from reconciler.config.settings import Settings
    from reconciler.errors import NeedsEdit

_NAME: Final = re.compile(NAME_PATTERN)
_REPOSITORY: Final = re.compile(r"[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)+", re.ASCII)
_FILES: Final = ("url_file", "secret_file", "token_file", "ca_file")
_KEYS: Final = ("name", "kind", "url", *_FILES, "repository", "context", "events")
_OF_FORGES: Final = ("token_file", "repository", "context")
_KINDS: Final = tuple(map(str, TargetKind))
_EVENTS: Final = tuple(map(str, FILTERABLE))


def read_targets(settings: Settings) -> tuple[Target, ...]:
    """Return the targets that the settings name, those of the file if there is one.

    Raises:
        NeedsEdit: `config_invalid`, naming the file, the table and the key.
    """
    if settings.notify_file is not None:
        file, base = settings.notify_file, settings.notify_file.parent
        document = _load(settings.origin_of("notify_file"), file)
        for key in document:
            if key != TARGETS:
                hint = f"this file holds nothing but [[{TARGETS}]] tables"
                raise invalid(str(file), f"there is no key {printable(key)!r}", hint)
    elif settings.home is not None and settings.home.config.is_file():
        file, base = settings.home.config, settings.home.path.parent
        document = _load(str(file), file)
    else:
        return ()
    tables = document.get(TARGETS, [])
    if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
        raise invalid(f"{file}: {TARGETS}", "expected tables", f"begin each with [[{TARGETS}]]")
    targets: list[Target] = []
    for number, table in enumerate(tables, 1):
        target = _Table(f"{file}: {TARGETS} {number}", table, base).target()
        if target.name in {each.name for each in targets}:
            message = f"the name {target.name!r} is taken by another target"
            raise invalid(f"{file}: {TARGETS} {number}: name", message, "give each its own")
        targets.append(target)
    return tuple(targets)


def _load(origin: str, file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise invalid(origin, f"{file} cannot be read: {reason}", "correct it") from None


class _Table:
    """One `[[notify]]` table; `where` names it in errors."""

    def __init__(self, where: str, table: dict[str, Any], base: Path) -> None:
        self._where, self._table, self._base = where, table, base

    def target(self) -> Target:
        """Return the target, every key of it checked."""
        self._refuse_unknown()
        name = self._match("name", _NAME, "a name such as platform-chat: a-z, 0-9 and -")
        self._where = f"{self._where} ({name})"
        kind = TargetKind(self._one_of("kind", self._text("kind"), _KINDS))
        self._refuse_unused(kind)
        files = {
            key: str(self._base / self._text(key)) if key in self._table else None for key in _FILES
        }
        if kind is TargetKind.JSON and files["secret_file"] is None:
            hint = f"name a file with a secret; {HOW_TO_SIGN}"
            raise self._invalid("secret_file", "it is missing: a json target is signed", hint)
        if kind.is_forge and files["token_file"] is None:
            hint = "name the file of a token that may set commit statuses"
            raise self._invalid("token_file", "it is missing", hint)
        forge = {}
        if kind.is_forge:
            expected = "the path of a repository, such as platform/grants"
            forge["repository"] = self._match("repository", _REPOSITORY, expected)
            if "context" in self._table:
                context = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,98}[\x21-\x7e])?")
                forge["context"] = self._match("context", context, "up to 100 printable characters")
        target = Target(name, kind, self._url(), filter=self._events(), **forge)
        url_file, secret_file, token_file, ca_file = files.values()
        return replace(
            target,
            url_file=url_file,
            secret_file=secret_file,
            token_file=token_file,
            ca_file=ca_file,
        )

    def _refuse_unknown(self) -> None:
        for key in self._table:
            if key in _KEYS:
                continue
            hint = f"did you mean {nearest(key, _KEYS)!r}?"
            if key in BY_NAME:
                hint = f"write the setting {key} above the first [[{TARGETS}]]"
            raise self._invalid(key, "there is no such key of a target", hint)

    def _refuse_unused(self, kind: TargetKind) -> None:
        unused = {
            *(() if kind.is_forge else _OF_FORGES),
            *(() if kind is TargetKind.JSON else ("secret_file",)),
            *(("events", "url_file") if kind.is_forge else ()),
        }
        for key in sorted(unused & self._table.keys()):
            raise self._invalid(key, f"a target of kind {kind} has no such key", "remove it")

    def _url(self) -> str | None:
        if "url_file" in self._table:
            if "url" in self._table:
                raise self._invalid("url_file", "url is set too", "keep one of them")
            return None
        if "url" not in self._table:
            hint = "write url, or url_file if the URL is a secret, as those of chats are"
            raise self._invalid("url", "it is missing", hint)
        url = self._text("url")
        if not is_url(url):
            # the URL of a chat is a secret, so it is not shown
            raise self._invalid("url", "expected https://host/path", "targets are reached by https")
        return url

    def _events(self) -> tuple[str, ...]:
        if "events" not in self._table:
            return ()
        events = self._table["events"]
        if not isinstance(events, list) or not events:
            hint = f"such as [{', '.join(f'{each!r}' for each in _EVENTS[:3])}]; without it: all"
            raise self._invalid("events", "expected a list of events", hint)
        for each in events:
            self._one_of("events", each, _EVENTS)
        return tuple(dict.fromkeys(events))

    def _text(self, key: str) -> str:
        value = self._table.get(key)
        if value is None:
            raise self._invalid(key, "it is missing", f'write {key} = "…"')
        if not isinstance(value, str) or not value.strip() or not value.isprintable():
            raise self._invalid(key, f"got {type(value).__name__}, expected text", "correct it")
        return value

    def _match(self, key: str, pattern: re.Pattern[str], expected: str) -> str:
        value = self._text(key)
        if not pattern.fullmatch(value):
            raise self._invalid(key, f"got {printable(value)!r}, expected {expected}", "correct it")
        return value

    def _one_of(self, key: str, value: object, known: Iterable[str]) -> str:
        names = tuple(known)
        if not isinstance(value, str) or value not in names:
            message = f"{printable(str(value))!r} is not one of {', '.join(names)}"
            raise self._invalid(key, message, f"did you mean {nearest(str(value), names)!r}?")
        return value

    def _invalid(self, key: str, message: str, hint: str) -> NeedsEdit:
        return invalid(f"{self._where}: {printable(key)}", message, hint)
