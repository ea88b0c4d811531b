"""A webhook is believed only by the secret, in the way of each forge."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from reconciler.core.webhook import is_authentic, is_push

SECRET = b"0123456789abcdef0123456789abcdef"
BODY = b'{"ref": "refs/heads/main"}'
NOW_S = 1_800_000_000
MAC = hmac.new(SECRET, BODY, hashlib.sha256).hexdigest()

GITHUB = {"x-github-event": "push", "x-hub-signature-256": f"sha256={MAC}"}
GITEA = {"x-gitea-event": "push", "x-gitea-signature": MAC}
GITLAB = {"x-gitlab-event": "Push Hook", "x-gitlab-token": SECRET.decode()}


@pytest.mark.parametrize("headers", [GITHUB, GITEA, GITLAB, GITEA | GITHUB])
def test_a_push_of_each_forge_is_taken(headers: dict[str, str]) -> None:
    assert is_authentic(headers, BODY, SECRET, NOW_S)
    assert is_push(headers)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-github-event": "push"},
        GITHUB | {"x-hub-signature-256": MAC},
        GITHUB | {"x-hub-signature-256": f"sha256={'0' * 64}"},
        GITHUB | {"x-hub-signature-256": "sha256=\udcff"},
        GITEA | {"x-hub-signature-256": "sha256=wrong"},
        GITEA | {"x-gitea-signature": ""},
        GITLAB | {"x-gitlab-token": "another"},
    ],
)
def test_what_has_no_right_signature_is_not(headers: dict[str, str]) -> None:
    assert not is_authentic(headers, BODY, SECRET, NOW_S)


def test_another_body_needs_another_signature() -> None:
    assert not is_authentic(GITHUB, BODY + b" ", SECRET, NOW_S)


def test_a_ping_is_no_push() -> None:
    assert not is_push({"x-github-event": "ping"})


TOKEN = b"whsec_" + base64.b64encode(SECRET)


def signed(sent: str, key: bytes = SECRET) -> dict[str, str]:
    """The headers of a GitLab that was given a signing token."""
    mac = hmac.new(key, b"message-1." + sent.encode() + b"." + BODY, hashlib.sha256).digest()
    return {
        "x-gitlab-event": "Push Hook",
        "webhook-id": "message-1",
        "webhook-timestamp": sent,
        "webhook-signature": f"v1,{base64.b64encode(mac).decode()}",
    }


def test_a_push_that_gitlab_signed_is_taken_also_beside_an_older_signature() -> None:
    headers = signed(str(NOW_S - 60))
    assert is_authentic(headers, BODY, TOKEN, NOW_S)
    both = f"v1,AAAA {headers['webhook-signature']}"
    assert is_authentic(headers | {"webhook-signature": both}, BODY, TOKEN, NOW_S)


@pytest.mark.parametrize(
    ("headers", "secret"),
    [
        (signed(str(NOW_S - 301)), TOKEN),
        (signed(str(NOW_S + 301)), TOKEN),
        (signed("soon"), TOKEN),
        (signed(str(NOW_S), b"another key of these octets"), TOKEN),
        (signed(str(NOW_S)) | {"webhook-id": "message-2"}, TOKEN),
        (signed(str(NOW_S)) | {"webhook-timestamp": str(NOW_S + 1)}, TOKEN),
        (signed(str(NOW_S)) | {"webhook-signature": ""}, TOKEN),
        (signed(str(NOW_S)) | {"x-gitlab-token": "another"}, TOKEN),
        (signed(str(NOW_S)), SECRET),
        (signed(str(NOW_S), b""), b"whsec_"),
        (signed(str(NOW_S)), b"whsec_no base64 at all"),
    ],
)
def test_a_signature_that_is_old_or_of_something_else_is_not(
    headers: dict[str, str], secret: bytes
) -> None:
    assert not is_authentic(headers, BODY, secret, NOW_S)
