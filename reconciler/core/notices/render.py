"""A stored notice as the request that its target takes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, assert_never
from urllib.parse import urlsplit
from uuid import UUID

from reconciler.core.notices.chat_bodies import slack_body, teams_body
from reconciler.core.notices.commit_status import status_request
from reconciler.core.notices.signature import signed_headers
from reconciler.core.notices.target import Request, Secrets, Target, TargetKind

if TYPE_CHECKING:
    from datetime import datetime

_JSON = {"Content-Type": "application/json"}


def render(target: Target, secrets: Secrets, document: str, now: datetime) -> Request | None:
    """Return the request that tells a target of a notice, or None where it says nothing to it.

    The id and the body are the same at each attempt; the time, and so the signature, is not.

    Raises:
        AttributeError, LookupError, RecursionError, TypeError, ValueError: it is no notice.
    """
    data: dict[str, Any] = json.loads(document)["data"]
    url = urlsplit(secrets.url)
    path = url.path + (f"?{url.query}" if url.query else "")
    match target.kind:
        case TargetKind.JSON:
            body = document.encode()
            signed = signed_headers(
                str(UUID(data["id"])), int(now.timestamp()), body, secrets.signing
            )
            return Request(path, {**_JSON, **signed}, body)
        case TargetKind.SLACK:
            return Request(path, dict(_JSON), json.dumps(slack_body(data)).encode())
        case TargetKind.TEAMS:
            return Request(path, dict(_JSON), json.dumps(teams_body(data)).encode())
        case TargetKind.GITEA | TargetKind.GITHUB | TargetKind.GITLAB:
            return status_request(target, url.path.rstrip("/"), data, secrets.token)
        case _:
            assert_never(target.kind)
