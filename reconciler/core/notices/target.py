"""A target of notices, as the settings name it, and a request to one."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from reconciler.core.notices.model import FILTERABLE, ONE_COMMIT, NoticeEvent


class TargetKind(StrEnum):
    """What a target is, so which body it is sent."""

    JSON = "json"
    SLACK = "slack"
    TEAMS = "teams"
    GITEA = "gitea"
    GITHUB = "github"
    GITLAB = "gitlab"

    @property
    def is_forge(self) -> bool:
        """Whether it shows the status of a commit, and nothing else."""
        return self in (TargetKind.GITEA, TargetKind.GITHUB, TargetKind.GITLAB)


OF_COMMITS: Final = (
    NoticeEvent.APPLIED,
    NoticeEvent.REFUSED,
    NoticeEvent.FAILING,
    *ONE_COMMIT,
)
DEFAULT_CONTEXT: Final = "mosaic/federation"


@dataclass(frozen=True, slots=True)
class Target:
    """One target. Files are read at each request, so that secrets can be replaced at any time.

    Either `url` or `url_file` is set. `secret_file` holds the signing secrets of `json`,
    `token_file` a forge's token, `ca_file` the roots of a server with a CA of its own.
    """

    name: str
    kind: TargetKind
    url: str | None = field(default=None, repr=False)  # a chat's is a secret
    url_file: str | None = None
    secret_file: str | None = None
    token_file: str | None = None
    ca_file: str | None = None
    repository: str = ""
    context: str = DEFAULT_CONTEXT
    filter: tuple[str, ...] = ()

    @property
    def events(self) -> tuple[str, ...]:
        """The events that it is told."""
        if self.kind.is_forge:
            return tuple(map(str, OF_COMMITS))
        return self.filter or tuple(map(str, FILTERABLE))


@dataclass(frozen=True, slots=True)
class Secrets:
    """What the files of a target hold."""

    url: str = field(repr=False)
    signing: tuple[bytes, ...] = field(default=(), repr=False)
    token: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Request:
    """A POST to a target: below its origin, with headers and a body."""

    path: str = field(repr=False)
    headers: dict[str, str] = field(repr=False)
    body: bytes
