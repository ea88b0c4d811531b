"""What another gateway answers: it is believed little, and repeated less."""

from __future__ import annotations

import json
import logging
import traceback
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from reconciler.core.issuance.tokens import Token
from reconciler.errors import Refused, Retry
from tests.support.gateways.liar import Liar, Response, lying
from tests.support.gateways.questions import (
    CA,
    ENROLL,
    GRANT,
    ISSUED,
    PICKUP,
    TOKEN,
    as_json,
    call,
    enroll,
    pickup,
    refusal,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def liar() -> Iterator[Liar]:
    with lying(CA) as liar:
        yield liar


def test_a_compressed_answer_is_not_unpacked(liar: Liar) -> None:
    liar.say(ENROLL, as_json(ISSUED, 201, content_encoding="gzip"))
    call(liar, enroll)  # it is read as it is: nothing is ever unpacked


def changed(**fields: Any) -> dict[str, Any]:
    return {**ISSUED, **fields}


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"", "JSON object"),
        (b"null", "JSON object"),
        (b"[" * 100_000, "JSON object"),
        (b'{"certificate": "\xff"}', "JSON object"),
        (json.dumps({}).encode(), "certificate"),
        (json.dumps(changed(serial=31)).encode(), "serial"),
        (json.dumps(changed(serial="../x")).encode(), "serial"),
        (json.dumps(changed(chain="x")).encode(), "chain"),
        (json.dumps(changed(chain=["x"] * 9)).encode(), "chain"),
        (json.dumps(changed(notAfter="tomorrow")).encode(), "notAfter"),
        (json.dumps(changed(notAfter=1)).encode(), "notAfter"),
        (json.dumps(changed(grant={**GRANT, "status": "fine"})).encode(), "grant.status"),
        (json.dumps(changed(grant={**GRANT, "id": "x"})).encode(), "grant.id"),
        (json.dumps(changed(grant={**GRANT, "scope": {"a": "\0"}})).encode(), "grant.scope"),
        (json.dumps(changed(grant={**GRANT, "scope": {"a": float("nan")}})).encode(), "grant"),
        (json.dumps(changed(grant={**GRANT, "name": "a\nb"})).encode(), "grant.name"),
        (json.dumps(changed(grant={**GRANT, "name": "\ud800"})).encode(), "JSON object"),
        (json.dumps(changed(grant={**GRANT, "name": "a\u202eb"})).encode(), "grant.name"),
        (json.dumps(changed(grant={**GRANT, "peer": "a\u200bb"})).encode(), "grant.peer"),
        (json.dumps(changed(grant={**GRANT, "subjectUserId": "\u2028"})).encode(), "grant.subject"),
        (json.dumps(changed(grant={**GRANT, "scope": {"a": ["\x9b"]}})).encode(), "grant.scope"),
        (json.dumps(changed(grant={**GRANT, "scope": {"\u2066": 1}})).encode(), "grant.scope"),
        (json.dumps(changed(chain=[CA.intermediate, 1])).encode(), "chain.1"),
    ],
)
def test_a_malformed_answer_is_named_and_not_quoted(liar: Liar, body: bytes, named: str) -> None:
    liar.say(ENROLL, Response(201, body))
    error = refusal(liar, enroll)
    assert error.code == "peer_wrong_answer"
    assert named in error.message


def test_a_whole_answer_is_read(liar: Liar) -> None:
    liar.say(PICKUP, as_json({**ISSUED, "later": {"more": True}}))
    issued = call(liar, pickup)
    assert issued.grant.as_json() == GRANT
    assert issued.chain == (CA.intermediate,)
    assert liar.heard[-1][1]["DPoP"].count(".") == 2


def problem(code: str, detail: str = "because", **more: Any) -> dict[str, Any]:
    return {"code": code, "detail": detail, "correlationId": "c0ffee", **more}


@pytest.mark.parametrize(
    ("http_status", "document", "code", "kind"),
    [
        (410, problem("token_spent"), "token_spent", Refused),
        (401, problem("token_invalid"), "token_invalid", Refused),
        (422, problem("key_in_use"), "key_in_use", Refused),
        (409, problem("enrollment_in_progress", retryable=True), "enrollment_in_progress", Retry),
        (409, problem("renewal_contested", retryable=False), "renewal_contested", Refused),
        (429, problem("rate_limited"), "rate_limited", Retry),
        (503, problem("ca_unavailable"), "ca_unavailable", Retry),
        (503, "no json", "unavailable", Retry),
        (502, "no json", "unavailable", Retry),
        (500, problem("internal"), "peer_refused", Refused),
        (500, problem("keyring_invalid"), "peer_refused", Refused),
        (410, problem("keyring_invalid"), "peer_refused", Refused),
        (401, problem("token_spent"), "peer_refused", Refused),
        (418, problem("teapot"), "peer_refused", Refused),
        (404, "no json", "peer_refused", Refused),
    ],
)
def test_a_refusal_keeps_its_code_only_where_we_know_it_under_its_status(
    liar: Liar, http_status: int, document: Any, code: str, kind: type
) -> None:
    liar.say(ENROLL, as_json(document, http_status, retry_after="7"))
    error = refusal(liar, enroll)
    assert (error.code, type(error)) == (code, kind)
    if isinstance(error, Retry):
        assert error.retry_after == timedelta(seconds=7)
    if document != "no json":
        assert "because" in error.message
        assert "c0ffee" in error.hint


@pytest.mark.parametrize(
    ("text", "seconds"), [("", 5), ("soon", 5), ("-1", 5), ("0", 0), ("9" * 400, 3600), ("٣", 5)]
)
def test_how_long_to_wait_is_believed_within_reason(liar: Liar, text: str, seconds: int) -> None:
    headers = (("Retry-After", text),) if text.isascii() else ()
    liar.say(ENROLL, Response(429, headers=headers))
    error = refusal(liar, enroll)
    assert isinstance(error, Retry)
    assert error.retry_after == timedelta(seconds=seconds)


@pytest.mark.parametrize("answer", ["echo", "wrong", "drip", "hang up"])
def test_no_secret_is_in_any_message_or_log(
    liar: Liar, answer: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    spelled = TOKEN.spelled()
    response = {
        "echo": as_json(problem("token_spent", f"{spelled}\x1b[2J"), 410),
        "wrong": as_json({"certificate": 1, "x": spelled}, 201),
        "drip": Response(201, spelled.encode(), drip_s=0.3),
        "hang up": Response(hang_up=True),
    }[answer]
    liar.say(ENROLL, response)
    error = refusal(liar, enroll)
    text = error.message + error.hint + repr(error) + caplog.text
    text += "".join(traceback.format_exception(error))
    assert TOKEN.secret not in text
    assert "\x1b" not in error.message


def test_a_proof_that_is_echoed_is_not_shown(liar: Liar, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("reconciler.clients.gateway.client.make_proof", lambda *_: "a.proof.of")
    liar.say(PICKUP, as_json(problem("proof_invalid", "got a.proof.of"), 401))
    error = refusal(liar, pickup)
    assert error.code == "proof_invalid"
    assert "enroll by a new invitation; its log has more" in error.hint
    assert "a.proof.of" not in error.message


def test_the_values_show_no_secret() -> None:
    assert "ssss" not in repr(Token("a" * 16, "s" * 43))
