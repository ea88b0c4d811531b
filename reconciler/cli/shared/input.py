"""Text on the way in: standard input, files that options name, arguments and the environment.

The one place that knows what may be handed over: bytes that are no UTF-8, or too many of them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reconciler.core.model.text import printable
from reconciler.errors import NeedsEdit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_INPUT: Final = 4 * 1024 * 1024  # octets of standard input, or of a file that an option names


def is_text(word: str) -> bool:
    """Tell whether a word of the command line or the environment was UTF-8 (PEP 383)."""
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


def require_text(arguments: Sequence[str], environ: Mapping[str, str]) -> None:
    """Refuse arguments and settings that are not UTF-8.

    Raises:
        NeedsEdit: `usage`, naming the option, the argument or the variable.
    """
    for number, word in enumerate(arguments):
        if not is_text(word):
            raise not_utf8(_argument(arguments, number), f"got {_bytes(word)}")
    for name, value in environ.items():
        if name.startswith("MOSAIC_") and not is_text(value):
            raise not_utf8(name, f"got {_bytes(value)}")


def working_directory() -> Path:
    """Return the folder that this process runs in.

    Raises:
        NeedsEdit: `usage`: it is gone, or its path is not UTF-8.
    """
    try:
        folder = Path.cwd()
    except OSError as error:
        hint = "change to a folder that exists, and run the command again"
        raise _unreadable("the working directory", error.strerror, hint) from None
    if not is_text(str(folder)):
        raise not_utf8("the working directory", f"got {_bytes(str(folder))}")
    return folder


def not_utf8(name: str, detail: str) -> NeedsEdit:
    """Return the error of a text that is not UTF-8; `name` says where it stands."""
    return NeedsEdit(
        "usage",
        f"{name}: {detail}, which is not UTF-8 text",
        hint="write it in UTF-8; `iconv -f latin1 -t utf-8` converts Latin-1",
    )


def read_standard_input(name: str) -> str:
    """Return all of standard input as text; `name` is what takes it, such as `--scope`.

    Raises:
        NeedsEdit: `usage`: it is not UTF-8, cannot be read, or is too large.
    """
    return _decoded(f"{name}: standard input", read_standard_octets(name))


def read_standard_octets(name: str) -> bytes:
    """Return standard input as it comes, at most one octet more than `MAX_INPUT`.

    Raises:
        NeedsEdit: `usage`: it cannot be read.
    """
    stream = getattr(sys.stdin, "buffer", None)
    try:
        return stream.read(MAX_INPUT + 1) if stream else sys.stdin.read(MAX_INPUT + 1).encode()
    except OSError as error:
        raise _unreadable(f"{name}: standard input", error.strerror) from None


def read_text_file(name: str, path: Path) -> str:
    """Return the text of a file that the option or argument `name` names.

    Raises:
        NeedsEdit: `usage`: it is not UTF-8, or too large. OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return _decoded(f"{name}: {printable(str(path), 255)!r}", file.read(MAX_INPUT + 1))


def _decoded(name: str, content: bytes) -> str:
    if len(content) > MAX_INPUT:
        raise _unreadable(name, f"it is larger than {MAX_INPUT // 1024 // 1024} MiB")
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = content[error.start]
        raise not_utf8(name, f"got the byte 0x{byte:02x} in line {line}") from None


def _unreadable(
    name: str, reason: str | None, hint: str = "name a readable file, and run the command again"
) -> NeedsEdit:
    return NeedsEdit("usage", f"{name} cannot be read: {reason}", hint=hint)


def _argument(arguments: Sequence[str], number: int) -> str:
    word = arguments[number]
    if word.startswith("--") and "=" in word:
        option = word.partition("=")[0]
        return printable(option) if is_text(option) else f"argument {number + 1}"
    before = arguments[number - 1] if number else ""
    is_option = before.startswith("-") and before not in ("-", "--") and "=" not in before
    return before if is_option and not word.startswith("-") else f"argument {number + 1}"


def _bytes(word: str) -> str:
    content = os.fsencode(word)[:60].decode(errors="backslashreplace")
    return f"'{printable(content)}'"
