"""Standard input, output and error: open, able to say everything, and text on the way in.

The one place that knows what a shell may do to them: close them (`>&-`), fill the disk below them,
give them another encoding, or hand over bytes that are no UTF-8.
"""

from __future__ import annotations

import codecs
import io
import os
import re
import select
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from reconciler.core.model.text import escaped, printable
from reconciler.errors import NeedsEdit, Refused

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_INPUT: Final = 4 * 1024 * 1024  # octets of standard input, or of a file that an option names
MAX_LINE: Final = 4096  # octets: a terminal has no longer line, termios(3)
ESCAPE: Final = "mosaic.escape"  # the error handler of our outputs
_STYLE: Final = re.compile(r"(\x1b\[[0-9;]*m)")  # ECMA-48 8.3.117: colours, as click writes them
_PLAIN: Final = {"…": "...", "±": "+/-", "→": "->"}  # what we print beyond ASCII ourselves


def open_streams() -> None:
    """Make standard input, output and error fit to use, however this process was started."""
    for descriptor in (0, 1, 2):
        # a closed one would be given to the next file or socket, and be written to
        with suppress(OSError):
            os.fstat(descriptor)
            continue
        os.open(os.devnull, os.O_RDWR)
    codecs.register_error(ESCAPE, _escaped)
    if not sys.stdin:  # None where it was closed
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - it stays open
    sys.stdout = _Output(1, sys.stdout)
    sys.stderr = _Errors(2, sys.stderr)


def print_verbatim(text: str) -> None:
    """Print the content of a file as it is, controls included."""
    stream = sys.stdout
    if isinstance(stream, _Output):
        stream.write_verbatim(text)
    else:
        stream.write(text)


def close_output() -> None:
    """Let what is still to be written to standard output go nowhere: it cannot be written."""
    with suppress(OSError, ValueError):
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, sys.stdout.fileno())
        os.close(descriptor)


class _Stream(io.TextIOWrapper):
    """One of the process's own outputs, in the encoding that Python found for it.

    Its text holds no control but colours, tabs and ends of lines, whatever a command prints: this
    is the net below the places that escape foreign text.
    """

    def __init__(self, descriptor: int, stream: TextIO | None) -> None:
        super().__init__(
            open(descriptor, "wb", closefd=False),  # noqa: SIM115 - it stays open
            encoding=getattr(stream, "encoding", "utf-8"),
            errors=ESCAPE,
            line_buffering=descriptor == 2 or os.isatty(descriptor),  # as Python does
        )

    def write(self, text: str, /) -> int:
        parts = (text,) if text.isprintable() else _STYLE.split(text)
        for number, part in enumerate(parts):  # every second one is a colour
            super().write(part if number % 2 else escaped(part, "\n\t"))
        return len(text)


class _Output(_Stream):
    """Standard output that says in one line that it cannot be written."""

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError as error:
            raise _unwritable(error) from error

    def write_verbatim(self, text: str) -> None:
        """Write text as it is, controls included."""
        try:
            io.TextIOWrapper.write(self, text)
        except OSError as error:
            raise _unwritable(error) from error

    def flush(self) -> None:
        try:
            super().flush()
        except OSError as error:
            raise _unwritable(error) from error


class _Errors(_Stream):
    """Standard error, to which a failed write is ignored."""

    def write(self, text: str, /) -> int:
        with suppress(OSError):
            return super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()


def _unwritable(error: OSError) -> OSError | Refused:
    if isinstance(error, BrokenPipeError):  # who read it has seen enough, as `head -1` does
        return error
    close_output()
    return Refused(
        "output_unwritable",
        f"standard output cannot be written: {error.strerror}",
        hint="free some space there; the command's changes remain",
    )


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """Return what stands for characters that an encoding lacks, as JSON would write them."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end]
    return "".join(_PLAIN.get(each) or _json_escape(each) for each in missing), error.end


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    pairs = (units[at : at + 2].hex() for at in range(0, len(units), 2))
    return "".join(f"\\u{pair}" for pair in pairs)


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
        raise _unreadable("the working directory", error.strerror) from None
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


def read_line() -> str:
    """Return the next line that is typed at the terminal, or an empty text at its end.

    `input` loses a signal that arrives after Python last looked for one and before the read blocks:
    it waits for Enter. Here the signal's number is in a pipe by then, and `select` returns at once.
    """
    terminal = sys.stdin.fileno()
    numbers, writer = os.pipe()
    os.set_blocking(writer, False)
    former = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        while terminal not in select.select([terminal, numbers], [], [])[0]:
            os.read(numbers, 1)  # of a signal whose handler raised nothing
        return os.read(terminal, MAX_LINE).decode(errors="replace")
    finally:
        signal.set_wakeup_fd(former)
        os.close(numbers)
        os.close(writer)


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


def _unreadable(name: str, reason: str | None) -> NeedsEdit:
    hint = "name a readable file, and run the command again"
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
