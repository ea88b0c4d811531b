"""How the database is reached, as the settings say it: read again at each connect.

A file may be rewritten at any time, and a token may live for minutes.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final, NoReturn

from reconciler.config.definitions import BY_NAME, invalid
from reconciler.config.environment import read_secret
from reconciler.core.model.text import counted, printable, without_credentials
from reconciler.errors import Retry
from reconciler.process import Bounds, OutputTooLarge, ProcessTimeout, run_process

if TYPE_CHECKING:
    from pathlib import Path

    from reconciler.config.settings import Settings
    from reconciler.store.connection.conninfo import ConninfoSource

BOUNDS: Final = Bounds(seconds=15, output=64 * 1024, file=None)
SHOWN_LINES: Final = 3  # the last ones of standard error
_COMMAND: Final = BY_NAME["database_password_command"].variable


def database_source(settings: Settings) -> ConninfoSource | None:
    """Return libpq's text, or what reads it; None where PostgreSQL is the home's own.

    What reads it raises `NeedsEdit` (`config_invalid`) or `Retry` (`database_unavailable`).
    """
    url, command = settings.database_url, settings.database_password_command
    if url is None:
        return None
    assigned = settings.assigned["database_url"]
    if assigned.file is None and command is None:
        return url

    def read() -> str:
        text = read_secret(assigned.origin, assigned.file) if assigned.file is not None else url
        if command is None:
            return text
        from reconciler.store.connection.conninfo import with_password  # noqa: PLC0415 - it loads psycopg

        return with_password(text, _password(command, assigned.base))

    return read


def _password(command: tuple[str, ...], folder: Path) -> str:
    try:
        result = run_process(command, cwd=folder, env=os.environ, bounds=BOUNDS)
    except OSError as error:
        message = f"{printable(command[0], 255)!r} cannot be started: {error.strerror}"
        raise invalid(_COMMAND, message, "name a program that exists and can be run") from None
    except ProcessTimeout:
        _fail(f"it did not end within {BOUNDS.seconds:.0f} s")
    except OutputTooLarge:
        _fail(f"it printed more than {BOUNDS.output:,} bytes")
    if result.code != 0:
        how = f"exit code {result.code}" if result.code > 0 else f"signal {-result.code}"
        lines = result.errors.decode(errors="replace").strip().splitlines()[-SHOWN_LINES:]
        last = "; ".join(printable(without_credentials(line.strip()), 300) for line in lines)
        _fail(f"it failed with {how}: {last or 'nothing on standard error'}")
    passwords = result.output.splitlines()
    if len(passwords) != 1 or not passwords[0] or b"\0" in passwords[0]:
        message = f"it printed {counted(len(passwords), 'line')}, expected one, the password"
        raise invalid(_COMMAND, message, "it must print only the password, on standard output")
    try:
        return passwords[0].decode()
    except UnicodeDecodeError:
        message = "it printed text that is not UTF-8"
    raise invalid(_COMMAND, message, "it must print the password in UTF-8")


def _fail(reason: str) -> NoReturn:
    hint = f"run it by hand; {_COMMAND} is split into words as a shell does, and run by none"
    raise Retry("database_unavailable", f"{_COMMAND}: {reason}", hint=hint)
