"""A webhook is believed only by the secret, in the way of each forge."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from reconciler.core.push import is_authentic, is_push

SECRET = b"0123456789abcdef0123456789abcdef"
BODY = b'{"ref": "refs/heads/main"}'
MAC = hmac.new(SECRET, BODY, hashlib.sha256).hexdigest()

GITHUB = {"x-github-event": "push", "x-hub-signature-256": f"sha256={MAC}"}
GITEA = {"x-gitea-event": "push", "x-gitea-signature": MAC}
GITLAB = {"x-gitlab-event": "Push Hook", "x-gitlab-token": SECRET.decode()}


@pytest.mark.parametrize("headers", [GITHUB, GITEA, GITLAB, GITEA | GITHUB])
def test_a_push_of_each_forge_is_taken(headers: dict[str, str]) -> None:
    assert is_authentic(headers, BODY, SECRET)
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
    assert not is_authentic(headers, BODY, SECRET)


def test_another_body_needs_another_signature() -> None:
    assert not is_authentic(GITHUB, BODY + b" ", SECRET)


def test_a_ping_is_no_push() -> None:
    assert not is_push({"x-github-event": "ping"})
