"""The trace that a request belongs to, as W3C Trace Context names it in `traceparent`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

TRACEPARENT: Final = "traceparent"  # the header

# W3C Trace Context 3.2.2: `version-traceid-parentid-flags` in lower-case hex; a later version may
# have more behind it
_TRACEPARENT: Final = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})"
    r"(?P<more>-[\x21-\x7e]*)?",
    re.ASCII,
)
_MAX_HEADER: Final = 256  # characters
_SAMPLED: Final = 0x01  # the one flag that every version knows


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A trace, and the span in it that called."""

    trace_id: str
    span_id: str
    flags: str

    @property
    def traceparent(self) -> str:
        """The header that passes it on."""
        return f"00-{self.trace_id}-{self.span_id}-{self.flags}"


def read_traceparent(values: Sequence[str]) -> TraceContext | None:
    """Return the trace that the values of the header name; None if they are not exactly one trace.

    What is invalid is no error: the request is served without a trace (W3C Trace Context 4.3).
    """
    if len(values) != 1 or len(values[0]) > _MAX_HEADER:
        return None
    match = _TRACEPARENT.fullmatch(values[0])
    if match is None or match["version"] == "ff":
        return None
    known = match["version"] == "00"
    if (known and match["more"]) or not int(match["trace"], 16) or not int(match["span"], 16):
        return None
    flags = match["flags"] if known else f"{int(match['flags'], 16) & _SAMPLED:02x}"
    return TraceContext(match["trace"], match["span"], flags)
