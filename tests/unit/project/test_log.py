"""The lines of the log: one an event, and nothing in them that a terminal obeys."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from reconciler import log
from reconciler.core.trace import TraceContext
from reconciler.errors import Retry
from tests.support.log_lines import logging_as

if TYPE_CHECKING:
    import pytest

FIELDS = ["ts", "level", "logger", "msg", "code", "correlationId", "peer", "grant"]
TRACE = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "01")


def documents(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_record_is_a_line_that_prints_whatever_it_quotes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with logging_as("text") as ours:
        with log.about(peer="a\u202eb"):
            ours.warning("the CA said %s", "\x1b[2J\x9b\u2028\nforged: \u2066line\r")
        ours.error("broken", exc_info=ValueError("\x07\n"))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.isprintable() for line in lines)
    assert lines[0].endswith(r"\x1b[2J\x9b\u2028\nforged: \u2066line\r [peer a\u202eb]")


def test_a_line_of_text_names_what_it_is_about(capsys: pytest.CaptureFixture[str]) -> None:
    with (
        logging_as("text") as ours,
        log.about(correlation_id="c0ffee", trace=TRACE),
        log.about(peer="beta", grant="beta-tasks"),
    ):
        ours.warning("enrolled")
    line = capsys.readouterr().err.rstrip()
    assert line.endswith(
        f"enrolled [peer beta] [grant beta-tasks] [c0ffee] [trace {TRACE.trace_id}]"
    )


def test_a_record_in_json_is_a_line_of_ascii_whatever_it_quotes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    hostile = '\x1b[2J\x7f\x9b\u2028\n{"msg": "forged"}\r"\\ud800 \ud800 é'
    with logging_as("json") as ours, log.about(peer=hostile):
        ours.warning("the CA said %s", hostile)
    line = capsys.readouterr().err
    assert line.isascii()
    assert line.rstrip("\n").isprintable()
    document = json.loads(line)
    assert (document["msg"], document["peer"]) == (f"the CA said {hostile}", hostile)


def test_every_line_of_json_has_the_same_fields_in_the_same_order(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with logging_as("json") as ours:
        ours.info("nothing is bound")
        with log.about(correlation_id="c0ffee", trace=TRACE):
            log.bind(peer="beta", grant="beta-tasks")
            ours.error("failed: %s", Retry("ca_unavailable", "the CA is down"))
        ours.info("nothing is bound any more")
    first, second, third = documents(capsys)
    assert list(first) == list(second) == [*FIELDS, "traceId", "spanId"]
    assert first["ts"].endswith("Z")
    assert (first["level"], first["logger"]) == ("info", "reconciler")
    names = ("code", "correlationId", "peer", "grant", "traceId", "spanId")
    bound = ("ca_unavailable", "c0ffee", "beta", "beta-tasks", TRACE.trace_id, TRACE.span_id)
    assert tuple(second[name] for name in names) == bound
    assert [first[name] for name in names] == [third[name] for name in names] == [None] * 6


def test_a_traceback_stands_in_the_line_of_its_event_without_what_a_database_adds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with logging_as("json") as ours:
        error = ValueError("the row differs\nDETAIL: secret")
        error.__cause__ = OSError("the cause")
        ours.error("the pass failed", exc_info=error)
    (document,) = documents(capsys)
    assert document["traceback"].count("Traceback (most recent call last):") == 2
    assert document["traceback"].endswith("ValueError: the row differs\n")
    assert "secret" not in json.dumps(document)


def test_arguments_that_do_not_fit_their_message_are_still_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with logging_as("json"):
        logging.getLogger("a.library").warning("%d of %d", "one")  # noqa: PLE1206 - what is tested
    (document,) = documents(capsys)
    assert (document["msg"], document["logger"]) == ("%d of %d", "a.library")
