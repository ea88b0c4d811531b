"""Standard output and error: open, able to say everything, and in JSON where the log is.

The one place that knows what a shell may do to them: close them (`>&-`), fill the disk below them,
or give them another encoding.
"""

from __future__ import annotations

import codecs
import io
import os
import re
import sys
from contextlib import suppress
from typing import Final, TextIO, cast

from reconciler.core.model.text import escaped
from reconciler.errors import Refused
from reconciler.log import JSON, json_event

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
        sys.stdin = os.fdopen(0, encoding="utf-8", closefd=False)
    sys.stdout = _Output(1, sys.stdout)
    sys.stderr = _Errors(2, sys.stderr)


def print_verbatim(text: str, stream: TextIO | None = None) -> None:
    """Print text as it is, controls included: the content of a file, or an event of the log."""
    stream = stream or sys.stdout
    write = stream.write_verbatim if isinstance(stream, _Stream) else stream.write
    write(text)


def announce(line: str) -> None:
    """Print a line of a process that goes on, whether or not anybody reads it."""
    try:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        close_output()


def print_events(log_format: str, *, output: bool = False) -> None:
    """Print each line on standard error as an event, if that is how events are logged.

    With `output`, on standard output too: one reader collects both.
    """
    for stream, wanted in ((sys.stderr, True), (sys.stdout, output)):
        if isinstance(stream, _Stream):
            stream.as_events = wanted and log_format == JSON


def errors_are_events() -> bool:
    """Tell whether lines on standard error are events."""
    return isinstance(sys.stderr, _Stream) and sys.stderr.as_events


def verbatim_errors() -> TextIO:
    """Return standard error for lines that are events already."""
    stream = sys.stderr
    return cast("TextIO", _Verbatim(stream)) if isinstance(stream, _Stream) else stream


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
            os.fdopen(descriptor, "wb", closefd=False),
            encoding=getattr(stream, "encoding", "utf-8"),
            errors=ESCAPE,
            line_buffering=descriptor == 2 or os.isatty(descriptor),  # as Python does
        )
        self.as_events = False
        self._begun = ""  # of a line that is not whole yet

    def write(self, text: str, /) -> int:
        if self.as_events:
            # a TypeError for octets, by which click knows a stream of text
            *lines, self._begun = (self._begun + text).split("\n")
            for line in lines:
                if line.strip():
                    self.write_verbatim(f"{json_event(line.strip())}\n")
            return len(text)
        parts = (text,) if text.isprintable() else _STYLE.split(text)
        for number, part in enumerate(parts):  # every second one is a colour
            super().write(part if number % 2 else escaped(part, "\n\t"))
        return len(text)

    def write_verbatim(self, text: str) -> None:
        """Write text as it is, controls included."""
        super().write(text)

    def flush(self) -> None:
        begun, self._begun = self._begun, ""
        if begun:  # a question: its line ends with the answer
            super().write(escaped(begun))
        super().flush()


class _Verbatim:
    """A stream for lines that are not to be changed."""

    def __init__(self, stream: _Stream) -> None:
        self.write, self.flush = stream.write_verbatim, stream.flush


class _Output(_Stream):
    """Standard output that says in one line that it cannot be written."""

    def write(self, text: str, /) -> int:
        try:
            return super().write(text)
        except OSError as error:
            raise _unwritable(error) from error

    def write_verbatim(self, text: str) -> None:
        try:
            super().write_verbatim(text)
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

    def write_verbatim(self, text: str) -> None:
        with suppress(OSError):
            super().write_verbatim(text)

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
