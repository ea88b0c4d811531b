"""What another gateway may answer, as pydantic models: the border between its JSON and our values.

Unknown keys are ignored, so that a later gateway may say more; all else is strict.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Annotated, Any, Final, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
)
from pydantic.alias_generators import to_camel

from reconciler.clients.http.channel import Answer, wrong_answer
from reconciler.core.issuance.remote import IssuedAnswer, RemoteGrant, TokenState
from reconciler.core.model.states import GrantStatus
from reconciler.core.model.text import printable
from reconciler.core.model.times import parse_rfc3339
from reconciler.errors import OUTCOMES, MosaicError, Refused, Retry

MAX_WAIT: Final = timedelta(hours=1)  # of a Retry-After that is believed
DEFAULT_WAIT: Final = timedelta(seconds=5)
MAX_DETAIL: Final = 400  # characters of a foreign text

_M = TypeVar("_M", bound=BaseModel)


def _time(value: object) -> datetime:
    if not isinstance(value, str):
        raise ValueError("expected a time")  # noqa: TRY004 - what pydantic expects of a validator
    return parse_rfc3339(value)


def _storable(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Refuse what JSON knows and PostgreSQL's `jsonb` does not."""
    if "\\u0000" in json.dumps(value, allow_nan=False):
        raise ValueError("a NUL character")
    return value


_Time = Annotated[datetime, BeforeValidator(_time)]
_Line = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f-\x9f]{1,200}$")]
_Pem = Annotated[str, Field(pattern=r"^[\x20-\x7e\r\n]+$", max_length=16 * 1024)]
_Uuid = Annotated[
    str, Field(pattern=r"^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")
]


class _Model(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, alias_generator=to_camel)


class TokenModel(_Model):
    """The answer to `GET /enroll` with a token."""

    status: _Line
    expires_at: _Time

    def value(self) -> TokenState:
        """Return it as a value of the core."""
        return TokenState(self.status, self.expires_at)


class GrantModel(_Model):
    """The *grant* of the contract."""

    id: _Uuid
    name: _Line
    peer: _Line
    subject_user_id: _Line
    scope: Annotated[dict[str, JsonValue], AfterValidator(_storable)]
    status: GrantStatus
    expires_at: _Time

    def value(self) -> RemoteGrant:
        """Return it as a value of the core."""
        return RemoteGrant(
            id=self.id,
            name=self.name,
            peer=self.peer,
            subject_user_id=self.subject_user_id,
            scope=self.scope,
            status=self.status,
            expires_at=self.expires_at,
        )


class IssuedModel(_Model):
    """The *issued* of the contract."""

    certificate: _Pem
    chain: Annotated[list[_Pem], Field(max_length=8)]
    serial: Annotated[str, Field(pattern=r"^[1-9a-f][0-9a-f]{0,39}$")]
    fingerprint: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")]
    not_before: _Time
    not_after: _Time
    renew_after: _Time
    grant: GrantModel

    def value(self) -> IssuedAnswer:
        """Return it as a value of the core."""
        return IssuedAnswer(
            certificate=self.certificate,
            chain=tuple(self.chain),
            serial=self.serial,
            fingerprint=self.fingerprint,
            not_before=self.not_before,
            not_after=self.not_after,
            renew_after=self.renew_after,
            grant=self.grant.value(),
        )


class _Problem(_Model):
    code: Annotated[str, Field(pattern=r"^[a-z_]{1,64}$")]
    detail: str = ""
    correlation_id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{0,64}$")] = ""
    retryable: bool = False


def read_answer(answer: Answer, expected_status: int, model: type[_M], secret: str) -> _M:
    """Return the model of an answer with the status; `secret` is what its texts may not show.

    Raises:
        MosaicError: what the other gateway refused with, or `peer_wrong_answer`.
    """
    if answer.status != expected_status:
        raise read_failure(answer, secret)
    try:
        return model.model_validate_json(answer.body)
    except ValidationError as error:
        raise wrong_answer(_place(error)) from None  # its text would quote the answer


_CODES_OF_STATUSES: Final = {
    429: "rate_limited",
    502: "unavailable",
    503: "unavailable",
    504: "unavailable",
}


def read_failure(answer: Answer, secret: str = "") -> MosaicError:
    """Return the error that an answer of another status stands for.

    A code that we know, under its own status, is kept; any other becomes `peer_refused`, or
    `unavailable` and `rate_limited` where a later request may fare better.
    """
    if 300 <= answer.status < 400:
        return wrong_answer(f"a redirect (HTTP {answer.status}), which is not followed")
    if answer.status < 400:
        return wrong_answer(f"HTTP {answer.status}, where another status was due")
    problem = _problem(answer)
    code, detail, hint = "", "", ""
    if problem is not None:
        code, detail = problem.code, printable(_without(problem.detail, secret), MAX_DETAIL)
        if problem.correlation_id and problem.correlation_id not in secret:
            hint = f"its log has more under the correlation id {problem.correlation_id}"
    if code not in OUTCOMES or OUTCOMES[code].status != answer.status or code == "internal":
        retryable = problem is not None and problem.retryable and answer.status < 500
        otherwise = "unavailable" if retryable else "peer_refused"
        code = _CODES_OF_STATUSES.get(answer.status, otherwise)
    title = OUTCOMES[code].title if code != "peer_refused" else f"HTTP {answer.status}"
    message = f"the other gateway refused: {detail or title}"
    if issubclass(OUTCOMES[code].kind, Retry):
        return Retry(code, message, hint=hint, retry_after=_wait(answer))
    return Refused(code, message, hint=hint)


def _problem(answer: Answer) -> _Problem | None:
    try:
        return _Problem.model_validate_json(answer.body)
    except ValidationError:
        return None


def _without(text: str, secret: str) -> str:
    return text.replace(secret, "…") if secret else text


def _wait(answer: Answer) -> timedelta:
    """Return the Retry-After (RFC 9110 10.2.3), of seconds or a date, within `MAX_WAIT`."""
    told = answer.headers.get("retry-after", "")
    if told.isascii() and told.isdecimal():
        return min(timedelta(seconds=min(int(told[:9]), 86400)), MAX_WAIT)
    return DEFAULT_WAIT


def _place(error: ValidationError) -> str:
    first: Any = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    if not where:
        return "its answer is not the JSON object of the contract"
    return f"its answer has no valid {printable(where)}"
