"""Webhooks of forges: that a push event is one of theirs, by the secret that was agreed with them.

- GitHub: `X-Hub-Signature-256: sha256=<hex>`, HMAC-SHA-256 of the body; `X-GitHub-Event`
- Gitea, Forgejo: `X-Gitea-Signature: <hex>`, the same; `X-Gitea-Event`
- GitLab: `X-Gitlab-Token: <the secret>`; or, by a signing token, the Standard Webhooks form:
  `webhook-signature: v1,<base64>`, HMAC-SHA-256 of id, time and body; `X-Gitlab-Event: Push Hook`
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import TYPE_CHECKING, Final

from reconciler.core.notices.signature import PREFIX, signature_of

if TYPE_CHECKING:
    from collections.abc import Mapping

MIN_SECRET: Final = 16  # octets
SIGNING_TOKEN: Final = PREFIX.encode()  # then the key in base64
SIGNED: Final = "webhook-signature"
TOLERANCE_S: Final = 300  # Standard Webhooks: an older one may be a replay
PUSHES: Final = frozenset({"push", "Push Hook", "Tag Push Hook"})
EVENTS: Final = ("x-gitea-event", "x-github-event", "x-gitlab-event")


def is_authentic(headers: Mapping[str, str], body: bytes, secret: bytes, now_s: float) -> bool:
    """Tell whether who sent the body knows the secret; in constant time.

    `headers` have lower-case names. A header that is there must be right, whatever others say.
    """
    expected = hmac.new(secret, body, hashlib.sha256).hexdigest()
    claims = {
        "x-hub-signature-256": f"sha256={expected}",
        "x-gitea-signature": expected,
        "x-gitlab-token": secret.decode("utf-8", "surrogateescape"),
    }
    presented = [_same(headers[name], right) for name, right in claims.items() if name in headers]
    if SIGNED in headers:
        presented.append(_is_signed(headers, body, secret, now_s))
    return bool(presented) and all(presented)


def is_push(headers: Mapping[str, str]) -> bool:
    """Tell whether the event is a push, and not a ping or a comment."""
    return any(headers.get(name) in PUSHES for name in EVENTS)


def signing_key(secret: bytes) -> bytes | None:
    """Return the key of a signing token, or None where the secret is none."""
    if not secret.startswith(SIGNING_TOKEN):
        return None
    try:
        key = base64.b64decode(secret.removeprefix(SIGNING_TOKEN), validate=True)
    except binascii.Error:
        return None
    return key if len(key) >= MIN_SECRET else None


def _is_signed(headers: Mapping[str, str], body: bytes, secret: bytes, now_s: float) -> bool:
    """Judge the Standard Webhooks form: any one of its signatures is enough, as keys rotate."""
    key, sent = signing_key(secret), headers.get("webhook-timestamp", "")
    if key is None or not (sent.isascii() and sent.isdecimal() and len(sent) <= 12):
        return False
    if abs(now_s - int(sent)) > TOLERANCE_S:
        return False
    named = headers.get("webhook-id", "").encode("utf-8", "surrogateescape")
    right = signature_of(named, sent, body, key)
    return any(_same(each, right) for each in headers[SIGNED].split())


def _same(presented: str, right: str) -> bool:
    return hmac.compare_digest(
        presented.encode("utf-8", "surrogateescape"), right.encode("utf-8", "surrogateescape")
    )
