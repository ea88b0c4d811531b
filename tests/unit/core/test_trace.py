"""`traceparent`: exactly what W3C Trace Context allows, and nothing that is only like it."""

from __future__ import annotations

from typing import Final

import pytest

from reconciler.core.trace import read_traceparent

TRACE: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN: Final = "00f067aa0ba902b7"
VALID: Final = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize("header", [VALID, f"00-{TRACE}-{SPAN}-00", f"00-{TRACE}-{SPAN}-03"])
def test_a_valid_header_is_passed_on_as_it_came(header: str) -> None:
    trace = read_traceparent([header])
    assert trace is not None
    assert (trace.trace_id, trace.span_id, trace.traceparent) == (TRACE, SPAN, header)


@pytest.mark.parametrize("header", [f"cc-{TRACE}-{SPAN}-03", f"cc-{TRACE}-{SPAN}-01-more"])
def test_a_later_version_is_passed_on_in_the_version_that_is_known(header: str) -> None:
    trace = read_traceparent([header])
    assert trace is not None
    assert trace.traceparent == VALID


@pytest.mark.parametrize(
    "values",
    [
        [],
        [""],
        [VALID, VALID],
        [VALID.upper()],
        [f" {VALID}"],
        [f"{VALID}\n"],
        [f"{VALID}-more"],
        [f"ff-{TRACE}-{SPAN}-01"],
        [f"00-{'0' * 32}-{SPAN}-01"],
        [f"00-{TRACE}-{'0' * 16}-01"],
        [f"00-{TRACE[1:]}-{SPAN}-01"],
        [f"00-{TRACE}-{SPAN}-1"],
        [f"00-{TRACE}-{SPAN}"],
        [f"00-{TRACE[:-1]}\u0665-{SPAN}-01"],
        [f"cc-{TRACE}-{SPAN}-01.more"],
        [f"cc-{TRACE}-{SPAN}-01-{'x' * 1000}"],
    ],
)
def test_what_is_invalid_is_no_trace(values: list[str]) -> None:
    assert read_traceparent(values) is None
