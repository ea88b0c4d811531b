"""Command lines that this program prints, so that they run as they stand."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

PROGRAM: Final = "mosaic federation"
_QUOTED: Final = re.compile(r"`(mosaic federation [^`]+)`")


def invocation(verb: str, operands: Iterable[str] = (), options: Iterable[str] = ()) -> str:
    """Return a command line as a shell takes it: options, then operands, quoted where they must be.

    `options` are words in pairs where they take a value.
    """
    words = list(operands)
    dashes = ["--"] if any(word.startswith("-") for word in words) else []
    quoted = shlex.join([*options, *dashes, *words]) if dashes else shlex.join([*words, *options])
    return f"{PROGRAM} {verb} {quoted}".rstrip()


def with_home(text: str, home: str | None) -> str:
    """Return a text whose quoted command lines act on the home that this command was given."""
    return _QUOTED.sub(lambda match: f"`{on_home(match[1], home)}`", text)


def on_home(line: str, home: str | None) -> str:
    """Return a command line that acts on that home; None: on the one that it finds itself."""
    if home is None or "--home" in line or not line.startswith(PROGRAM):
        return line
    if line.removeprefix(PROGRAM).split()[:1] == ["prepare"]:  # of a gateway without a home
        return line
    options, dashes, operands = line.partition(" -- ")
    return f"{options} --home {shlex.quote(home)}{dashes}{operands}"
