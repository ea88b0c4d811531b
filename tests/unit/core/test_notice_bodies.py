"""What each kind of target is sent: of its own form, and with nothing in it obeyed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pytest

from reconciler.core.audit import certificate_events, events, row_events
from reconciler.core.audit.event_base import RowRef, grant_ref
from reconciler.core.audit.events import ConditionBegun, ConditionEnded, Event
from reconciler.core.model.spec import Kind
from reconciler.core.notices import derive
from reconciler.core.notices.collector import notices_of
from reconciler.core.notices.model import Item, Notice, NoticeEvent, NoticeState
from reconciler.core.notices.render import render
from reconciler.core.notices.signature import read_keys, signed_headers
from reconciler.core.notices.target import Request, Secrets, Target, TargetKind

NOW = datetime(2026, 11, 28, 9, 30, tzinfo=UTC)
SHA = "0123456789abcdef0123456789abcdef01234567"
ID = "0b5a8b1e-0000-4000-8000-000000000001"
COMMIT = {"id": SHA, "author": "Ada <ada@alpha.example>", "subject": "tasks", "signer": None}
HOSTILE = "<!channel> <@U024BE7LH> & [x](https://e.example) **x** `y`\u202e\x1b[31m\n{{DATE(0)}}"


def document(event: NoticeEvent, state: NoticeState, text: str = "why", **values: Any) -> str:
    items = (Item("grant/acme", text),)
    notice = Notice(event, state, "A title", 7, items, 1, commit=COMMIT, **values)
    return json.dumps(notice.document(ID, NOW, "user:ada"))


def sent(kind: TargetKind, url: str, text: str) -> Request:
    target = Target("t", kind, url, repository="platform/our grants")
    request = render(target, Secrets(url, (b"k" * 32,), "t0ken"), text, NOW)
    assert request is not None
    return request


@pytest.mark.parametrize("kind", [TargetKind.SLACK, TargetKind.TEAMS, TargetKind.JSON])
def test_foreign_text_is_shown_and_not_obeyed(kind: TargetKind) -> None:
    created = row_events.PeerRevoked(RowRef(Kind.PEER, "1", HOSTILE), HOSTILE)
    (notice,) = notices_of([created], 5)
    text = json.dumps(notice.document(ID, NOW, HOSTILE))
    body = sent(kind, "https://chat.example/x", text).body.decode()
    for raw in ("\u202e", "\\u202e", "\x1b", "\\u001b"):
        assert raw not in body.replace("\\\\u202e", "").replace("\\\\x1b", "")
    if kind is TargetKind.SLACK:
        assert "<" not in body
        assert ">" not in body
        assert "&lt;!channel&gt; &lt;@U024BE7LH&gt; &amp;" in body
        assert "mrkdwn" not in body
    if kind is TargetKind.TEAMS:
        assert '"TextBlock"' not in body  # it alone reads Markdown
        assert '"msteams"' not in body


def test_a_slack_message_keeps_within_its_limits() -> None:
    many = [
        certificate_events.PeerGrantWithdrawn(RowRef(Kind.PEER, str(n), "&" * 60), "&" * 300, "x")
        for n in range(50)
    ]
    (notice,) = notices_of(many, 1)
    text = json.dumps(notice.document(ID, NOW, "&" * 900))
    body = json.loads(sent(TargetKind.SLACK, "https://hooks.slack.example/x", text).body)
    header, section, context = body["blocks"]
    assert len(header["text"]["text"]) <= 150
    assert len(section["text"]["text"]) <= 3000
    assert len(context["elements"][0]["text"]) <= 3000
    assert section["text"]["text"].endswith("more: see `mosaic federation audit list`")


def test_a_teams_message_is_an_adaptive_card() -> None:
    text = document(NoticeEvent.THEFT, NoticeState.BEGUN)
    request = sent(TargetKind.TEAMS, "https://a.example/workflows/1?api-version=1&sig=s", text)
    assert request.path == "/workflows/1?api-version=1&sig=s"
    (attachment,) = json.loads(request.body)["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    card = attachment["content"]
    assert card["type"] == "AdaptiveCard"
    assert {block["type"] for block in card["body"]} == {"RichTextBlock"}


@pytest.mark.parametrize(
    ("kind", "url", "path", "header", "failure"),
    [
        (
            TargetKind.GITHUB,
            "https://api.github.com",
            f"/repos/platform/our%20grants/statuses/{SHA}",
            ("Authorization", "Bearer t0ken"),
            "failure",
        ),
        (
            TargetKind.GITEA,
            "https://git.example/sub/",
            f"/sub/api/v1/repos/platform/our%20grants/statuses/{SHA}",
            ("Authorization", "token t0ken"),
            "failure",
        ),
        (
            TargetKind.GITLAB,
            "https://gitlab.example",
            f"/api/v4/projects/platform%2Four%20grants/statuses/{SHA}",
            ("PRIVATE-TOKEN", "t0ken"),
            "failed",
        ),
    ],
)
def test_a_forge_is_sent_the_status_of_the_commit(
    kind: TargetKind, url: str, path: str, header: tuple[str, str], failure: str
) -> None:
    for event, state, expected in (
        (NoticeEvent.COMMIT, NoticeState.BEGUN, "pending"),
        (NoticeEvent.COMMIT, NoticeState.OVER, "success"),
        (NoticeEvent.APPLIED, NoticeState.ONCE, "success"),
        (NoticeEvent.REFUSED, NoticeState.BEGUN, failure),
        (NoticeEvent.FAILING, NoticeState.BEGUN, failure),
    ):
        request = sent(kind, url, document(event, state, "w" * 200))
        assert request.path == path
        assert request.headers[header[0]] == header[1]
        body = json.loads(request.body)
        assert (body["state"], body["context"]) == (expected, "mosaic/federation")
        assert len(body["description"]) <= 140


def test_a_forge_is_sent_nothing_of_what_is_not_in_a_commit() -> None:
    target = Target("t", TargetKind.GITHUB, "https://api.github.com", repository="a/b")
    secrets = Secrets("https://api.github.com", (), "t")
    over = document(NoticeEvent.REFUSED, NoticeState.OVER)
    dirty = document(NoticeEvent.APPLIED, NoticeState.ONCE, dirty=True)
    assert render(target, secrets, over, NOW) is None
    assert render(target, secrets, dirty, NOW) is None


def test_an_old_and_a_new_secret_sign_together() -> None:
    one, two = b"1" * 24, b"2" * 64
    text = "\n".join(f"whsec_{base64.b64encode(key).decode()}" for key in (one, two))
    headers = signed_headers("id", 1_700_000_000, b"{}", read_keys(text))
    macs = [hmac.new(key, b"id.1700000000.{}", hashlib.sha256).digest() for key in (one, two)]
    expected = " ".join(f"v1,{base64.b64encode(mac).decode()}" for mac in macs)
    assert headers["webhook-signature"] == expected


def test_the_example_of_the_specification_verifies() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    headers = signed_headers("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body, read_keys(secret))
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it is empty"),
        ("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "line 1 does not begin with whsec_"),
        ("whsec_???", "line 1 is not base64 after whsec_"),
        ("whsec_c2hvcnQ=", "line 1 has a key of 5 octets, expected 24 to 64"),
    ],
)
def test_a_secret_that_is_none_is_refused_and_not_shown(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match="^" + reason):
        read_keys(text)


UNTOLD = {
    *(row_events.RowRenamed, row_events.GrantSuspended, row_events.GrantResumed),
    *(row_events.HoldReleased, certificate_events.GrantEnrolled, certificate_events.PeerRenewed),
    *(certificate_events.PeerKeyStored, certificate_events.PeerNextKeyStored),
    *(certificate_events.CredentialReleased, certificate_events.TokenMinted),
    *(certificate_events.IssuanceBegun, certificate_events.IssuanceGivenUp),
    *(certificate_events.CertificateRevokedAtCa, certificate_events.CertificateRequeued),
    *(certificate_events.TheftRepeated, certificate_events.KeyRewrapped),
}


def test_each_event_is_told_or_is_known_not_to_be() -> None:
    untold = UNTOLD | {
        events.ReconcilerPaused,
        events.ReconcilerResumed,
        events.TrustOverridden,
        events.RequestsRefused,
        events.GatewayRestored,
        events.GatewayAdopted,
        events.RestoreConfirmed,
        events.AuditArchived,
    }
    assert set(get_args(Event)) - derive._READERS.keys() == untold


def test_events_of_one_transaction_are_a_notice_of_each_kind() -> None:
    origin = {"source": "git", "commit": COMMIT, "dirty": False}
    events: list[Event] = [
        row_events.GrantRevoked(grant_ref("1", "old"), "no longer in git", origin=origin),
        row_events.GrantRevoked(grant_ref("2", "held"), "leaked"),
        row_events.GrantExpired(grant_ref("3", "late"), "its end has passed"),
        ConditionBegun("drift", 1, ({"subject": "grant/x", "what": "changed"},)),
        ConditionEnded("drift", 1, ({"subject": "grant/y", "since": "then"},)),
    ]
    notices = notices_of(events, 11)
    assert [(each.seq, each.event, each.state) for each in notices] == [
        (11, "applied", "once"),
        (12, "revoked", "once"),
        (13, "ending", "over"),
        (14, "drift", "begun"),
        (15, "drift", "over"),
    ]
    assert notices[0].commit == COMMIT
    assert notices[0].title == "Applied: 1 removed (1 NARROWS)"


def test_ten_thousand_events_are_one_notice() -> None:
    grants = [row_events.GrantRevoked(grant_ref(str(n), f"g{n}"), "bye") for n in range(10_000)]
    (notice,) = notices_of(grants, 1)
    assert (notice.count, len(notice.items)) == (10_000, 20)


DOCS = Path(__file__).parents[3] / "docs/notices.md"


def test_the_documentation_shows_what_is_sent() -> None:
    commit = COMMIT | {
        "id": "4f0c2a9be1d34c6f8a7b5d9e0c1f2a3b4c5d6e7f",
        "subject": "acme: more orders",
    }
    source = "https://git.alpha.example/platform/grants"
    origin = {"source": source, "commit": commit, "dirty": False}
    rows = {"path": "scope.maxRowsPerQuery", "old": 1000, "new": 5000, "effect": "widens"}
    events: list[Event] = [
        row_events.GrantRevoked(grant_ref("1", "old-study"), "no longer in git", origin=origin),
        row_events.RowUpdated(
            grant_ref("2", "acme-orders"), "changed", "d", {}, (rows,), True, None, "a:1", origin
        ),
    ]
    (notice,) = notices_of(events, 41)
    text = json.dumps(
        notice.document("0a4b8f0e-2f6f-4d0e-9a53-6d1c0b7f2e11", NOW, "loop:gateway-1")
    )
    docs = DOCS.read_text(encoding="utf-8")
    url = "https://hooks.alpha.example/mosaic"
    for kind in (TargetKind.SLACK, TargetKind.TEAMS):
        body = json.loads(sent(kind, url, text).body)
        assert json.dumps(body, indent=2, ensure_ascii=False) in docs
    signed = sent(TargetKind.JSON, url, text)
    assert signed.body.decode() in docs
    assert f"webhook-signature: {signed.headers['webhook-signature']}" in docs
    assert "whsec_" + base64.b64encode(b"k" * 32).decode() in docs
    target = Target("t", TargetKind.GITEA, url, repository="platform/grants")
    status = render(target, Secrets("https://git.alpha.example"), text, NOW)
    assert status is not None
    assert f"POST {status.path} HTTP/1.1" in docs
    assert status.body.decode() in docs
