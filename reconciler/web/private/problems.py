"""The problems that only the private listener answers: denials, and who may not ask."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from reconciler.core.authority.decision import Reason
from reconciler.errors import Retry
from reconciler.web.problems import PublicProblem, public_problem

CERTIFICATE_MISSING: Final = "certificate_missing"
UNAUTHENTICATED: Final = "private_token_invalid"
HOST_UNKNOWN: Final = "host_unknown"

PROBLEMS: Final[dict[str, tuple[int, str]]] = {  # status and title
    CERTIFICATE_MISSING: (401, "The request carries no client certificate"),
    UNAUTHENTICATED: (401, "The private listener's token is missing or wrong"),
    Reason.CERTIFICATE_UNKNOWN: (403, "This gateway has issued no such certificate"),
    Reason.PEER_ENDED: (403, "The peer is revoked"),
    Reason.GRANT_ENDED: (403, "The grant has ended"),
    Reason.GRANT_SUSPENDED: (403, "The grant is suspended"),
    Reason.CERTIFICATE_ENDED: (403, "The certificate is revoked or not valid now"),
    Reason.SCOPE_DENIED: (403, "The scope does not grant this"),
    HOST_UNKNOWN: (421, "The listener does not serve this host"),
}


class PrivateProblem(PublicProblem):
    """A problem of the private listener; `grant_ended` is a 403 here."""

    __slots__ = ()

    @property
    def status(self) -> int:
        """The HTTP status."""
        return PROBLEMS[self.code][0]

    @property
    def title(self) -> str:
        """The title."""
        return PROBLEMS[self.code][1]


class Denied(Exception):
    """A request that is answered with a problem of `PROBLEMS`."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.problem = PrivateProblem(code, detail)


def problem_of(error: Exception) -> PublicProblem:
    """Return the problem that an error is answered with."""
    if isinstance(error, Denied):
        return error.problem
    problem = public_problem(error)
    if isinstance(error, Retry):  # those who ask here may know the cause
        return replace(problem, detail=error.message)
    return problem
