"""The status of a commit, as each forge takes it.

- Gitea, Forgejo: POST /api/v1/repos/{owner}/{repo}/statuses/{sha}, `Authorization: token …`
- GitHub: POST /repos/{owner}/{repo}/statuses/{sha} of its API, `Authorization: Bearer …`
- GitLab: POST /api/v4/projects/{path}/statuses/{sha}, `PRIVATE-TOKEN: …`; a failure is `failed`
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, assert_never
from urllib.parse import quote

from reconciler.core.model.text import printable
from reconciler.core.notices.model import NoticeEvent, NoticeState
from reconciler.core.notices.target import Request, Target, TargetKind

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_DESCRIPTION: Final = 140  # characters, of GitHub; the others take more
_SHA: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_STATES: Final[dict[tuple[str, str], str]] = {
    (NoticeEvent.COMMIT, NoticeState.BEGUN): "pending",
    (NoticeEvent.COMMIT, NoticeState.OVER): "success",
    (NoticeEvent.SUPERSEDED, NoticeState.OVER): "success",
    (NoticeEvent.APPLIED, NoticeState.ONCE): "success",
    (NoticeEvent.REFUSED, NoticeState.BEGUN): "failure",
    (NoticeEvent.FAILING, NoticeState.BEGUN): "failure",
    (NoticeEvent.TEST, NoticeState.ONCE): "success",
}
# GitLab refuses to set the status that a commit has already, as a retry does
_GITLAB_SAME: Final = b"Cannot transition status via"
REFUSALS: Final = frozenset({400, 404, 422})  # no such commit or repository, or one too many


def status_request(
    target: Target, base: str, data: Mapping[str, Any], token: str
) -> Request | None:
    """Return the request that sets the status of the notice's commit, or None where it has none.

    `base` is the path of the target's URL, without a slash at its end.
    """
    state = _STATES.get((data["event"], data["state"]))
    commit = data["commit"]
    if state is None or commit is None or data["dirty"] or not _SHA.fullmatch(commit["id"]):
        return None
    explained = state == "failure" or data["event"] == NoticeEvent.SUPERSEDED
    first = next((f": {each['text']}" for each in data["items"] if explained), "")
    body: dict[str, str] = {
        "state": state,
        "context": target.context,
        "description": printable(f"{data['title']}{first}", MAX_DESCRIPTION - 1),
    }
    sha = commit["id"]
    match target.kind:
        case TargetKind.GITHUB:
            path = f"{base}/repos/{quote(target.repository)}/statuses/{sha}"
            headers = {
                "Authorization": f"Bearer {token}",
                "Accept": "application/vnd.github+json",
                "X-GitHub-Api-Version": "2022-11-28",
            }
        case TargetKind.GITEA:
            path = f"{base}/api/v1/repos/{quote(target.repository)}/statuses/{sha}"
            headers = {"Authorization": f"token {token}"}
        case TargetKind.GITLAB:
            path = f"{base}/api/v4/projects/{quote(target.repository, safe='')}/statuses/{sha}"
            headers = {"PRIVATE-TOKEN": token}
            body["state"] = "failed" if state == "failure" else state
        case TargetKind.JSON | TargetKind.SLACK | TargetKind.TEAMS:
            return None  # they show no commit
        case _:
            assert_never(target.kind)
    content = json.dumps(body).encode()
    return Request(path, {"Content-Type": "application/json", **headers}, content)


def is_same_status(target: Target, status: int, body: bytes) -> bool:
    """Tell whether a forge refuses a status because the commit has it already."""
    return target.kind is TargetKind.GITLAB and status == 400 and _GITLAB_SAME in body
