"""Errors as peers read them: RFC 9457 problems, with a stable code and nothing internal."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response

from reconciler.core.model.text import json_text
from reconciler.core.model.times import rfc3339
from reconciler.errors import OUTCOMES, MosaicError, Retry

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

TYPE_PREFIX: Final = "https://federation.mosaicstack.dev/problems/"
MEDIA_TYPE: Final = "application/problem+json"
DEFAULT_RETRY: Final = timedelta(seconds=30)  # where the error itself names no time

PROOF_ALGORITHMS: Final = "ES256 ES384 EdDSA RS256 PS256"
CHALLENGES: Final = {  # RFC 9110 11.6.1; RFC 6750 3; RFC 9449 7.1
    "token_invalid": 'Bearer realm="mosaic-federation"',
    "proof_invalid": f'DPoP algs="{PROOF_ALGORITHMS}"',
}

# The details of what the operator must repair: the cause goes to the log alone.
_NOT_ISSUED: Final = "nothing was issued; try again with the same key"
_OURS: Final = {
    "ca_unavailable": f"the certificate authority does not answer: {_NOT_ISSUED}",
    "ca_wrong_answer": f"the certificate authority sent a wrong answer: {_NOT_ISSUED}",
    "database_unavailable": "try again with the same key: what was begun can be finished",
    "crl_unavailable": "the certificate authority has not issued one yet; try again",
    "restored": "the gateway was restored from a backup, and its operator has not confirmed that"
    " yet; try again later, with the same key",
    "unavailable": "the gateway is busy, or about to stop; try again",
    "internal": "the gateway's log has the cause, under this correlation id",
}
# Errors of an operator's vocabulary that mean the same to a peer as one of its own.
_SAME_AS: Final = {
    "lock_held": "database_unavailable",
    "schema_missing": "database_unavailable",
    "schema_differs": "database_unavailable",
}


@dataclass(frozen=True, slots=True)
class PublicProblem:
    """A problem as it is sent; `retry_after_s` is None where no wait helps."""

    code: str
    detail: str
    retry_after_s: int | None = None

    @property
    def status(self) -> int:
        """The HTTP status."""
        status = OUTCOMES[self.code].status
        assert status is not None, self.code
        return status

    @property
    def title(self) -> str:
        """The title, which is of the code and not of the occurrence (RFC 9457)."""
        return OUTCOMES[self.code].title

    def document(self, correlation_id: str, now: datetime) -> dict[str, Any]:
        """Return the JSON object of the contract (docs/http.md)."""
        return {
            "type": f"{TYPE_PREFIX}{self.code}",
            "title": self.title,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "correlationId": correlation_id,
            "serverTime": rfc3339(now),
            "retryable": self.retry_after_s is not None,
        }


def public_problem(error: Exception) -> PublicProblem:
    """Return what a peer may know of an error; `internal` for everything else."""
    if not isinstance(error, MosaicError):
        return PublicProblem("internal", _OURS["internal"])
    code = _SAME_AS.get(error.code, error.code)
    if OUTCOMES[code].status is None:
        return PublicProblem("internal", _OURS["internal"])
    retry_after_s: int | None = None
    if issubclass(OUTCOMES[code].kind, Retry):
        wait = error.retry_after if isinstance(error, Retry) else DEFAULT_RETRY
        retry_after_s = max(1, math.ceil(wait.total_seconds()))
    detail = f"{error.message}; {error.hint}" if error.hint else error.message
    return PublicProblem(code, _OURS.get(code, detail), retry_after_s)


def problem_response(
    problem: PublicProblem,
    correlation_id: str,
    now: datetime,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the response of a problem, with the headers that its code asks for."""
    extra = dict(headers or {})
    if problem.retry_after_s is not None:
        extra["Retry-After"] = str(problem.retry_after_s)
    if problem.code in CHALLENGES:
        extra["WWW-Authenticate"] = CHALLENGES[problem.code]
    body = json_text(problem.document(correlation_id, now))
    return Response(body, problem.status, headers=extra, media_type=MEDIA_TYPE)
