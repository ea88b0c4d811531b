"""What another gateway answers, read as the contract has it, and the errors that it refuses with.

Unknown keys are ignored, so that a later gateway may say more; all else is strict.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import from_json

from reconciler.clients.http.channel import Response, wrong_answer
from reconciler.core.issuance.contract import ContractDocument, InvalidField
from reconciler.core.model.text import printable
from reconciler.errors import OUTCOMES, MosaicError, Refused, Retry

MAX_WAIT: Final = timedelta(hours=1)  # of a Retry-After that is believed
DEFAULT_WAIT: Final = timedelta(seconds=5)
MAX_DETAIL: Final = 400  # characters of a foreign text
ENROLL_AGAIN: Final = (
    "if both clocks are right, a later enrollment has revoked this certificate: ask the grantor,"
    " and enroll by a new invitation"
)

_D = TypeVar("_D", bound=ContractDocument)


class _Problem(BaseModel):
    """A problem of another gateway: only the code has to be there."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, alias_generator=to_camel)

    code: Annotated[str, Field(pattern=r"^[a-z_]{1,64}$")]
    detail: str = ""
    correlation_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,64}$")] = ""
    retryable: bool = False


def read_answer(answer: Response, expected_status: int, document: type[_D], secret: str) -> _D:
    """Return the document of an answer with the status; `secret` is what its texts may not show.

    Raises:
        MosaicError: what the other gateway refused with, or `peer_wrong_answer`.
    """
    if answer.status != expected_status:
        raise read_failure(answer, secret)
    try:
        return document.from_json(from_json(answer.body))
    except InvalidField as error:
        if error.path:
            field = printable(".".join(error.path))
            raise wrong_answer(f"its answer has no valid {field}") from None
    except ValueError:  # its text would quote the answer
        pass
    raise wrong_answer("its answer is not the JSON object of the contract")


_CODES_OF_STATUSES: Final = {
    429: "rate_limited",
    502: "unavailable",
    503: "unavailable",
    504: "unavailable",
}


def read_failure(answer: Response, secret: str = "") -> MosaicError:
    """Return the error that an answer of another status stands for.

    A code that we know, under its own status, is kept; any other becomes `peer_refused`, or
    `unavailable` and `rate_limited` where a later request may fare better.
    """
    if 300 <= answer.status < 400:
        return wrong_answer(f"a redirect (HTTP {answer.status}), which is not followed")
    if answer.status < 400:
        return wrong_answer(f"HTTP {answer.status}, expected the status of the contract")
    problem = _problem(answer)
    code, detail, hint = "", "", ""
    if problem is not None:
        code, detail = problem.code, printable(_without(problem.detail, secret), MAX_DETAIL)
        if problem.correlation_id and problem.correlation_id not in secret:
            hint = f"its log has more under the correlation id {problem.correlation_id}"
    if code == "proof_invalid":  # what the other side advises is for those who write the proof
        hint = "; ".join(filter(None, (ENROLL_AGAIN, hint)))
    if code not in OUTCOMES or OUTCOMES[code].status != answer.status or code == "internal":
        retryable = problem is not None and problem.retryable and answer.status < 500
        otherwise = "unavailable" if retryable else "peer_refused"
        code = _CODES_OF_STATUSES.get(answer.status, otherwise)
    title = OUTCOMES[code].title if code != "peer_refused" else f"HTTP {answer.status}"
    message = f"the other gateway refused: {detail or title}"
    if issubclass(OUTCOMES[code].kind, Retry):
        return Retry(code, message, hint=hint, retry_after=_wait(answer))
    return Refused(code, message, hint=hint)


def _problem(answer: Response) -> _Problem | None:
    try:
        return _Problem.model_validate_json(answer.body)
    except ValidationError:
        return None


def _without(text: str, secret: str) -> str:
    return text.replace(secret, "…") if secret else text


def _wait(answer: Response) -> timedelta:
    """Return the Retry-After (RFC 9110 10.2.3) of seconds, within `MAX_WAIT`."""
    seconds = answer.headers.get("retry-after", "")
    if seconds.isascii() and seconds.isdecimal():
        return min(timedelta(seconds=min(int(seconds[:9]), 86400)), MAX_WAIT)
    return DEFAULT_WAIT
