"""Webhooks of forges: that a push event is one of theirs, by the secret that was agreed with them.

- GitHub: `X-Hub-Signature-256: sha256=<hex>`, HMAC-SHA-256 of the body; `X-GitHub-Event`
- Gitea, Forgejo: `X-Gitea-Signature: <hex>`, the same; `X-Gitea-Event`
- GitLab: `X-Gitlab-Token: <the secret>`; `X-Gitlab-Event: Push Hook`
"""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

MIN_SECRET: Final = 16  # octets
PUSHES: Final = frozenset({"push", "Push Hook", "Tag Push Hook"})
EVENTS: Final = ("x-gitea-event", "x-github-event", "x-gitlab-event")


def is_authentic(headers: Mapping[str, str], body: bytes, secret: bytes) -> bool:
    """Tell whether who sent the body knows the secret; in constant time.

    `headers` have lower-case names. A header that is there must be right, whatever others say.
    """
    expected = hmac.new(secret, body, hashlib.sha256).hexdigest()
    claims = {
        "x-hub-signature-256": f"sha256={expected}",
        "x-gitea-signature": expected,
        "x-gitlab-token": secret.decode("utf-8", "surrogateescape"),
    }
    presented = [(headers[name], right) for name, right in claims.items() if name in headers]
    return bool(presented) and all(
        hmac.compare_digest(
            said.encode("utf-8", "surrogateescape"), right.encode("utf-8", "surrogateescape")
        )
        for said, right in presented
    )


def is_push(headers: Mapping[str, str]) -> bool:
    """Tell whether the event is a push, and not a ping or a comment."""
    return any(headers.get(name) in PUSHES for name in EVENTS)
