"""Logging: one line an event on standard error, as text or as JSON, with what the event is about.

What that is (a peer, a grant, a request, a trace) is bound once, and stands in each line that is
logged within. No line holds a secret: of an error it has the first line alone, as a database prints
the row behind it.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, TextIO, TypedDict, Unpack

from reconciler.core.model.text import escaped, printable, without_credentials
from reconciler.errors import MosaicError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from reconciler.core.trace import TraceContext

LEVELS: Final = ("debug", "info", "warning", "error")
LOG_FORMATS: Final = ("text", "json")
TEXT, JSON = LOG_FORMATS
ROOT: Final = "reconciler"  # the logger of all our modules
PROGRAM: Final = "mosaic"  # the logger of what a command prints beside its log
MAX_CHAIN: Final = 8  # exceptions of one traceback
MAX_ERROR: Final = 500  # characters of the first line of an error


class Names(TypedDict, total=False):
    """What a line can be about."""

    peer: str
    grant: str
    correlation_id: str
    trace: TraceContext | None


_NOTHING: Final = Names()
_context: ContextVar[Names] = ContextVar("log_context", default=_NOTHING)


@contextmanager
def about(**names: Unpack[Names]) -> Iterator[None]:
    """Bind names to each line that is logged within, and so what `bind` adds within."""
    token = _context.set({**_context.get(), **names})
    try:
        yield
    finally:
        _context.reset(token)


@contextmanager
def about_request(correlation_id: str, trace: TraceContext | None) -> Iterator[None]:
    """Bind what names a request, and nothing of the one that it was pipelined behind."""
    with about(correlation_id=correlation_id, trace=trace, peer="", grant=""):
        yield


def bind(**names: Unpack[Names]) -> None:
    """Bind names to each line that is logged from now on, until the enclosing `about` ends.

    Outside of any, there is nothing that would end it, and so nothing is bound.
    """
    if _context.get() is not _NOTHING:
        _context.set({**_context.get(), **names})


def current_trace() -> TraceContext | None:
    """Return the trace of the request that is served now, if it has one."""
    return _context.get().get("trace")


def configure(level: str, log_format: str = TEXT, stream: TextIO | None = None) -> None:
    """Log from `level` (one of `LEVELS`) on; libraries from warnings on."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_JsonLine() if log_format == JSON else _TextLine())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger(ROOT).setLevel(level.upper())


def read_log_format(text: str) -> str:
    """Return `text` or `json`; raise `ValueError` else."""
    if text not in LOG_FORMATS:
        raise ValueError("expected text or json")
    return text


def json_event(message: str, level: int = logging.INFO, **more: str | None) -> str:
    """Return the line of an event that is no record of a logger: what a command prints."""
    now = datetime.now(UTC)
    return _json_line(now, level, PROGRAM, {"msg": message, **more})


def traceback_text(error: BaseException) -> str:
    """Return the traceback of an error and of its causes, the first of them first."""
    return "".join(
        "Traceback (most recent call last):\n"
        f"{''.join(traceback.format_tb(each.__traceback__))}"
        f"{type(each).__name__}: {first_line(each)}\n"
        for each in reversed(list(_chain(error)))
    )


def first_line(error: BaseException) -> str:
    """Return the first line of an error: the further ones of a database's error print the row."""
    return printable(without_credentials(str(error).strip().partition("\n")[0]), MAX_ERROR)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes."""
    following: BaseException | None = error
    for _ in range(MAX_CHAIN):
        if following is None:
            return
        yield following
        following = following.__cause__ or following.__context__


class _TextLine(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)sZ %(levelname)-7s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
        self.converter = time.gmtime

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        return traceback_text(ei[1])

    def format(self, record: logging.LogRecord) -> str:
        context, trace = _context.get(), current_trace()
        names = (
            f"peer {context['peer']}" if context.get("peer") else "",
            f"grant {context['grant']}" if context.get("grant") else "",
            context.get("correlation_id", ""),
            f"trace {trace.trace_id}" if trace else "",
        )
        # one line a record: a newline in a message could forge the next one
        return escaped(" ".join([super().format(record), *(f"[{each}]" for each in names if each)]))


class _JsonLine(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC)
        fields = {"msg": _message(record), "code": _code(record)}
        if record.exc_info and record.exc_info[1] is not None:
            fields["traceback"] = traceback_text(record.exc_info[1])
        return _json_line(at, record.levelno, record.name, fields)


def _json_line(at: datetime, level: int, logger: str, fields: Mapping[str, str | None]) -> str:
    """Return a line in ASCII, so that it is JSON whatever the encoding of the stream."""
    context, trace = _context.get(), current_trace()
    names: dict[str, str | None] = {
        "ts": f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z",
        "level": logging.getLevelName(level).lower(),
        "logger": logger,
        "msg": "",
        "code": None,
        "correlationId": context.get("correlation_id") or None,
        "peer": context.get("peer") or None,
        "grant": context.get("grant") or None,
        "traceId": trace.trace_id if trace else None,
        "spanId": trace.span_id if trace else None,
    }
    return json.dumps({**names, **fields})


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):  # of a library: arguments that do not fit
        return str(record.msg)


def _code(record: logging.LogRecord) -> str | None:
    """Return the code of the error that a record is about: its own, or that of an argument."""
    code: str | None = getattr(record, "code", None)
    arguments = record.args if isinstance(record.args, tuple) else ()
    error = record.exc_info[1] if record.exc_info else None
    errors = (each for each in (*arguments, error) if isinstance(each, MosaicError))
    return code or next((each.code for each in errors), None)
