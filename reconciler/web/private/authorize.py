"""`/authorize`: a proxy asks whether the certificate of a request has authority.

Any method, on `/authorize` and below it: what stands behind the prefix, and its query, are the
client's, and mean nothing here.
"""

from __future__ import annotations

import json
import logging
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from starlette.responses import JSONResponse, Response

from reconciler.core.authority.certificate_header import (
    CertificateMalformed,
    CertificateMissing,
    certificate_of,
)
from reconciler.core.authority.decision import REMEMBERED
from reconciler.core.model.times import rfc3339
from reconciler.errors import Refused
from reconciler.log import bind
from reconciler.web.private.access import values_of
from reconciler.web.private.problems import CERTIFICATE_MISSING, PROBLEMS, Denied

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import Scope

    from reconciler.authority import Authority, Decision
    from reconciler.web.private.access import Fields

PATH: Final = "/authorize"
RESOURCE_HEADER: Final = b"x-mosaic-resource"
VERB_HEADER: Final = b"x-mosaic-verb"
QUERY: Final = ("type", "verb")

_log = logging.getLogger(__name__)


def is_authorize(path: str) -> bool:
    """Tell whether a path is `/authorize` or below it."""
    return path == PATH or path.startswith(f"{PATH}/")


async def authorize(authority: Authority, scope: Scope) -> Response:
    """Return the answer to a request that is allowed.

    Raises:
        Denied: what denies it. Refused: `request_malformed`. Retry: `database_unavailable`.
    """
    resource, verb = _question(scope)
    answer = _answer(await decision_on(authority, scope["headers"], resource, verb))
    response = Response(answer.body)
    response.raw_headers = list(answer.raw_headers)  # others are added to it
    return response


async def decision_on(
    authority: Authority, fields: Fields, resource: str | None, verb: str | None
) -> Decision:
    """Return the decision that allows the certificate in the fields of a request.

    Raises:
        Denied: what denies it. Refused: `request_malformed`. Retry: `database_unavailable`.
    """
    try:
        der = certificate_of(fields)
    except CertificateMissing as error:
        raise Denied(CERTIFICATE_MISSING, str(error)) from None
    except CertificateMalformed as error:
        raise Refused("request_malformed", str(error)) from None
    decision = await authority.check(der, resource=resource, verb=verb)
    if decision.reason is not None:
        raise Denied(decision.reason, _detail(decision))
    return decision


def _question(scope: Scope) -> tuple[str | None, str | None]:
    """Return the resource and the verb that are asked about, or two times None."""
    fields = scope["headers"]
    resource = _sole(values_of(fields, RESOURCE_HEADER), RESOURCE_HEADER.decode())
    verb = _sole(values_of(fields, VERB_HEADER), VERB_HEADER.decode())
    if resource is None and verb is None and scope["path"] == PATH:
        resource, verb = _queried(scope["query_string"])
    if resource is None and verb is None:
        return None, None
    if not resource or not verb:
        raise Refused("request_malformed", "a question needs a resource and a verb")
    return resource, verb


def _queried(query: bytes) -> tuple[str | None, str | None]:
    if not query:
        return None, None
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, strict_parsing=True)
    except ValueError:
        pairs = [("", "")]
    if any(name not in QUERY for name, _ in pairs):  # misspelled, it would be no question at all
        raise Refused("request_malformed", "the query is not type=RESOURCE&verb=VERB")
    resource, verb = (
        _sole([value for name, value in pairs if name == each], each) for each in QUERY
    )
    return resource, verb


def _sole(values: Sequence[str], name: str) -> str | None:
    if len(values) > 1:
        raise Refused("request_malformed", f"{name} is there {len(values)} times")
    return values[0] if values else None


def _detail(decision: Decision) -> str:
    """Return why it is denied, for whoever runs the proxy."""
    assert decision.reason is not None
    facts = decision.facts
    title = PROBLEMS[decision.reason][1]
    if facts is None:
        return title
    bind(peer=facts.peer_name, grant=facts.grant_name)
    serial, code = facts.certificate.serial, str(decision.reason)
    _log.info("%s: serial %s of grant %s", title, serial, facts.grant_name, extra={"code": code})
    return f"{title}: serial {facts.certificate.serial}, grant {facts.grant_name}"


@lru_cache(REMEMBERED)
def _answer(decision: Decision) -> Response:
    """Return the answer to a decision that allows: the same one for equal facts."""
    return JSONResponse(decision.as_json(), headers=_headers(decision))


def _headers(decision: Decision) -> dict[str, str]:
    facts = decision.facts
    assert facts is not None
    headers = {
        "X-Mosaic-Grant-Id": facts.grant_id,
        "X-Mosaic-Grant": facts.grant_name,
        "X-Mosaic-Peer": facts.peer_name,
        "X-Mosaic-Subject": facts.subject_user_id,
        "X-Mosaic-Serial": facts.certificate.serial,
        "X-Mosaic-Expires": rfc3339(facts.ends),
        "X-Mosaic-Max-Rows": str(facts.scope["maxRowsPerQuery"]),
    }
    if decision.filter is not None:
        headers["X-Mosaic-Filter"] = json.dumps(decision.filter, separators=(",", ":"))
    return headers
